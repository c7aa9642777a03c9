//! What a job costs its services: a count, which no busy machine changes.

use anyhow::{Context, Result};
use domain::Job;
use serde_json::Value;
use tests::captured::Captured;
use tests::fleet::{Fleet, Wish};
use tests::speech;

/// Begin, still the owner before the upload; then the result, its segments, its channels, and the commit.
const STATEMENTS: usize = 6;
/// The recording, and the three artifacts.
const REQUESTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_takes_six_statements_and_four_requests() -> Result<()> {
    let log = Captured::default();
    let writer = log.clone();
    let filter = "info,sqlx::query=trace,aws_smithy_runtime_api=trace";
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(move || writer.clone()).init();
    let fleet = Fleet::start().await?;
    // The first one makes the month's partition, and opens connections.
    let mut last = None;
    for name in ["first.wav", "second.wav"] {
        let key =
            fleet.upload(name, speech::encoded("a.wav", &["-t", if last.is_none() { "2" } else { "3" }])?).await?;
        let job = fleet.job(key, Wish::default());
        fleet.enqueue(std::slice::from_ref(&job)).await?;
        fleet.ended(job.job_id).await?;
        last = Some(job);
    }
    let job = last.context("two jobs")?;
    fleet.end().await?;
    let events = log.events()?;
    let of_job: Vec<&Value> = events.iter().filter(|event| is_of(event, &job)).collect();
    let statements: Vec<_> = of_job.iter().filter(|event| event["target"] == "sqlx::query").collect();
    assert_eq!(statements.len(), STATEMENTS, "{statements:#?}");
    let sent = |event: &&&Value| event["fields"]["message"] == "entering 'transmit' phase";
    let requests: Vec<_> = of_job.iter().filter(sent).collect();
    assert_eq!(requests.len(), REQUESTS, "{requests:#?}");
    Ok(())
}

/// Whether the event is in the span of the job.
fn is_of(event: &Value, job: &Job) -> bool {
    let id = job.job_id.to_string();
    event["spans"].as_array().is_some_and(|spans| spans.iter().any(|span| span["job_id"] == id))
}
