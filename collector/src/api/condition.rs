//! What a machine's view says beyond what the twin itself knows: its condition, and the alarms of its gateway.
//!
//! Stands between the twin, which knows nothing of either, and everything that shows machines: pages, single twins, live events.

use std::collections::HashMap;

use kpi::condition::predict::RulAnswer;
use protocol::{AssetPath, GatewayId};

use crate::{
    app::App,
    maintenance::outlook::CONFIDENCE,
    store::PredictionRow,
    twin::{AlarmView, AssetView},
};

/// How a machine is, and how long it will last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Condition {
    /// 0 failed, 1 healthy.
    pub(super) health: Option<f64>,
    pub(super) rul: Option<RulAnswer>,
}

/// The condition as it was predicted last; `None`: nothing predicts it.
pub(super) fn condition(app: &App, asset: &AssetPath) -> Option<Condition> {
    let predicted = app.maintenance.of(asset)?;
    Some(Condition { health: predicted.health, rul: predicted.rul })
}

/// The remaining life that was predicted then.
pub(super) fn stored(row: &PredictionRow) -> Option<RulAnswer> {
    let (hours, lower_h) = row.rul_h.zip(row.lower_h)?;
    Some(RulAnswer { hours, lower_h, upper_h: row.upper_h, confidence: CONFIDENCE })
}

/// Completes views of machines as they are now.
pub(super) fn complete(app: &App, views: &mut [AssetView]) {
    let mut alarms: HashMap<String, Vec<AlarmView>> = HashMap::new();
    for view in views {
        if let Some(gateway) = &view.gateway {
            let of_gateway = alarms.entry(gateway.clone()).or_insert_with(|| alarms_of(app, gateway));
            view.open_alarms.clone_from(of_gateway);
        }
        if let Some(known) = AssetPath::new(&view.asset).ok().and_then(|asset| condition(app, &asset)) {
            (view.health, view.rul) = (known.health, known.rul);
        }
    }
}

fn alarms_of(app: &App, gateway: &str) -> Vec<AlarmView> {
    let Ok(id) = GatewayId::new(gateway) else { return Vec::new() };
    let of_one = |alarm| AlarmView { gateway: Some(gateway.to_owned()), ..AlarmView::of(alarm) };
    app.alarms.lock().of(&id).iter().map(of_one).collect()
}
