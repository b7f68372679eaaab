//! What the OpenAPI document says before any route: title, tags, the two ways to bring a key.

use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Millrace collector", description = "Live state, history and key figures of a plant. Times are RFC 3339 UTC, ratios are fractions, \
        unknown is null. Errors are RFC 9457 problem documents."),
    modifiers(&Keys),
    security(("key" = []), ("bearer" = [])),
    tags(
        (name = "live", description = "Machines and gateways as they are now"),
        (name = "kpi", description = "Key figures of ISO 22400, states, shifts"),
        (name = "production", description = "What people say: stop reasons, products, planned downtime, renamed machines; and restated figures"),
        (name = "maintenance", description = "Events, reliability, condition and remaining life"),
        (name = "history", description = "What is stored"),
        (name = "session", description = "Keys and login"),
        (name = "health", description = "For monitoring"),
    )
)]
pub(super) struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key"))));
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}
