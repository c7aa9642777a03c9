//! Starts of workers that reach a rig's services without its proxies: for measurements.

use adapters::boxed;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

use crate::rig::Rig;

/// Longest that a worker may take to its readiness.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The environment of such a worker, with the model of `rig.direct`.
pub fn environment(rig: &Rig) -> Vec<(&'static str, String)> {
    let model = &rig.direct.model;
    let mut variables = rig.without_proxies().to_vec();
    variables.extend([
        ("EMOFLEET__MODEL__DIR", model.dir.display().to_string()),
        ("EMOFLEET__MODEL__NAME", model.name.clone()),
    ]);
    variables
}

/// Starts one, with further settings; the time until it takes jobs.
///
/// # Errors
/// When it is not ready within two minutes; the message has its log.
#[boxed]
pub async fn start(rig: &mut Rig, more: &[(String, String)]) -> Result<Duration> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut variables = environment(rig);
    variables.push(("EMOFLEET__WORKER__HEALTH_ADDR", address.clone()));
    variables.extend(more.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let begun = Instant::now();
    rig.start_worker_with(&variables.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())?;
    let page = format!("http://{address}/ready");
    while !reqwest::get(&page).await.is_ok_and(|answer| answer.status().is_success()) {
        ensure!(begun.elapsed() < TIMEOUT, "not ready within {TIMEOUT:?}:\n{}", rig.log_tail());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(begun.elapsed())
}
