//! The end of a run: faults are lifted, operators repeat what was cut short, and the fleet comes to rest.

use adapters::amqp::Topology;
use anyhow::{Context, Result, bail};
use sqlx::Row;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;

use super::calls::is_old;
use super::diary::Fate;
use super::stage::{Stage, WORKERS, signal};

/// Longest time without any progress.
const STALL: Duration = Duration::from_secs(180);
/// Longest time until the fleet is at rest.
const LONGEST: Duration = Duration::from_secs(1800);

/// What is still to do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rest {
    /// Jobs that have not ended.
    open: i64,
    /// Jobs that have.
    ended: i64,
    /// Messages of alerts that were not delivered.
    owed: i64,
    /// Messages in the queues of jobs.
    queued: u32,
}

impl Stage {
    /// Brings the fleet to rest with everything done that was asked for. Says what an operator had to do for it: failure
    /// codes of good recordings that had to be asked for again.
    ///
    /// # Errors
    /// When the fleet does not come to rest; the message says what is left.
    pub async fn finish(&self) -> Result<BTreeMap<String, usize>> {
        self.lift_faults().await?;
        for (name, count) in [("worker", WORKERS), ("dispatcher", 1)] {
            while self.programs.lock().await.iter().filter(|program| program.name == name).count() < count {
                self.employ(name).await?;
            }
        }
        // What was cut short is repeated, as the documentation says.
        let all: Vec<usize> = (0..self.calls.list.len()).collect();
        self.expect(self.enqueue(&all, &[], None).await?.code, &[0, 3], "the last enqueue");
        self.rest().await?;
        self.repeat_deletions().await?;
        self.expect(self.producer(&["prune", "--older-than", "3650d"], None).await?.code, &[0], "the last prune");
        let repaired = self.repair().await?;
        self.tempt().await?;
        self.stop_all().await?;
        Ok(repaired)
    }

    fn expect(&self, code: Option<i32>, wanted: &[i32], what: &str) {
        if code.is_none_or(|code| !wanted.contains(&code)) {
            self.problem(format!("{what} ended with {code:?}, with no fault left"));
        }
    }

    /// Waits until no job is open, every alert is delivered and no queue has a message.
    async fn rest(&self) -> Result<()> {
        let begun = Instant::now();
        let (mut last, mut moved) = (None, Instant::now());
        loop {
            let rest = self.what_is_left().await?;
            if (rest.open, rest.owed, rest.queued) == (0, 0, 0) {
                return Ok(());
            }
            if last.as_ref() != Some(&rest) {
                (last, moved) = (Some(rest.clone()), Instant::now());
            }
            if moved.elapsed() > STALL || begun.elapsed() > LONGEST {
                bail!(
                    "the fleet does not come to rest: {rest:?}\n{}\n{}",
                    self.open_jobs().await?,
                    self.rig.log_tail()
                );
            }
            self.supervise().await?;
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn what_is_left(&self) -> Result<Rest> {
        let query = "SELECT count(*) FILTER (WHERE state IN ('queued', 'running', 'retrying')) AS open,
                count(*) FILTER (WHERE state IN ('done', 'failed')) AS ended,
                (SELECT count(*) FROM outbox WHERE delivered_at IS NULL) AS owed FROM analyses";
        let row = sqlx::query(query).fetch_one(self.rig.database.pool()).await?;
        let dead = Topology::new(&self.rig.direct.amqp).dead();
        let depths = adapters::amqp::depths(&self.rig.direct.amqp, &[&self.rig.direct.model.name]).await?;
        let queued = depths.iter().filter(|depth| depth.queue != dead).map(|depth| depth.messages).sum();
        Ok(Rest { open: row.get("open"), ended: row.get("ended"), owed: row.get("owed"), queued })
    }

    async fn open_jobs(&self) -> Result<String> {
        let query = "SELECT job_id::text || ' ' || state || ' ' || coalesce(worker, '') || ' published ' ||
                coalesce(published_at::text, 'never') || ' begun ' || coalesce(started_at::text, 'never')
            FROM analyses WHERE state IN ('queued', 'running', 'retrying') LIMIT 20";
        let lines: Vec<String> = sqlx::query_scalar(query).fetch_all(self.rig.database.pool()).await?;
        Ok(lines.join("\n"))
    }

    /// Rows that a deletion claimed and did not delete are found by the next one.
    async fn repeat_deletions(&self) -> Result<()> {
        let query = "SELECT DISTINCT r.call_id FROM analyses a JOIN recordings r ON r.id = a.recording_id
            WHERE a.status = 'deleting'";
        let calls: Vec<String> = sqlx::query_scalar(query).fetch_all(self.rig.database.pool()).await?;
        for call in calls {
            let ended = self.producer(&["prune", "--call", &call, "--even-unfinished"], None).await?;
            self.expect(ended.code, &[0], "the repetition of a deletion");
        }
        Ok(())
    }

    /// What failed for another reason than its own is asked for again: dead letters of services are replayed, then what is
    /// still wrong is forced.
    async fn repair(&self) -> Result<BTreeMap<String, usize>> {
        let mut repaired: BTreeMap<String, usize> = BTreeMap::new();
        let wrong = self.wrongly_failed().await?;
        for (_, code) in &wrong {
            *repaired.entry(code.clone()).or_default() += 1;
        }
        for code in repaired.keys() {
            let ended = self.producer(&["dlq", "replay", "--code", code, "--yes"], None).await?;
            self.expect(ended.code, &[0], "the last replay");
        }
        self.rest().await?;
        let wrong: Vec<usize> = self.wrongly_failed().await?.into_iter().map(|(call, _)| call).collect();
        if !wrong.is_empty() {
            self.expect(self.force(&wrong, None).await?.code, &[0], "the last enqueue --force");
            self.rest().await?;
        }
        Ok(repaired)
    }

    /// Calls whose row is failed with another code than their recording deserves.
    async fn wrongly_failed(&self) -> Result<Vec<(usize, String)>> {
        let query = "SELECT job_id, failure_code FROM analyses WHERE status = 'failed'";
        let rows = sqlx::query(query).fetch_all(self.rig.database.pool()).await?;
        let failed: BTreeMap<uuid::Uuid, String> =
            rows.iter().map(|row| (row.get("job_id"), row.get("failure_code"))).collect();
        let wrong = self.calls.list.iter().enumerate().filter_map(|(number, call)| {
            let code = failed.get(&call.job.job_id.0)?;
            (call.code != Some(code.as_str())).then(|| (number, code.clone()))
        });
        Ok(wrong.collect())
    }

    /// Late messages of deleted calls, and the next enqueue, bring nothing back.
    async fn tempt(&self) -> Result<()> {
        let deleted: Vec<usize> = {
            let diary = self.diary();
            (0..self.calls.list.len()).filter(|call| is_old(*call) || diary.fate(*call) == Fate::Absent).collect()
        };
        let jobs: Vec<_> = deleted.iter().map(|call| self.calls.list[*call].job.clone()).collect();
        for result in self.rig.publisher.publish_jobs(&jobs, adapters::amqp::Lane::Bulk).await {
            result?;
        }
        self.expect(self.enqueue(&deleted, &[], None).await?.code, &[0, 3], "an enqueue of what was deleted");
        self.rest().await
    }

    /// Ends all programs by SIGTERM, workers until no message is left that one of them had in flight.
    async fn stop_all(&self) -> Result<()> {
        for _ in 0..10 {
            while let Some(mut worker) = self.take("worker", 0).await {
                signal(&worker.child, "-TERM")?;
                tokio::time::timeout(Duration::from_secs(90), worker.child.wait())
                    .await
                    .context("a worker stays")??;
            }
            // Closing connections return what they had.
            sleep(Duration::from_secs(1)).await;
            if self.what_is_left().await?.queued == 0 {
                while let Some(mut dispatcher) = self.take("dispatcher", 0).await {
                    signal(&dispatcher.child, "-TERM")?;
                    let ended = tokio::time::timeout(Duration::from_secs(90), dispatcher.child.wait()).await;
                    ended.context("a dispatcher stays")??;
                }
                return Ok(());
            }
            self.employ("worker").await?;
            self.rest().await?;
        }
        bail!("messages come back again and again: {:?}", self.what_is_left().await?)
    }
}
