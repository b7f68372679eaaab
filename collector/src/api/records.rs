//! Anomalies and losses.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use kpi::utc::Utc;
use lake::{AnomalyFilter, LakeError, LossFilter};
use protocol::{AssetPath, GatewayId, SignalName, TimeRange};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Viewer,
    cursor::Cursor,
    params::{Params, parsed},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    clock, recount,
    twin::{AnomalyView, AuditView},
};

const DAY_US: i64 = 86_400_000_000;
const MAX_PERIOD_US: i64 = 400 * DAY_US;

#[derive(Debug, Serialize, ToSchema)]
pub struct AnomalyPage {
    items: Vec<AnomalyView>,
    next: Option<String>,
}

/// List anomalies
///
/// Newest first.
#[utoipa::path(get, path = "/api/v1/anomalies", tag = "history",
    params(("asset" = Option<String>, Query, description = "`site/area/line/machine`"),
           ("signal" = Option<String>, Query, description = "`spindle_temperature`"),
           ("from" = Option<String>, Query, description = "RFC 3339; 24 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 100 if not given"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = AnomalyPage), Problems))]
pub async fn anomalies(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<AnomalyPage>, Problem> {
    let asset = params.optional("asset", parsed::<AssetPath>);
    let signal = params.optional("signal", parsed::<SignalName>);
    // An event may be a little ahead of this clock.
    let period = params.period(clock::now().plus_micros(60_000_000), DAY_US, MAX_PERIOD_US);
    let limit = params.limit(100, 1_000);
    let cursor = params.optional("cursor", Cursor::parse);
    let (asset, signal, period, limit, cursor) = params.finish((asset, signal, period, limit, cursor))?;
    let (range, ask) = Cursor::question(cursor, period, limit);
    let rows = app.lake.anomalies(AnomalyFilter { asset, signal, range, limit: ask }).await?;
    let (rows, next) = Cursor::page(cursor, rows, limit, |row| row.record.event_time);
    Ok(Json(AnomalyPage { items: rows.iter().map(|row| AnomalyView::from(&row.record)).collect(), next }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LossPage {
    items: Vec<LossItem>,
    /// Of the whole period, by reason.
    totals: BTreeMap<String, u64>,
    /// Of each gateway (or the one that was asked for), ever: whether its books balance.
    audit: Vec<AuditView>,
    next: Option<String>,
}

/// Something that was dropped for good.
#[derive(Debug, Serialize, ToSchema)]
pub struct LossItem {
    gateway: String,
    asset: Option<String>,
    signal: Option<String>,
    reason: &'static str,
    /// Readings (or messages); 0 if it is not known how many.
    count: u64,
    from: Utc,
    to: Utc,
    detail: Option<String>,
}

/// List losses
///
/// Newest first. What gateways (and the collector) dropped for good, and why; and whether each gateway's books balance.
#[utoipa::path(get, path = "/api/v1/losses", tag = "history",
    params(("gateway" = Option<String>, Query, description = "Its id"),
           ("asset" = Option<String>, Query, description = "`site/area/line/machine`"),
           ("from" = Option<String>, Query, description = "RFC 3339; 24 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 100 if not given"),
           ("verify" = Option<bool>, Query, description = "Look through all rows now for what is stored twice; else every five minutes"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = LossPage), Problems))]
pub async fn losses(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<LossPage>, Problem> {
    let gateway = params.optional("gateway", parsed::<GatewayId>);
    let asset = params.optional("asset", parsed::<AssetPath>);
    let period = params.period(clock::now().plus_micros(60_000_000), DAY_US, MAX_PERIOD_US);
    let limit = params.limit(100, 1_000);
    let cursor = params.optional("cursor", Cursor::parse);
    let verify = params.optional("verify", |text| text.parse::<bool>().map_err(|_| "write true or false".to_owned()));
    let (gateway, asset, period, limit, cursor, verify) = params.finish((gateway, asset, period, limit, cursor, verify))?;
    if verify == Some(true) {
        recount::verify(&app, clock::now()).await?;
    }
    let audits = app.auditor.audits(clock::now());
    let audit = audits.iter().filter(|(id, _)| gateway.as_ref().is_none_or(|asked| asked == *id));
    let audit = audit.map(|(id, audit)| AuditView::of(id, audit)).collect();
    let (to, skip) = cursor.map_or((period.to, 0), Cursor::parts);
    let range = TimeRange { to, ..period };
    let totals = loss_totals(&app, gateway.as_ref(), asset.as_ref(), range).await?;
    let mut rows = app.lake.losses(LossFilter { gateway, asset, range, limit: skip + limit + 1 }).await?;
    rows.drain(..skip.min(rows.len()));
    let next = (rows.len() > limit).then(|| Cursor::offset(to, skip + limit).text());
    rows.truncate(limit);
    let items = rows.iter().map(|row| {
        let loss = &row.record;
        LossItem {
            gateway: row.gateway.to_string(),
            asset: loss.asset.as_ref().map(ToString::to_string),
            signal: loss.signal.as_ref().map(ToString::to_string),
            reason: loss.reason.as_str(),
            count: loss.count,
            from: loss.from.into(),
            to: loss.to.into(),
            detail: Some(loss.detail.clone()).filter(|d| !d.is_empty()),
        }
    });
    Ok(Json(LossPage { items: items.collect(), totals, audit, next }))
}

/// Of all of the period, not of a page alone.
async fn loss_totals(
    app: &App,
    gateway: Option<&GatewayId>,
    asset: Option<&AssetPath>,
    range: TimeRange,
) -> Result<BTreeMap<String, u64>, LakeError> {
    let (from, to) = (range.from.as_micros(), range.to.as_micros());
    // Identifiers hold no quotes: they were checked when they were made.
    let gateway = gateway.map_or_else(String::new, |id| format!(" AND gateway = '{id}'"));
    let asset = asset.map_or_else(String::new, |path| format!(" AND asset = '{path}'"));
    let sql = format!(
        "SELECT reason, sum(count) AS lost FROM losses WHERE CAST(to_time AS BIGINT) >= {from} AND CAST(from_time AS BIGINT) < {to}{gateway}{asset} GROUP BY reason"
    );
    let rows = app.lake.sql(&sql).await?.rows;
    Ok(rows.iter().filter_map(|row| Some((row.first()?.as_str()?.to_owned(), row.get(1)?.as_u64()?))).collect())
}
