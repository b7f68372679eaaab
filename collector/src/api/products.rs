//! Products and how fast each can be made.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State};
use kpi::oee::Why;
use protocol::{AssetPath, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::{Admin, Viewer},
    body::Body,
    params::Params,
    problem::{Problem, ProblemField, Problems},
    registered::{all_right, check_text},
};
use crate::{
    app::App,
    clock,
    production::{Product, restate},
};

const MAX_PRODUCTS: usize = 10_000;
const MAX_CODE: usize = 64;
const MAX_NAME: usize = 200;
/// Nothing takes longer than a day to make one of.
const MAX_CYCLE_S: f64 = 86_400.0;

/// All products.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Products {
    items: Vec<Product>,
}

/// Products
#[utoipa::path(get, path = "/api/v1/products", tag = "production", responses((status = 200, body = Products), Problems))]
pub async fn products(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<Products>, Problem> {
    let () = params.finish((Some(()),))?.0;
    Ok(Json(Products { items: app.production.read(|relations| relations.products().values().cloned().collect()) }))
}

/// Replace the products
///
/// All of them; one that product runs name stays. Shifts in which a product was made whose ideal cycle changes are restated in the background.
#[utoipa::path(put, path = "/api/v1/products", tag = "production", request_body = Products,
    responses((status = 200, body = Products), Problems))]
pub async fn set_products(State(app): State<App>, Admin(who): Admin, Body(body): Body<Products>) -> Result<Json<Products>, Problem> {
    check(&body.items)?;
    let mut changing = app.production.changing().await;
    let now = clock::now();
    let new: BTreeMap<&str, f64> = body.items.iter().map(|p| (p.product.as_str(), p.ideal_cycle_time_s)).collect();
    let (missing, moved) = app.production.read(|relations| {
        let missing: BTreeSet<_> =
            relations.runs.all().map(|run| &run.what.product).filter(|product| !new.contains_key(product.as_str())).cloned().collect();
        let other =
            |product: &String| relations.products().get(product).map(|p| p.ideal_cycle_time_s) != new.get(product.as_str()).copied();
        let moved = relations.runs.all().filter(|run| other(&run.what.product));
        let moved = moved.filter_map(|run| Some((AssetPath::new(&run.place).ok()?, TimeRange { to: run.range.to.min(now), ..run.range })));
        (missing, moved.map(|(asset, range)| (relations.with_later_names(&asset), range)).collect::<Vec<_>>())
    });
    if !missing.is_empty() {
        let fault = |product| ProblemField { field: "items".into(), detail: format!("product runs name {product:?}, which is left out") };
        return Err(Problem::invalid(missing.into_iter().take(20).map(fault).collect()));
    }
    let at = changing.at(now);
    app.store.set_products(&body.items).await?;
    app.production.change(|relations| relations.set_products(body.items));
    app.twin.reckon_anew(|_| true);
    let why = Why::ProductionChanged { by: who.name, at: at.into() };
    for (names, range) in moved {
        restate::soon(&app, &names, range, &why, now);
    }
    Ok(Json(Products { items: app.production.read(|relations| relations.products().values().cloned().collect()) }))
}

fn check(items: &[Product]) -> Result<(), Problem> {
    let mut faults = Vec::new();
    if items.len() > MAX_PRODUCTS {
        faults.push(ProblemField { field: "items".into(), detail: format!("are more than {MAX_PRODUCTS}") });
    }
    let mut seen = BTreeSet::new();
    for (i, item) in items.iter().enumerate().take(MAX_PRODUCTS) {
        check_text(&format!("items[{i}].product"), &item.product, MAX_CODE, &mut faults);
        check_text(&format!("items[{i}].name"), &item.name, MAX_NAME, &mut faults);
        if !seen.insert(&item.product) {
            faults.push(ProblemField { field: format!("items[{i}].product"), detail: format!("{:?} is there twice", item.product) });
        }
        // Also what is not a number.
        if !(item.ideal_cycle_time_s >= 1e-4 && item.ideal_cycle_time_s <= MAX_CYCLE_S) {
            let detail = format!("must be a time in seconds above 0 (at least 0.0001) and at most {MAX_CYCLE_S}");
            faults.push(ProblemField { field: format!("items[{i}].ideal_cycle_time_s"), detail });
        }
    }
    faults.truncate(100);
    all_right(faults)
}
