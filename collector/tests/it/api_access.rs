//! Who is let in, and how the interface says no.

use axum::{body::Body, http::Request};
use serde_json::json;

use crate::api_plant::Plant;

#[tokio::test]
async fn without_a_valid_key_every_question_is_a_401_problem() {
    let plant = Plant::new().await;
    let wrong = format!("mk_{}", "0".repeat(64));
    for path in ["/api/v1/assets", "/api/v1/session", "/api/v1/oee?asset=x", "/ws", "/metrics"] {
        plant.send(Request::get(path).body(Body::empty()).unwrap()).await.problem(401);
        let answer = plant.send(Request::get(path).header("x-api-key", &wrong).body(Body::empty()).unwrap()).await;
        answer.problem(401);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let bearer = Request::get("/api/v1/session").header("authorization", format!("Bearer {}", plant.admin));
    assert_eq!(plant.send(bearer.body(Body::empty()).unwrap()).await.ok()["role"], "admin");
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_any_more() {
    let plant = Plant::new().await;
    plant.get("/api/v1/session").await.ok();
    assert!(plant.app.store.revoke_key("viewer", collector::clock::now()).await.unwrap());
    plant.get("/api/v1/session").await.problem(401);
}

#[tokio::test]
async fn a_viewer_sees_but_neither_lists_keys_nor_asks_in_sql() {
    let plant = Plant::new().await;
    plant.get("/api/v1/assets").await.ok();
    let problem = plant.get("/api/v1/keys").await.problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("admin"), "{problem}");
    let ask = |key: &str| {
        let body = json!({"sql": "SELECT 1 AS one"}).to_string();
        Request::post("/api/v1/sql").header("x-api-key", key).header("content-type", "application/json").body(Body::from(body)).unwrap()
    };
    plant.send(ask(&plant.viewer)).await.problem(403);
    let answer = plant.send(ask(&plant.operator)).await.ok();
    assert_eq!((&answer["columns"][0]["name"], &answer["rows"]), (&json!("one"), &json!([[1]])));
    let keys = Request::get("/api/v1/keys").header("x-api-key", &plant.admin).body(Body::empty()).unwrap();
    let keys = plant.send(keys).await.ok();
    assert_eq!(keys["items"].as_array().unwrap().len(), 3);
    assert!(!keys.to_string().contains("mk_"));
}

#[tokio::test]
async fn a_login_gives_a_cookie_that_reads_and_that_other_sites_can_not_use_to_change() {
    let plant = Plant::new().await;
    let login = |key: &str, origin: &str| {
        let body = json!({ "key": key }).to_string();
        let request = Request::post("/api/v1/login").header("host", "127.0.0.1:8080").header("origin", origin);
        request.header("content-type", "application/json").body(Body::from(body)).unwrap()
    };
    plant.send(login("mk_0", "http://127.0.0.1:8080")).await.problem(401);
    plant.send(login(&plant.operator, "https://evil.example")).await.problem(403);
    let answer = plant.send(login(&plant.operator, "http://127.0.0.1:8080")).await;
    assert_eq!(answer.status, 204);
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();

    let session = Request::get("/api/v1/session").header("cookie", &cookie).body(Body::empty()).unwrap();
    assert_eq!(plant.send(session).await.ok()["name"], "operator");
    let sql = |origin: Option<&str>| {
        let mut request = Request::post("/api/v1/sql").header("host", "127.0.0.1:8080").header("cookie", &cookie);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.header("content-type", "application/json").body(Body::from(r#"{"sql":"SELECT 1"}"#)).unwrap()
    };
    plant.send(sql(Some("https://evil.example"))).await.problem(403);
    plant.send(sql(None)).await.problem(403);
    plant.send(sql(Some("http://127.0.0.1:8080"))).await.ok();

    let out = plant.send(Request::post("/api/v1/logout").body(Body::empty()).unwrap()).await;
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test]
async fn what_does_not_exist_or_does_not_fit_is_a_problem_too() {
    let plant = Plant::new().await;
    plant.get("/api/v1/nothing").await.problem(404);
    plant.get("/api/v2/assets").await.problem(404);
    plant.get("/nothing.js").await.problem(404);
    plant.post("/api/v1/assets", &json!({})).await.problem(405);
    plant.post("/api/v1/sql", &json!({"sql": 1})).await.problem(422);
    let broken = Request::post("/api/v1/sql").header("x-api-key", &plant.operator).header("content-type", "application/json");
    plant.send(broken.body(Body::from("{")).unwrap()).await.problem(400);
    let large = "x".repeat(plant.app.config.api.max_body_bytes + 1);
    plant.post("/api/v1/sql", &json!({ "sql": large })).await.problem(413);
    plant.post("/api/v1/sql", &json!({"sql": "DROP TABLE losses"})).await.problem(400);
    plant.post("/api/v1/sql", &json!({"sql": "SELECT nothing FROM losses"})).await.problem(400);
}

#[tokio::test]
async fn bad_parameters_are_all_listed() {
    let plant = Plant::new().await;
    let problem = plant.get("/api/v1/oee?asset=press//1&from=yesterday&bucket=week&colour=red").await.problem(400);
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["asset", "from", "bucket", "colour"]);
    plant.get("/api/v1/oee").await.problem(400);
    plant.get("/api/v1/oee?asset=a/b/c/unheard").await.problem(404);
    plant.get("/api/v1/oee?asset=a/b").await.problem(404);
    plant.get("/api/v1/assets?limit=5000").await.problem(400);
    plant.get("/api/v1/industry40/twin/press-1").await.problem(400);
}

#[tokio::test]
async fn every_documented_path_answers_and_every_route_is_documented() {
    let plant = Plant::new().await;
    let document = plant.send(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.ok();
    let paths = document["paths"].as_object().unwrap();
    let served = [
        "/api/v1/anomalies",
        "/api/v1/assets",
        "/api/v1/assets/rename",
        "/api/v1/changeovers",
        "/api/v1/changeovers/{id}",
        "/api/v1/energy",
        "/api/v1/events",
        "/api/v1/events/batch",
        "/api/v1/gateways",
        "/api/v1/industry40/iot/ingest",
        "/api/v1/industry40/maintenance/predict",
        "/api/v1/industry40/oee/calculate",
        "/api/v1/industry40/twin/{device_id}",
        "/api/v1/industry40/twin/{device_id}/history",
        "/api/v1/industry40/twin/{device_id}/simulate",
        "/api/v1/keys",
        "/api/v1/login",
        "/api/v1/logout",
        "/api/v1/losses",
        "/api/v1/maintenance",
        "/api/v1/maintenance/models",
        "/api/v1/maintenance/models/train",
        "/api/v1/maintenance/predictions",
        "/api/v1/maintenance/reliability",
        "/api/v1/metrics/{signal}",
        "/api/v1/oee",
        "/api/v1/oee/what-if",
        "/api/v1/planned-downtime",
        "/api/v1/planned-downtime/{id}",
        "/api/v1/product-runs",
        "/api/v1/product-runs/{id}",
        "/api/v1/products",
        "/api/v1/quality/capability",
        "/api/v1/quality/chart",
        "/api/v1/quality/yield",
        "/api/v1/reliability/fit",
        "/api/v1/restatements",
        "/api/v1/session",
        "/api/v1/shifts",
        "/api/v1/sql",
        "/api/v1/states",
        "/api/v1/stop-reason-assignments",
        "/api/v1/stop-reasons",
        "/api/v1/tariff",
        "/health",
        "/health/ready",
        "/metrics",
        "/ws",
    ];
    let mut documented: Vec<_> = paths.keys().map(String::as_str).collect();
    documented.sort_unstable();
    assert_eq!(documented, served);
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            let path = path.replace("{device_id}", "a%2Fb%2Fc%2Fd").replace("{signal}", "x").replace("{id}", "1");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&path).body(Body::empty()).unwrap();
            let status = plant.send(request).await.status.as_u16();
            assert!(status != 404 && status != 405, "{method} {path}: {status}");
        }
    }
    assert!(document["components"]["securitySchemes"]["key"].is_object());
    let docs = plant.send(Request::get("/docs/").body(Body::empty()).unwrap()).await;
    assert!(docs.text().contains("swagger"), "{}", docs.text());
}

#[tokio::test]
async fn the_dashboard_is_open_and_fenced_and_its_paths_lead_to_its_page() {
    let plant = Plant::new().await;
    for path in ["/", "/fleet", "/machine/plant1%2Fpress-shop%2Fline1%2Fpress-1"] {
        let page = plant.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((page.status.as_u16(), page.headers["content-type"].to_str().unwrap()), (200, "text/html; charset=utf-8"), "{path}");
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn health_tells_alive_from_ready_and_names_the_fault() {
    let plant = Plant::new().await;
    let open = |path: &'static str| plant.send(Request::get(path).body(Body::empty()).unwrap());
    assert_eq!(open("/health").await.ok()["status"], "ok");
    assert_eq!(open("/health/ready").await.ok()["ready"], true);
    plant.app.health.failed(collector::health::Part::Journal, "the disk is full");
    assert_eq!(open("/health").await.status, 200);
    let answer = open("/health/ready").await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.json()["faults"], json!([{"part": "journal", "cause": "the disk is full"}]));
    let metrics = Request::get("/metrics").header("x-api-key", &plant.viewer).body(Body::empty()).unwrap();
    assert_eq!(plant.send(metrics).await.status, 200);
}
