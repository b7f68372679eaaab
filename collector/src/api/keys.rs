//! API keys, as administrators see them. They are made and revoked on the collector's own machine (`millrace-collector key …`).

use axum::{Json, extract::State};
use kpi::utc::Utc;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Admin,
    problem::{Problem, Problems},
};
use crate::app::App;

#[derive(Debug, Serialize, ToSchema)]
pub struct KeyPage {
    items: Vec<KeyItem>,
    next: Option<String>,
}

/// A key without the key.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyItem {
    name: String,
    role: &'static str,
    created_at: Utc,
    revoked_at: Option<Utc>,
}

/// List API keys
///
/// Names and roles; nobody can read a key again. For administrators.
#[utoipa::path(get, path = "/api/v1/keys", tag = "session", responses((status = 200, body = KeyPage), Problems))]
pub async fn list(State(app): State<App>, _: Admin) -> Result<Json<KeyPage>, Problem> {
    let keys = app.store.keys().await?.into_iter();
    let items = keys.map(|k| KeyItem {
        name: k.name,
        role: k.role.as_str(),
        created_at: k.created_at.into(),
        revoked_at: k.revoked_at.map(Into::into),
    });
    Ok(Json(KeyPage { items: items.collect(), next: None }))
}
