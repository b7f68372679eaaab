//! SQL over all rows, hot and stored.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::Operator,
    body::Body,
    problem::{Problem, Problems},
};
use crate::app::App;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    #[schema(example = "SELECT asset, sum(produced) AS parts FROM part_counts GROUP BY asset")]
    sql: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SqlAnswer {
    columns: Vec<SqlColumn>,
    /// In the order of the columns.
    #[schema(value_type = Vec<Vec<Object>>)]
    rows: Vec<Vec<serde_json::Value>>,
    /// There were more rows than the limit.
    truncated: bool,
    elapsed_ms: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SqlColumn {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Ask in SQL
///
/// One read-only statement over `window_summaries`, `anomalies`, `state_changes`, `part_counts` and `losses`.
#[utoipa::path(post, path = "/api/v1/sql", tag = "history", request_body = SqlRequest, responses((status = 200, body = SqlAnswer), Problems))]
pub async fn query(State(app): State<App>, Operator(asker): Operator, Body(request): Body<SqlRequest>) -> Result<Json<SqlAnswer>, Problem> {
    let result = app.lake.sql(&request.sql).await?;
    tracing::info!(key = asker.name, elapsed_ms = result.elapsed.as_millis(), rows = result.rows.len(), "a SQL statement was answered");
    Ok(Json(SqlAnswer {
        columns: result.columns.into_iter().map(|c| SqlColumn { name: c.name, kind: c.kind.as_str() }).collect(),
        rows: result.rows,
        truncated: result.truncated,
        elapsed_ms: u64::try_from(result.elapsed.as_millis()).unwrap_or(u64::MAX),
    }))
}
