//! The description of the API, OpenAPI 3.1.

use axum::http::header;
use axum::response::IntoResponse;
use std::sync::LazyLock;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement, Server};

use super::analyses::EmotionLabel;
use super::artifacts::Kind;
use super::export::ExportFile;
use super::predictions::{GranularityLabel, Refused};
use crate::problem::ProblemBody;

/// Components that operations refer to by name.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ProblemBody, Kind, ExportFile, EmotionLabel, GranularityLabel), responses(Refused)))]
struct Shared;

/// Written once.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut description = super::described().split_for_parts().1;
    let components = description.components.get_or_insert_default();
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token of `console token add`.")).build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    description.to_pretty_json().unwrap_or_default() + "\n"
});

/// The description as JSON.
pub fn openapi() -> String {
    TEXT.clone()
}

/// The description without the routes.
pub(super) fn description() -> OpenApi {
    let about = "Recognise emotions in recordings. Errors are `application/problem+json` with a stable `code`. \
        Lists give `next`, to be sent as `after`. On loopback no token is needed by default; elsewhere send \
        `Authorization: Bearer TOKEN`.";
    let info = InfoBuilder::new().title("emofleet").version("1").description(Some(about));
    OpenApiBuilder::from(Shared::openapi())
        .info(info.build())
        .servers(Some([Server::new("/")]))
        .security(Some([SecurityRequirement::default(), SecurityRequirement::new("token", Vec::<String>::new())]))
        .build()
}

/// `GET /api/v1/openapi.json`
pub(super) async fn openapi_json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}
