//! Headers that limit what browsers let the pages do.

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rand::Rng;

use crate::app::Shared;

/// Allows one `<style>` element of this answer.
#[derive(Debug, Clone)]
pub(crate) struct Nonce(pub String);

const FIXED: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "microphone=(self), camera=(), geolocation=(), payment=()"),
];

/// Adds them to every answer; pages find their [`Nonce`] with the request.
pub(crate) async fn headers(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let nonce = STANDARD_NO_PAD.encode(rand::rng().random::<[u8; 16]>());
    request.extensions_mut().insert(Nonce(nonce.clone()));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy(&nonce, app.links.as_ref().map_or("", |links| &links.origin))) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    vary(headers);
    response
}

/// `audio`: where audio may come from, beside the console.
fn policy(nonce: &str, audio: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; media-src 'self' blob: {audio}; \
         connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// Caches must know that pages depend on the language and the session.
fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Accept-Language, Cookie"));
}
