//! `producer status`: batches, progress, depth of the queues, age of the oldest job.

use adapters::amqp::{Depth, Topology, depths};
use adapters::postgres::{BatchSummary, Database, Progress};
use adapters::retry::{RetryPolicy, retry_while};
use chrono::{DateTime, Utc};
use domain::visible::visible;
use settings::Settings;
use std::io::Write;

use crate::error::ProducerError;
use crate::follow::line;
use crate::follow::unserved;
use crate::meter::clock;
use crate::services::{self, RABBITMQ};
use crate::table::{Side, lines, tail};

/// Batches listed.
const BATCHES: u32 = 10;
const NAME_CELLS: usize = 48;

/// The batch of this name or id, or the latest.
///
/// # Errors
/// [`ProducerError::Input`] when there is none.
pub async fn batch(database: &Database, name: &str) -> Result<BatchSummary, ProducerError> {
    let found = match name {
        "latest" => database.latest_batch().await?,
        name => database.find_batch(name).await?,
    };
    found.ok_or_else(|| match name {
        "latest" => ProducerError::input("there is no batch yet: `producer enqueue SOURCE` makes one"),
        name => ProducerError::input(format!("there is no batch `{name}`: `producer status` lists them")),
    })
}

/// Writes the state of the fleet, by database and broker.
///
/// # Errors
/// [`ProducerError::Service`].
pub async fn write(
    settings: &Settings,
    name: &str,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<(), ProducerError> {
    let database = services::database(settings, policy).await?;
    let batches = database.batches(BATCHES).await?;
    let mut models = database.open_models().await?;
    if !models.contains(&settings.model.name) {
        models.push(settings.model.name.clone());
    }
    let queues = retry_while(policy, RABBITMQ, || depths(&settings.amqp, &models)).await?;
    let mut open = Vec::with_capacity(models.len());
    for model in models {
        let jobs = database.open_jobs(&model).await?;
        open.push((model, jobs));
    }
    let mut text = Vec::new();
    if batches.is_empty() {
        text.push("no batch yet: `producer enqueue SOURCE` makes one".to_owned());
    } else {
        text.extend(batch_table(&batches));
        let chosen = batch(&database, name).await?;
        let progress = database.batch_progress(&chosen.id).await?;
        text.push(String::new());
        text.push(format!("{}  ({})", chosen.name, chosen.id));
        text.extend(progress_lines(&progress, Utc::now()));
    }
    text.push(String::new());
    text.extend(queue_table(&queues));
    let unserved = unserved::sentences(&open, &Topology::new(&settings.amqp), &queues);
    text.extend(unserved.iter().map(|sentence| visible(sentence).into_owned()));
    // A closed pipe is no failure.
    let _ = text.iter().try_for_each(|line| writeln!(out, "{line}"));
    Ok(())
}

fn batch_table(batches: &[BatchSummary]) -> Vec<String> {
    let rows: Vec<_> = batches
        .iter()
        .map(|b| {
            let open = b.total.saturating_sub(b.done + b.failed);
            let when = b.created_at.format("%Y-%m-%d %H:%M").to_string();
            [
                tail(&b.name, NAME_CELLS),
                when,
                b.total.to_string(),
                b.done.to_string(),
                b.failed.to_string(),
                open.to_string(),
            ]
        })
        .collect();
    let header = [
        ("batch", Side::Left),
        ("created (UTC)", Side::Left),
        ("total", Side::Right),
        ("done", Side::Right),
        ("failed", Side::Right),
        ("open", Side::Right),
    ];
    lines(header, &rows)
}

fn progress_lines(progress: &Progress, now: DateTime<Utc>) -> Vec<String> {
    let since = |t: DateTime<Utc>| (now - t).as_seconds_f64();
    let mut lines = vec![format!("  {} of {}  {}", progress.ended(), progress.total, line(progress, rate(progress)))];
    if let Some(oldest) = progress.oldest_queued_at {
        lines.push(format!("  oldest job waits for {}", clock(since(oldest))));
    }
    if let (Some(first), Some(last)) = (progress.first_started_at, progress.last_finished_at) {
        let took = clock((last - first).as_seconds_f64());
        lines.push(format!("  worked on for {took}, last result {} ago", clock(since(last))));
    }
    lines
}

/// Jobs a second, from the first that began to the last that ended.
fn rate(progress: &Progress) -> f64 {
    let (Some(first), Some(last)) = (progress.first_started_at, progress.last_finished_at) else { return 0.0 };
    let seconds = (last - first).as_seconds_f64();
    if seconds < 1.0 || progress.is_complete() { 0.0 } else { progress.ended() as f64 / seconds }
}

fn queue_table(depths: &[Depth]) -> Vec<String> {
    let rows: Vec<_> =
        depths.iter().map(|d| [d.queue.clone(), d.messages.to_string(), d.consumers.to_string()]).collect();
    lines([("queue", Side::Left), ("waiting", Side::Right), ("consumers", Side::Right)], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn the_age_of_the_oldest_job_is_told() {
        let now = Utc::now();
        let progress = Progress {
            total: 10,
            queued: 4,
            done: 6,
            oldest_queued_at: Some(now - TimeDelta::seconds(90)),
            first_started_at: Some(now - TimeDelta::seconds(62)),
            last_finished_at: Some(now - TimeDelta::seconds(2)),
            ..Progress::default()
        };
        let lines = progress_lines(&progress, now);
        assert_eq!(lines[0], "  6 of 10  done 6  failed 0  queued 4  0.1/s  0:40 left");
        assert_eq!(lines[1], "  oldest job waits for 1:30");
        assert_eq!(lines[2], "  worked on for 1:00, last result 0:02 ago");
    }
}
