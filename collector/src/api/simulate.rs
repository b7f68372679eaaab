//! What the rest of a machine's shift will bring, also with parameters changed.
//!
//! The last days of the machine make the rates (`forecasting`), `kpi::forecast` simulates.

use axum::{Json, extract::State, http::StatusCode};
use kpi::{
    energy::EnergyTotals,
    field::FieldError,
    forecast::{Change, Forecast, Order, forecast},
    utc::Utc,
};
use protocol::{AssetPath, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::Viewer,
    assets,
    body::Body,
    device::Device,
    energy,
    history::{Asked, DAY_US, Histories, Scope, wrong},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    clock,
    forecasting::{self, Question},
    twin::view::ShiftView,
};

const MAX_DAYS: u32 = 31;

/// Factors on what was recorded: 1 changes nothing. Without any of them the shift as it goes is forecast.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"cycle_factor": 0.95, "order_quantity": 2_000}))]
pub struct SimulateRequest {
    /// .95: each part takes 5 % less time.
    cycle_factor: Option<f64>,
    /// .5: half as many stops.
    stop_rate_factor: Option<f64>,
    /// .8: stops are a fifth shorter.
    stop_length_factor: Option<f64>,
    /// 0: no part is rejected.
    reject_factor: Option<f64>,
    power_factor: Option<f64>,
    /// Good parts that are still to be made: the answer tells when they will be.
    order_quantity: Option<u64>,
    order_due: Option<Utc>,
    /// Days that make the rates, 7 if not given.
    history_days: Option<u32>,
    /// 100 to 20,000; 2,000 if not given.
    simulations: Option<u32>,
    /// Share of the simulations that an interval holds; .9 if not given.
    confidence: Option<f64>,
    /// The same seed makes the same answer.
    seed: Option<u64>,
}

/// A forecast, and what it stands on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Simulation {
    asset: String,
    shift: ShiftView,
    at: Utc,
    based_on: Basis,
    #[serde(flatten)]
    forecast: Forecast,
}

/// What the machine did of late.
#[derive(Debug, Serialize, ToSchema)]
pub struct Basis {
    from: Utc,
    to: Utc,
    produced: u64,
    cycle_mean_s: f64,
    cycle_sd_s: f64,
    stops: usize,
    /// It has been standing for so long.
    standing_s: Option<f64>,
    /// Without a meter energies are 0.
    metered: bool,
}

impl SimulateRequest {
    fn change(&self) -> Option<Change> {
        let given = [self.cycle_factor, self.stop_rate_factor, self.stop_length_factor, self.reject_factor, self.power_factor];
        let factor = |given: Option<f64>| given.unwrap_or(1.0);
        given.iter().any(Option::is_some).then(|| Change {
            cycle: factor(self.cycle_factor),
            stop_rate: factor(self.stop_rate_factor),
            stop_length: factor(self.stop_length_factor),
            rejects: factor(self.reject_factor),
            power: factor(self.power_factor),
        })
    }

    fn question(&self, now: Timestamp, until: Timestamp) -> Result<Question, Problem> {
        if self.order_due.is_some() && self.order_quantity.is_none() {
            return Err(wrong("order_due", "needs order_quantity"));
        }
        Ok(Question {
            now,
            until,
            order: self.order_quantity.map(|good| Order { good, due: self.order_due }),
            change: self.change(),
            simulations: self.simulations.unwrap_or(2_000),
            confidence: self.confidence.unwrap_or(0.9),
            seed: self.seed.unwrap_or(0),
        })
    }
}

/// The names of this request for those of the forecast's.
fn named(mut error: FieldError) -> FieldError {
    let name = match error.field.as_str() {
        "change.cycle" => "cycle_factor",
        "change.stop_rate" => "stop_rate_factor",
        "change.stop_length" => "stop_length_factor",
        "change.rejects" => "reject_factor",
        "change.power" => "power_factor",
        "order.good" => "order_quantity",
        _ => return error,
    };
    error.field = name.to_owned();
    error
}

/// Simulate the rest of a shift
///
/// Parts, OEE, energy, and when an order is done, as it goes and with parameters changed; from the rates and stops of the machine's last days.
#[utoipa::path(post, path = "/api/v1/industry40/twin/{device_id}/simulate", tag = "kpi", request_body = SimulateRequest,
    params(("device_id" = String, Path, description = "`site/area/line/machine`, plain or URL-encoded")),
    responses((status = 200, body = Simulation), (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No shift runs, or the machine has made nothing of late", body = Problem, content_type = "application/problem+json"),
        Problems))]
pub async fn shift(
    State(app): State<App>,
    _: Viewer,
    Device(asset): Device,
    Body(request): Body<SimulateRequest>,
) -> Result<Json<Simulation>, Problem> {
    let now = clock::now();
    if !app.twin.knows(&asset) {
        return Err(assets::unknown(&asset));
    }
    let days = request.history_days.unwrap_or(7);
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(wrong("history_days", format!("must be from 1 to {MAX_DAYS}")));
    }
    let none_runs = || Problem::new(StatusCode::CONFLICT, "no shift runs now: there is no rest of one to simulate; ask when one does");
    let shift = app.twin.calendar().shift_at(now).filter(|shift| shift.range.from < now).ok_or_else(none_runs)?;
    let question = request.question(now, shift.range.to)?;
    let range = TimeRange { from: now.plus_micros(-i64::from(days) * DAY_US), to: now };
    let done = TimeRange { from: shift.range.from, to: now };
    let (recent_energy, shift_energy) = (totals(&app, &asset, range, now).await?, totals(&app, &asset, done, now).await?);
    let before = TimeRange { from: range.from, to: done.from };
    let asked = Asked { range, pieces: vec![before, done], whole: true };
    let histories = Histories::read(&app, &Scope::Machine(asset.clone()), asked, now).await?;
    let simulate = move || {
        let Some(machine) = histories.machines.first() else { return Err(Problem::internal()) };
        let Some(prepared) = &machine.prepared else { return Err(Problem::internal()) };
        let recent = forecasting::recent(prepared, range, machine.known_until, recent_energy.as_ref()).ok_or_else(|| {
            let detail = format!("the machine has made fewer than 2 parts in the last {days} days: there is no rate to go by");
            Problem::new(StatusCode::CONFLICT, detail)
        })?;
        let so_far = forecasting::so_far(&histories.piece(1), shift_energy.as_ref());
        let based_on = Basis {
            from: range.from.into(),
            to: range.to.into(),
            produced: recent.history.produced,
            cycle_mean_s: recent.history.cycle_mean_s,
            cycle_sd_s: recent.history.cycle_sd_s,
            stops: recent.history.stops_s.len(),
            standing_s: recent.standing_s,
            metered: recent_energy.is_some(),
        };
        let asked = forecasting::request(question, app.twin.calendar(), recent, so_far, machine.ideal_cycle_s);
        let forecast = forecast(&asked).map_err(|errors| errors.into_iter().map(named).collect::<Vec<_>>())?;
        let shift = ShiftView { name: shift.name, from: shift.range.from.into(), to: shift.range.to.into() };
        Ok(Simulation { asset: machine.asset.to_string(), shift, at: now.into(), based_on, forecast })
    };
    let answer = tokio::task::spawn_blocking(simulate).await.map_err(|_| Problem::internal())?;
    Ok(Json(answer?))
}

/// What the machine used; `None` without a meter.
async fn totals(app: &App, asset: &AssetPath, range: TimeRange, now: Timestamp) -> Result<Option<EnergyTotals>, Problem> {
    let asked = energy::Asked { range, now, bucket: None, tariff: None };
    let (_, metered) = energy::of_machine(app, asset.clone(), &asked).await?;
    Ok(metered.map(|(_, report)| report.totals))
}
