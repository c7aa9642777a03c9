//! One POST: over TLS, within a time limit, without following redirects, with a bounded response.

use super::signing;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// Most bytes of a response that are read; services send some hundred.
const MAX_RESPONSE: usize = 64 * 1024;
/// Shorter than servers keep an idle connection, so that none is used at the moment when it is closed.
const IDLE: Duration = Duration::from_secs(4);

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Sends requests.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Client {
    /// A client that trusts the system's certificate authorities.
    pub(super) fn new(timeout: Duration) -> Result<Self, String> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|e| format!("the system's certificate authorities can't be read: {e}"))?
            .https_or_http()
            .enable_http1()
            .build();
        let pool = Pool::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector);
        Ok(Self { pool, timeout })
    }

    /// Posts JSON. Errors are sentences without the URL, which may contain a token.
    pub(super) async fn post(&self, request: &signing::Request) -> Result<Response, String> {
        let mut builder = Request::builder()
            .method(Method::POST)
            .uri(request.url.as_str())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(USER_AGENT, concat!("emofleet/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let body = Full::new(Bytes::from(request.body.clone()));
        let request = builder.body(body).map_err(|e| format!("no valid request: {e}"))?;
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(response) => response,
            Err(_) => Err(format!("no response within {} s", self.timeout.as_secs())),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response, String> {
        let response = self.pool.request(request).await.map_err(|e| reason(&e))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
        // The status is enough when the body is too long or breaks off.
        let body = match Limited::new(response.into_body(), MAX_RESPONSE).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(_) => Vec::new(),
        };
        Ok(Response { status, retry_after, body })
    }
}

fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    format!("can't be reached: {}", crate::cause::innermost(error))
}
