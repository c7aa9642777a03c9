//! A receiver of webhooks that is as strict as the services it plays: it checks every signature,
//! enforces the limit on requests, and misbehaves where a test asks it to.

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The secret of every destination.
pub const SECRET: &str = "a secret of more than sixteen bytes";

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// This HTTP status.
    Status(u16),
    /// 429 and `Retry-After`, seconds.
    RetryAfter(u64),
    /// No answer.
    Stall,
}

/// A request that was taken.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Path it came to: the destination's name.
    pub destination: String,
    /// Its body.
    pub body: Value,
}

/// What one destination is like.
#[derive(Debug, Clone, Default)]
struct Manner {
    mishaps: VecDeque<Mishap>,
    per_minute: Option<usize>,
    seen: Vec<Instant>,
}

#[derive(Default)]
struct Book {
    manners: BTreeMap<String, Manner>,
    arrivals: Vec<Arrival>,
    /// Signatures that did not match, and limits that were passed.
    offences: Vec<String>,
    requests: usize,
}

/// A server on the loopback, up until it is dropped. Paths are `/SERVICE/DESTINATION`.
#[derive(Clone)]
pub struct Receiver {
    book: Arc<Mutex<Book>>,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Receiver {
    /// Begins to listen.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let receiver = Self { book: Arc::default(), url };
        let app = Router::new().route("/{service}/{destination}", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(receiver)
    }

    /// The next requests to this destination go wrong so.
    pub fn mishaps(&self, destination: &str, mishaps: &[Mishap]) {
        self.with(|book| {
            book.manners.entry(destination.into()).or_default().mishaps = mishaps.iter().copied().collect();
        });
    }

    /// More requests in any sixty seconds are an offence, and answered as the service answers them.
    pub fn limit(&self, destination: &str, per_minute: usize) {
        self.with(|book| book.manners.entry(destination.into()).or_default().per_minute = Some(per_minute));
    }

    /// What was taken so far.
    pub fn arrivals(&self, destination: &str) -> Vec<Arrival> {
        self.with(|book| book.arrivals.iter().filter(|a| a.destination == destination).cloned().collect())
    }

    /// How often each of these words stands in what was taken.
    pub fn mentions(&self, destination: &str, words: &[String]) -> Vec<usize> {
        let bodies: Vec<_> = self.arrivals(destination).iter().map(|a| a.body.to_string()).collect();
        words.iter().map(|word| bodies.iter().map(|body| body.matches(word.as_str()).count()).sum()).collect()
    }

    /// Wrong signatures and limits passed; to be empty.
    pub fn offences(&self) -> Vec<String> {
        self.with(|book| book.offences.clone())
    }

    /// All requests, those that went wrong included.
    pub fn requests(&self) -> usize {
        self.with(|book| book.requests)
    }

    /// Waits until this holds.
    ///
    /// # Errors
    /// When it does not within `patience`.
    pub async fn until(&self, patience: Duration, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !holds(self) {
            anyhow::ensure!(begun.elapsed() < patience, "not within {patience:?}; offences: {:?}", self.offences());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Book) -> T) -> T {
        look(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    Path((service, destination)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at = Instant::now();
    let (mishap, too_many) = receiver.with(|book| {
        book.requests += 1;
        let manner = book.manners.entry(destination.clone()).or_default();
        manner.seen.retain(|seen| at.duration_since(*seen) < Duration::from_secs(60));
        manner.seen.push(at);
        (manner.mishaps.pop_front(), manner.per_minute.is_some_and(|most| manner.seen.len() > most))
    });
    if too_many {
        receiver.with(|book| book.offences.push(format!("{destination}: too many requests")));
        return too_fast(&service);
    }
    match mishap {
        Some(Mishap::Status(status)) => {
            return StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        }
        Some(Mishap::RetryAfter(seconds)) => {
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())]).into_response();
        }
        Some(Mishap::Stall) => std::future::pending::<()>().await,
        None => {}
    }
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Err(why) = check(&service, &query, &headers, &body, &json) {
        receiver.with(|book| book.offences.push(format!("{destination}: {why}")));
        return refusal(&service, &why);
    }
    receiver.with(|book| book.arrivals.push(Arrival { at, destination, body: json }));
    match service.as_str() {
        "dingtalk" | "wecom" => axum::Json(json!({ "errcode": 0, "errmsg": "ok" })).into_response(),
        "feishu" => axum::Json(json!({ "code": 0, "msg": "success" })).into_response(),
        _ => "ok".into_response(),
    }
}

/// Each service's answer to too many requests.
fn too_fast(service: &str) -> Response {
    match service {
        "dingtalk" => axum::Json(json!({ "errcode": 130_101, "errmsg": "send too fast" })).into_response(),
        "wecom" => axum::Json(json!({ "errcode": 45_009, "errmsg": "api freq out of limit" })).into_response(),
        "feishu" => axum::Json(json!({ "code": 11_232, "msg": "frequency limited" })).into_response(),
        _ => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
    }
}

fn refusal(service: &str, why: &str) -> Response {
    match service {
        "dingtalk" => axum::Json(json!({ "errcode": 310_000, "errmsg": why })).into_response(),
        "wecom" => axum::Json(json!({ "errcode": 40_058, "errmsg": why })).into_response(),
        "feishu" => axum::Json(json!({ "code": 19_021, "msg": why })).into_response(),
        _ => (StatusCode::UNAUTHORIZED, why.to_owned()).into_response(),
    }
}

/// Whether a request is what the service takes: signature, age, shape, size.
fn check(
    service: &str,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
    body: &[u8],
    json: &Value,
) -> Result<(), String> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let same = |given: &str, expected: &str| {
        if given == expected { Ok(()) } else { Err(format!("signature {given} is not {expected}")) }
    };
    match service {
        "webhook" => {
            let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
            fresh(timestamp.parse().unwrap_or(0))?;
            let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
            same(&header("webhook-signature"), &format!("v1,{}", sign(SECRET.as_bytes(), &signed)))?;
            shaped(json["alerts"].as_array().is_some_and(|list| !list.is_empty()))
        }
        "dingtalk" => {
            let timestamp = query.get("timestamp").cloned().unwrap_or_default();
            fresh(timestamp.parse::<i64>().unwrap_or(0) / 1000)?;
            let expected = sign(SECRET.as_bytes(), format!("{timestamp}\n{SECRET}").as_bytes());
            same(query.get("sign").map_or("", String::as_str), &expected)?;
            shaped(json["msgtype"] == "markdown" && json["markdown"]["title"].is_string() && body.len() <= 20_000)
        }
        "feishu" => {
            let timestamp = json["timestamp"].as_str().unwrap_or_default();
            fresh(timestamp.parse().unwrap_or(0))?;
            let expected = sign(format!("{timestamp}\n{SECRET}").as_bytes(), b"");
            same(json["sign"].as_str().unwrap_or_default(), &expected)?;
            shaped(json["msg_type"] == "interactive" && json["card"]["elements"].is_array() && body.len() <= 20 * 1024)
        }
        "wecom" => {
            let content = json["markdown"]["content"].as_str().unwrap_or_default();
            shaped(json["msgtype"] == "markdown" && (1..=4096).contains(&content.len()))
        }
        "slack" => {
            let text = |block: &Value| block["text"]["text"].as_str().unwrap_or_default().chars().count();
            let blocks = json["blocks"].as_array().cloned().unwrap_or_default();
            let small = (1..=50).contains(&blocks.len()) && blocks.iter().all(|b| (1..=3000).contains(&text(b)));
            shaped(json["text"].is_string() && small)
        }
        other => Err(format!("`{other}` is no service")),
    }
}

fn shaped(right: bool) -> Result<(), String> {
    if right { Ok(()) } else { Err("not of the service's form or size".into()) }
}

fn fresh(timestamp_s: i64) -> Result<(), String> {
    let age = chrono::Utc::now().timestamp() - timestamp_s;
    if age.abs() <= 60 { Ok(()) } else { Err(format!("the timestamp is {age} s old")) }
}

fn sign(key: &[u8], message: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    BASE64.encode(mac.finalize().into_bytes())
}
