//! A signed request, and the HMAC that the services' signatures have in common.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use secrecy::SecretString;
use serde_json::Value;
use sha2::Sha256;
use url::Url;
use uuid::Uuid;

use super::service::ChatService;

/// What a signature is made from.
#[derive(Debug)]
pub struct Signature<'a> {
    /// The destination's secret.
    pub secret: &'a SecretString,
    /// Id of the request; the same when the same alerts are sent again.
    pub id: Uuid,
    /// Now: services refuse signatures that are an hour old.
    pub now: DateTime<Utc>,
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// The request, signed if there is a secret.
pub(super) fn sign(
    service: &dyn ChatService,
    url: &Url,
    mut json: Value,
    signature: Option<&Signature<'_>>,
) -> Result<Request, String> {
    let mut url = url.clone();
    if let Some(signature) = signature {
        service.sign(signature, &mut url, &mut json);
    }
    let body = serde_json::to_vec(&json).map_err(|e| format!("the body is no JSON: {e}"))?;
    let headers = signature.map(|signature| service.signature_headers(signature, &body)).transpose()?;
    Ok(Request { url, headers: headers.unwrap_or_default(), body })
}

/// HMAC-SHA256 in base64.
pub(super) fn hmac_base64(key: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    BASE64.encode(mac.finalize().into_bytes())
}
