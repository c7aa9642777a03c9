//! A webhook receiver that is as strict as the services: it checks every signature, enforces rate limits,
//! and fails where a test asks for it.

use adapters::boxed;
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

/// How one request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This HTTP status.
    Status(u16),
    /// 429 and `Retry-After`, seconds.
    RetryAfter(u64),
    /// No response.
    Stall,
}

/// A request that was accepted.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Path it came to: the destination's name.
    pub destination: String,
    /// Its body.
    pub body: Value,
}

/// The behaviour of one destination.
#[derive(Debug, Clone, Default)]
struct Behaviour {
    faults: VecDeque<Fault>,
    per_minute: Option<usize>,
    seen: Vec<Instant>,
}

#[derive(Default)]
struct Records {
    behaviours: BTreeMap<String, Behaviour>,
    arrivals: Vec<Arrival>,
    /// Wrong signatures, and rate limits that were exceeded.
    violations: Vec<String>,
    requests: usize,
}

/// A server on the loopback interface. Paths are `/SERVICE/DESTINATION`.
#[derive(Clone)]
pub struct Receiver {
    records: Arc<Mutex<Records>>,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Receiver {
    /// Starts the server.
    ///
    /// # Errors
    /// When no port is free.
    #[boxed]
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let receiver = Self { records: Arc::default(), url };
        let app = Router::new().route("/{service}/{destination}", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(receiver)
    }

    /// The next requests to this destination fail like this.
    pub fn faults(&self, destination: &str, faults: &[Fault]) {
        self.with(|records| {
            records.behaviours.entry(destination.into()).or_default().faults = faults.iter().copied().collect();
        });
    }

    /// More requests in any sixty seconds are a violation, and answered as the service does.
    pub fn limit(&self, destination: &str, per_minute: usize) {
        self.with(|records| records.behaviours.entry(destination.into()).or_default().per_minute = Some(per_minute));
    }

    /// The requests accepted so far.
    pub fn arrivals(&self, destination: &str) -> Vec<Arrival> {
        self.with(|records| records.arrivals.iter().filter(|a| a.destination == destination).cloned().collect())
    }

    /// How often each of these words occurs in accepted requests.
    pub fn mentions(&self, destination: &str, words: &[String]) -> Vec<usize> {
        let bodies: Vec<_> = self.arrivals(destination).iter().map(|a| a.body.to_string()).collect();
        words.iter().map(|word| bodies.iter().map(|body| body.matches(word.as_str()).count()).sum()).collect()
    }

    /// Wrong signatures and exceeded rate limits; should be empty.
    pub fn violations(&self) -> Vec<String> {
        self.with(|records| records.violations.clone())
    }

    /// Number of all requests, failed ones included.
    pub fn requests(&self) -> usize {
        self.with(|records| records.requests)
    }

    /// Waits for a condition.
    ///
    /// # Errors
    /// When it does not hold within `timeout`.
    pub async fn until(&self, timeout: Duration, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !holds(self) {
            anyhow::ensure!(begun.elapsed() < timeout, "not within {timeout:?}; violations: {:?}", self.violations());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    }

    fn with<T>(&self, access: impl FnOnce(&mut Records) -> T) -> T {
        access(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
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
    let (fault, too_many) = receiver.with(|records| {
        records.requests += 1;
        let behaviour = records.behaviours.entry(destination.clone()).or_default();
        behaviour.seen.retain(|seen| at.duration_since(*seen) < Duration::from_secs(60));
        behaviour.seen.push(at);
        (behaviour.faults.pop_front(), behaviour.per_minute.is_some_and(|most| behaviour.seen.len() > most))
    });
    if too_many {
        receiver.with(|records| records.violations.push(format!("{destination}: too many requests")));
        return rate_limited(&service);
    }
    match fault {
        Some(Fault::Status(status)) => {
            return StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        }
        Some(Fault::RetryAfter(seconds)) => {
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())]).into_response();
        }
        Some(Fault::Stall) => std::future::pending::<()>().await,
        None => {}
    }
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Err(why) = check(&service, &query, &headers, &body, &json) {
        receiver.with(|records| records.violations.push(format!("{destination}: {why}")));
        return rejected(&service, &why);
    }
    receiver.with(|records| records.arrivals.push(Arrival { at, destination, body: json }));
    match service.as_str() {
        "dingtalk" | "wecom" => axum::Json(json!({ "errcode": 0, "errmsg": "ok" })).into_response(),
        "feishu" => axum::Json(json!({ "code": 0, "msg": "success" })).into_response(),
        _ => "ok".into_response(),
    }
}

/// Each service's response to too many requests.
fn rate_limited(service: &str) -> Response {
    match service {
        "dingtalk" => axum::Json(json!({ "errcode": 130_101, "errmsg": "send too fast" })).into_response(),
        "wecom" => axum::Json(json!({ "errcode": 45_009, "errmsg": "api freq out of limit" })).into_response(),
        "feishu" => axum::Json(json!({ "code": 11_232, "msg": "frequency limited" })).into_response(),
        _ => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
    }
}

fn rejected(service: &str, why: &str) -> Response {
    match service {
        "dingtalk" => axum::Json(json!({ "errcode": 310_000, "errmsg": why })).into_response(),
        "wecom" => axum::Json(json!({ "errcode": 40_058, "errmsg": why })).into_response(),
        "feishu" => axum::Json(json!({ "code": 19_021, "msg": why })).into_response(),
        _ => (StatusCode::UNAUTHORIZED, why.to_owned()).into_response(),
    }
}

/// Whether the service accepts a request: signature, age, format, size.
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
            well_formed(json["alerts"].as_array().is_some_and(|list| !list.is_empty()))
        }
        "dingtalk" => {
            let timestamp = query.get("timestamp").cloned().unwrap_or_default();
            fresh(timestamp.parse::<i64>().unwrap_or(0) / 1000)?;
            let expected = sign(SECRET.as_bytes(), format!("{timestamp}\n{SECRET}").as_bytes());
            same(query.get("sign").map_or("", String::as_str), &expected)?;
            well_formed(json["msgtype"] == "markdown" && json["markdown"]["title"].is_string() && body.len() <= 20_000)
        }
        "feishu" => {
            let timestamp = json["timestamp"].as_str().unwrap_or_default();
            fresh(timestamp.parse().unwrap_or(0))?;
            let expected = sign(format!("{timestamp}\n{SECRET}").as_bytes(), b"");
            same(json["sign"].as_str().unwrap_or_default(), &expected)?;
            well_formed(
                json["msg_type"] == "interactive" && json["card"]["elements"].is_array() && body.len() <= 20 * 1024,
            )
        }
        "wecom" => {
            let content = json["markdown"]["content"].as_str().unwrap_or_default();
            well_formed(json["msgtype"] == "markdown" && (1..=4096).contains(&content.len()))
        }
        "slack" => {
            let text = |block: &Value| block["text"]["text"].as_str().unwrap_or_default().chars().count();
            let blocks = json["blocks"].as_array().cloned().unwrap_or_default();
            let small = (1..=50).contains(&blocks.len()) && blocks.iter().all(|b| (1..=3000).contains(&text(b)));
            well_formed(json["text"].is_string() && small)
        }
        other => Err(format!("`{other}` is no service")),
    }
}

fn well_formed(valid: bool) -> Result<(), String> {
    if valid { Ok(()) } else { Err("not of the service's format or size".into()) }
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
