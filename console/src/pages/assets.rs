//! Files of the pages, built in. Their addresses carry a hash, so that browsers keep them for good.

use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::api::is_known;
use crate::problem::Problem;

#[derive(RustEmbed)]
#[folder = "assets"]
#[exclude = "*.lock"]
#[exclude = "*.sh"]
struct Files;

/// `/assets/app.css?v=1a2b3c4d5e6f`
pub(super) fn address(name: &str) -> String {
    let mut address = format!("/assets/{name}");
    if let Some(file) = Files::get(name) {
        address = format!("{address}?v={}", hex(&file.metadata.sha256_hash()[..6]));
    }
    address
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// `GET /assets/{*path}`
pub(super) async fn file(Path(path): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let Some(file) = Files::get(&path) else { return Problem::not_found("file").into_response() };
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()));
    // Modules import each other without the hash: browsers check those files each time.
    let versioned = query.is_some_and(|query| query.starts_with("v="));
    let cache = if versioned { "public, max-age=31536000, immutable" } else { "no-cache" };
    if is_known(&headers, &etag) {
        let kept = [(header::CACHE_CONTROL, cache.to_owned()), (header::ETAG, etag)];
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let mut kind = file.metadata.mimetype().to_owned();
    if kind.starts_with("text/") {
        kind.push_str("; charset=utf-8");
    }
    let mut response = Body::from(file.data.into_owned()).into_response();
    let set = response.headers_mut();
    for (name, value) in
        [(header::CONTENT_TYPE, kind.as_str()), (header::CACHE_CONTROL, cache), (header::ETAG, etag.as_str())]
    {
        if let Ok(value) = HeaderValue::from_str(value) {
            set.insert(name, value);
        }
    }
    response
}
