//! Energy of a machine, or of all machines of a scope; and the tariff.
//!
//! Answers from the lake (power, states, parts), the twin's calendar and the store (tariff). What is reckoned is `kpi::energy`; what it is asked is made
//! in `metering`.

use axum::{Json, extract::State};
use futures::{StreamExt, TryStreamExt, stream};
use kpi::{
    energy::{Bucket, EnergyReport, EnergyRequest, EnergySettings, ShiftRange, Tariff},
    utc::Utc,
};
use protocol::{AssetPath, SignalName, TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::{Admin, Viewer},
    body::Body,
    history::{DAY_US, MAX_PERIOD_US, Scope, machines_of, parts_in, passed, wrong},
    params::{Params, parsed},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    clock,
    metering::{self, MeterUnit, ScopeEnergy},
    twin::Moment,
};

/// Machines times days of one question: windows of power are many.
const MAX_METER_DAYS: i64 = 620;
/// Windows of one meter: two months of windows of five seconds.
const MAX_WINDOWS: usize = 1_200_000;
/// Machines that are read at a time.
const AT_A_TIME: usize = 2;
const MAX_BUCKETS: i64 = 6_000;

/// Energy of a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnergyAnswer {
    /// As asked.
    asset: String,
    from: Utc,
    /// As asked, but not after now.
    to: Utc,
    /// Those with a meter, in order of their paths.
    machines: Vec<MachineEnergy>,
    total: ScopeEnergy,
    /// Machines without a signal of power or energy.
    unmetered: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MachineEnergy {
    asset: String,
    /// Of its meter.
    signal: String,
    /// Its cost of demand is what its own peak would cost alone.
    report: EnergyReport,
}

/// Energy of a machine, a line, an area or a site
///
/// In all, by state, shift and part, with base load, peaks, cost and CO2. Energies and costs of what lies above machines are sums; its demand is that of the
/// summed power.
#[utoipa::path(get, path = "/api/v1/energy", tag = "kpi",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("from" = Option<String>, Query, description = "RFC 3339; 8 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("bucket" = Option<String>, Query, description = "`quarter_hour`, `hour` or `day`, in local time")),
    responses((status = 200, body = EnergyAnswer), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn of_scope(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<EnergyAnswer>, Problem> {
    let now = clock::now();
    let scope = params.required("asset", parsed::<Scope>);
    let period = params.period(now, DAY_US / 3, MAX_PERIOD_US);
    let cut = params.optional("bucket", |text| match text {
        "quarter_hour" => Ok(Bucket::QuarterHour),
        "hour" => Ok(Bucket::Hour),
        "day" => Ok(Bucket::Day),
        _ => Err("must be quarter_hour, hour or day".into()),
    });
    let (scope, period, bucket) = params.finish((scope, period, cut))?;
    let range = passed(period, now)?;
    let machines = machines_of(&app, &scope)?;
    let count = i64::try_from(machines.len()).unwrap_or(i64::MAX);
    let length = range.to.micros_since(range.from);
    if (length / DAY_US + 1).saturating_mul(count) > MAX_METER_DAYS {
        return Err(wrong("from", format!("makes more than {MAX_METER_DAYS} days of machines: ask for a shorter period or for a line")));
    }
    let step_us = if bucket == Some(Bucket::QuarterHour) { DAY_US / 96 } else { DAY_US / 24 };
    if bucket.is_some_and(|b| b != Bucket::Day) && (length / step_us).saturating_mul(count) > MAX_BUCKETS {
        return Err(wrong("bucket", format!("makes more than {MAX_BUCKETS} buckets of all machines: take day, or a shorter period")));
    }
    let tariff = app.store.tariff().await?;
    let asked = Asked { range, now, bucket, tariff };
    let reports = stream::iter(machines).map(|asset| of_machine(&app, asset, &asked)).buffered(AT_A_TIME);
    let reports: Vec<_> = reports.try_collect().await?;
    let zone = app.config.timezone.clone();
    let answer = move || {
        let metered: Vec<&EnergyReport> = reports.iter().filter_map(|(_, metered)| metered.as_ref().map(|(_, report)| report)).collect();
        let total = metering::sum(&metered, asked.tariff.as_ref(), &zone);
        let unmetered = reports.iter().filter(|(_, metered)| metered.is_none()).map(|(asset, _)| asset.to_string()).collect();
        let machine = |(asset, metered): (AssetPath, Option<(SignalName, EnergyReport)>)| {
            let (signal, report) = metered?;
            // They made the sum; peaks and the load duration curve tell what is worth telling of them.
            let report = EnergyReport { quarters: Vec::new(), ..report };
            Some(MachineEnergy { asset: asset.to_string(), signal: signal.to_string(), report })
        };
        let machines = reports.into_iter().filter_map(machine).collect();
        EnergyAnswer { asset: scope.to_string(), from: range.from.into(), to: range.to.into(), machines, total, unmetered }
    };
    let answer = tokio::task::spawn_blocking(answer).await.map_err(|_| Problem::internal())?;
    Ok(Json(answer))
}

/// What is asked of each machine.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) range: TimeRange,
    pub(super) now: Timestamp,
    pub(super) bucket: Option<Bucket>,
    pub(super) tariff: Option<Tariff>,
}

/// The machine with the signal of its meter and its report; `None` without a meter.
pub(super) async fn of_machine(
    app: &App,
    asset: AssetPath,
    asked: &Asked,
) -> Result<(AssetPath, Option<(SignalName, EnergyReport)>), Problem> {
    let Some(signal) = signal_of(app, &asset, asked).await? else { return Ok((asset, None)) };
    let Asked { range, now, bucket, tariff } = asked.clone();
    let rows = app.lake.windows(&asset, &signal, metering::around(range, now), MAX_WINDOWS).await?;
    let described = app.config.asset(&asset).and_then(|described| described.power_unit.as_deref());
    let Some((meter, settings)) = metering::meter(&rows, described.and_then(MeterUnit::of)) else { return Ok((asset, None)) };
    drop(rows);
    let states = app.lake.states(&asset, range).await?;
    let parts = parts_in(app, &asset, range).await?;
    let known_until = app.twin.known_until(&asset, now);
    let shifts = app.twin.calendar().shifts(range).into_iter();
    let shifts = shifts.map(|s| ShiftRange { name: s.name, from: s.range.from.into(), to: s.range.to.into() }).collect();
    let zone = app.config.timezone_name.clone();
    let report = move || {
        kpi::energy::energy(&EnergyRequest {
            period: range.into(),
            zone,
            meter,
            settings: EnergySettings { meter: settings, quarters: true, ..EnergySettings::default() },
            states: metering::state_intervals(&states, known_until),
            shifts,
            parts: metering::part_counts(&parts),
            tariff,
            bucket,
            switch_off: None,
        })
    };
    let report = tokio::task::spawn_blocking(report).await.map_err(|_| Problem::internal())??;
    Ok((asset, Some((signal, report))))
}

/// The signal of a machine's meter: as configured, or by its unit.
async fn signal_of(app: &App, asset: &AssetPath, asked: &Asked) -> Result<Option<SignalName>, Problem> {
    if let Some(signal) = app.config.asset(asset).and_then(|described| described.power_signal.clone()) {
        return Ok(Some(signal));
    }
    let view = app.twin.asset(asset, Moment { now: asked.now, started_at: app.started_at });
    let live = view.map(|view| view.signals).unwrap_or_default();
    if let Some(signal) = metering::meter_signal(live.iter().map(|s| (s.signal.as_str(), s.unit.as_str()))) {
        return Ok(SignalName::new(signal).ok());
    }
    // The twin knows what was heard of late; the period may lie before that.
    let stored = app.lake.units(asset, asked.range).await?;
    Ok(metering::meter_signal(stored.iter().map(|(signal, unit)| (signal, unit.as_str()))).cloned())
}

/// The tariff
///
/// `null` if none was set; then energy has no cost.
#[utoipa::path(get, path = "/api/v1/tariff", tag = "kpi", responses((status = 200, body = Option<Tariff>), Problems))]
pub async fn tariff(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<Option<Tariff>>, Problem> {
    let () = params.finish((Some(()),))?.0;
    Ok(Json(app.store.tariff().await?))
}

/// Set the tariff
///
/// It holds for every period, also for past ones. `null` takes it away.
#[utoipa::path(put, path = "/api/v1/tariff", tag = "kpi", request_body = Option<Tariff>,
    responses((status = 200, body = Option<Tariff>), Problems))]
pub async fn set_tariff(
    State(app): State<App>,
    Admin(principal): Admin,
    Body(tariff): Body<Option<Tariff>>,
) -> Result<Json<Option<Tariff>>, Problem> {
    if let Some(tariff) = &tariff {
        tariff.checked().map_err(|errors| {
            let bare = |mut error: kpi::field::FieldError| {
                error.field = error.field.trim_start_matches("tariff.").to_owned();
                error
            };
            errors.into_iter().map(bare).collect::<Vec<_>>()
        })?;
    }
    app.store.set_tariff(tariff.as_ref(), &principal.name, clock::now()).await?;
    tracing::info!(by = %principal.name, set = tariff.is_some(), "the tariff was changed");
    Ok(Json(tariff))
}
