//! The audit of a run: rows, objects, dead letters and alerts against what was asked for.

use adapters::amqp::{DeadLetter, DeadLetters, Filter};
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use domain::{JobId, Report};
use futures_util::{StreamExt, TryStreamExt, stream};
use lapin::options::{BasicAckOptions, BasicGetOptions};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use super::calls::{ChaosCall, is_old};
use super::diary::Fate;
use super::stage::{HOOK, Stage};

/// Codes of messages that were refused before they were a job: they need no row.
const REFUSED: [&str; 3] = ["job.unreadable", "job.unknown_version", "job.identity_mismatch"];
/// More attempts of one job than this are no accident.
const MOST_ATTEMPTS: i32 = 60;

/// What was found, beside what is wrong.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Jobs that are done.
    pub done: usize,
    /// Jobs that failed as they must.
    pub failed: usize,
    /// Calls that were deleted.
    pub deleted: usize,
    /// Jobs that needed more than one attempt.
    pub repeated: usize,
    /// Most attempts of one job.
    pub most_attempts: i32,
    /// Dead letters.
    pub letters: usize,
    /// Alerts.
    pub alerts: usize,
    /// Messages of alerts that the receiver got more than once.
    pub repeated_alerts: usize,
    /// Artifacts of results that were replaced, which nothing names: see the limits in docs/delivery.md.
    pub leftovers: usize,
    /// Dead letters of jobs that are done since.
    pub overtaken_letters: usize,
}

impl Stage {
    /// Compares everything. What is wrong is a problem of the diary.
    ///
    /// # Errors
    /// When a service does not answer.
    pub async fn audit(&self) -> Result<Found> {
        let mut found = Found::default();
        let query = "SELECT a.*, r.key, r.bucket, r.call_id,
                (SELECT count(*) FROM segments s WHERE s.job_id = a.job_id) AS segment_rows
            FROM analyses a JOIN recordings r ON r.id = a.recording_id";
        let rows = sqlx::query(query).fetch_all(self.rig.database.pool()).await?;
        let rows: BTreeMap<JobId, PgRow> = rows.into_iter().map(|row| (JobId(row.get("job_id")), row)).collect();
        let letters = DeadLetters::new(&self.rig.direct.amqp).list(&Filter::default(), usize::MAX / 4).await?.letters;
        found.letters = letters.len();
        self.audit_rows(&rows, &letters, &mut found);
        self.audit_letters(&rows, &letters, &mut found);
        self.audit_results(&rows).await?;
        self.audit_objects(&rows, &mut found).await?;
        self.audit_recordings(&rows).await?;
        self.audit_tables().await?;
        self.audit_alerts(&mut found).await?;
        self.audit_logs()?;
        Ok(found)
    }

    fn audit_rows(&self, rows: &BTreeMap<JobId, PgRow>, letters: &[DeadLetter], found: &mut Found) {
        let known: BTreeSet<JobId> = self.calls.list.iter().map(|call| call.job.job_id).collect();
        for job in rows.keys().filter(|job| !known.contains(job)) {
            self.problem(format!("{job} is a job that nobody enqueued"));
        }
        for (number, call) in self.calls.list.iter().enumerate() {
            let fate = if is_old(number) { Fate::Absent } else { self.diary().fate(number) };
            match (rows.get(&call.job.job_id), fate) {
                (None, Fate::Present) => self.problem(format!("{} is lost", call.id)),
                (None, _) => found.deleted += 1,
                (Some(row), Fate::Absent) => {
                    let (state, run): (String, i32) = (row.get("state"), row.get("run"));
                    self.problem(format!("{} was deleted and is there again: {state}, run {run}", call.id));
                }
                (Some(row), _) => self.audit_row(number, call, row, letters, found),
            }
        }
    }

    fn audit_row(&self, number: usize, call: &ChaosCall, row: &PgRow, letters: &[DeadLetter], found: &mut Found) {
        let (status, state): (String, String) = (row.get("status"), row.get("state"));
        let code: Option<String> = row.get("failure_code");
        let attempts: i32 = row.get("attempts");
        found.repeated += usize::from(attempts > 1 || row.get::<i32, _>("retries") > 0);
        found.most_attempts = found.most_attempts.max(attempts);
        if status != state || row.get::<i32, _>("unfinished") != 0 || attempts > MOST_ATTEMPTS {
            let unfinished: i32 = row.get("unfinished");
            self.problem(format!("{}: {status}, {state}, {attempts} attempts, {unfinished} unfinished", call.id));
        }
        match call.code {
            None if status == "done" => found.done += 1,
            Some(expected) if status == "failed" && code.as_deref() == Some(expected) => {
                found.failed += 1;
                let finished: DateTime<Utc> = row.get("finished_at");
                let has_letter = letters.iter().any(|l| l.row() == Some(call.job.job_id) && l.code == expected);
                if !has_letter && !self.diary().may_be_dropped(expected, finished) {
                    self.problem(format!("{} failed with {expected} and has no dead letter", call.id));
                }
            }
            _ => {
                let expected = call.code.unwrap_or("done");
                self.problem(format!("{} (number {number}) is {status} with {code:?}, not {expected}", call.id));
            }
        }
    }

    fn audit_letters(&self, rows: &BTreeMap<JobId, PgRow>, letters: &[DeadLetter], found: &mut Found) {
        let by_id: BTreeMap<JobId, usize> = (0..).zip(&self.calls.list).map(|(n, call)| (call.job.job_id, n)).collect();
        for letter in letters {
            let Some(job) = letter.row() else { continue };
            let Some(row) = rows.get(&job) else {
                let call = by_id.get(&job).map(|call| self.calls.list[*call].id.as_str());
                // Of a message without the call's data, and whose row came later or never, nothing is personal.
                if letter.job().is_some() || call.is_none() {
                    self.problem(format!("a dead letter of {call:?}, which was deleted: {} {}", letter.code, job));
                }
                continue;
            };
            let codes: [Option<String>; 2] = [row.get("failure_code"), row.get("repeat_failure_code")];
            let current = codes.iter().flatten().any(|code| *code == letter.code);
            if !current && !REFUSED.contains(&letter.code.as_str()) {
                found.overtaken_letters += 1;
            }
        }
    }

    /// Artifacts of done jobs: there, of this job, and with the row's result; the same sound has the same result.
    async fn audit_results(&self, rows: &BTreeMap<JobId, PgRow>) -> Result<()> {
        let mut of_sound: BTreeMap<usize, (Option<String>, Option<f32>, i64, i64)> = BTreeMap::new();
        let done =
            |call: &&ChaosCall| rows.get(&call.job.job_id).is_some_and(|row| row.get::<String, _>("status") == "done");
        let checks = self.calls.list.iter().filter(done).map(|call| async move {
            let row = &rows[&call.job.job_id];
            (call, row, self.artifacts(row, call).await)
        });
        let mut checks = stream::iter(checks).buffered(8);
        while let Some((call, row, artifacts)) = checks.next().await {
            let audio = match artifacts {
                Ok(audio) => audio,
                Err(error) => {
                    self.problem(format!("{}: {error:#}", call.id));
                    continue;
                }
            };
            let result = (row.get("emotion"), row.get("confidence"), row.get::<i64, _>("segment_rows"), audio);
            let first = of_sound.entry(call.sound).or_insert_with(|| result.clone());
            let close = first.1.zip(result.1).is_none_or(|(a, b)| (a - b).abs() < 1e-3);
            if (&first.0, first.2, first.3) != (&result.0, result.2, result.3) || !close {
                self.problem(format!("{}: its result is {result:?}, that of the same sound {first:?}", call.id));
            }
        }
        Ok(())
    }

    /// Bytes of the processed audio.
    async fn artifacts(&self, row: &PgRow, call: &ChaosCall) -> Result<i64> {
        let bucket: String = row.get("artifact_bucket");
        let emotion: Option<String> = row.get("emotion");
        let mut audio = 0;
        for column in ["audio_key"].into_iter().chain(emotion.is_some().then_some("embedding_key")) {
            let key: String = row.get(column);
            let there = self.rig.store.head(&bucket, &key).await?.with_context(|| format!("{key} is not there"))?;
            anyhow::ensure!(there.bytes > 0, "{key} is empty");
            if column == "audio_key" {
                audio = there.bytes as i64;
            }
        }
        let key: String = row.get("result_key");
        let json = self.rig.store.get_bytes(&bucket, &key, 1 << 20).await.with_context(|| key.clone())?;
        let report: Report = serde_json::from_slice(&json).with_context(|| key.clone())?;
        let confidence = report.confidence.zip(row.get::<Option<f32>, _>("confidence"));
        anyhow::ensure!(
            report.job_id == call.job.job_id
                && report.object == call.job.object
                && report.emotion.map(domain::Emotion::label) == emotion.as_deref()
                && confidence.is_none_or(|(reported, stored)| (reported - stored).abs() < 1e-6),
            "{key} is not the row's: {:?} {confidence:?}",
            report.emotion
        );
        Ok(audio)
    }

    async fn audit_objects(&self, rows: &BTreeMap<JobId, PgRow>, found: &mut Found) -> Result<()> {
        let s3 = &self.rig.direct.s3;
        let prefix = format!("{}/", s3.artifact_prefix);
        let mut objects = self.rig.store.list(s3.artifact_bucket(), &prefix);
        let mut without_row: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
        while let Some(object) = objects.try_next().await? {
            let rest = &object.key[prefix.len()..];
            if rest.starts_with(".probe/") {
                continue;
            }
            let Some(job) = rest.split('/').next().and_then(|folder| folder.parse().ok()) else {
                self.problem(format!("{} belongs to no job", object.key));
                continue;
            };
            let Some(row) = rows.get(&JobId(job)) else {
                without_row.entry(job).or_default().push(object.key);
                continue;
            };
            let named = ["result_key", "audio_key", "embedding_key"];
            if !named.iter().any(|column| row.get::<Option<String>, _>(column).as_deref() == Some(&object.key)) {
                found.leftovers += 1;
            }
        }
        for (job, keys) in without_row {
            self.problem(format!("objects without a row: {job} {keys:?}"));
        }
        let uploads = self.rig.store.open_uploads(s3.artifact_bucket(), &prefix).await?;
        if !uploads.is_empty() {
            self.problem(format!("uploads are open: {uploads:?}"));
        }
        Ok(())
    }

    /// Recordings are there, unless their deletion was asked for.
    async fn audit_recordings(&self, rows: &BTreeMap<JobId, PgRow>) -> Result<()> {
        let bucket = &self.rig.direct.s3.bucket;
        let there: BTreeSet<String> =
            self.rig.store.list(bucket, "chaos/").map_ok(|object| object.key).try_collect().await?;
        for (number, call) in self.calls.list.iter().enumerate() {
            let asked = self.diary().without_recording.contains(&number);
            let there = there.contains(&call.job.object.key);
            if !there && !asked {
                self.problem(format!("the recording of {} is gone", call.id));
            }
            if !there && rows.get(&call.job.job_id).is_some_and(|row| row.get::<String, _>("status") != "done") {
                println!("note: the recording of {} is gone, and its row is there", call.id);
            }
        }
        Ok(())
    }

    /// No segment twice; nothing of a call that was deleted in any table.
    async fn audit_tables(&self) -> Result<()> {
        let of_no_row = |table: &str| {
            format!(
                "SELECT count(*) FROM {table} t WHERE NOT EXISTS (SELECT FROM analyses a WHERE a.job_id = t.job_id)"
            )
        };
        let twice =
            "SELECT count(*) FROM (SELECT 1 FROM segments GROUP BY job_id, channel, start_s HAVING count(*) > 1) t";
        let mut questions = vec![
            ("segments that are there twice", twice.to_owned()),
            (
                "recordings without an analysis",
                "SELECT count(*) FROM recordings r WHERE NOT EXISTS
                (SELECT FROM analyses a WHERE a.recording_id = r.id)"
                    .to_owned(),
            ),
            ("messages that were given up", "SELECT count(*) FROM outbox WHERE given_up_at IS NOT NULL".to_owned()),
            ("messages without an alert", "SELECT count(*) FROM outbox WHERE alert_id IS NULL".to_owned()),
            (
                "results without a segment",
                "SELECT count(*) FROM analyses a WHERE status = 'done' AND emotion IS NOT NULL
                AND NOT EXISTS (SELECT FROM segments s WHERE s.job_id = a.job_id)"
                    .to_owned(),
            ),
            (
                "results with speech and no alert, or none and one",
                "SELECT count(*) FROM analyses a WHERE status = 'done'
                AND (emotion IS NOT NULL) <> EXISTS (SELECT FROM alerts t WHERE t.job_id = a.job_id)"
                    .to_owned(),
            ),
        ];
        for table in ["segments", "channels", "alerts", "reviews"] {
            questions.push(("rows without an analysis", of_no_row(table)));
        }
        for (what, query) in questions {
            let asked = sqlx::AssertSqlSafe(query.clone());
            let count: i64 = sqlx::query_scalar(asked).fetch_one(self.rig.database.pool()).await?;
            if count != 0 {
                self.problem(format!("{count} {what}: {query}"));
            }
        }
        Ok(())
    }

    /// Each alert arrived at both destinations, and each id is of one job.
    async fn audit_alerts(&self, found: &mut Found) -> Result<()> {
        let query = "SELECT id, job_id, queued_at IS NOT NULL AS queued FROM alerts";
        let alerts = sqlx::query(query).fetch_all(self.rig.database.pool()).await?;
        found.alerts = alerts.len();
        let mut hook: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for arrival in self.receiver.arrivals(HOOK) {
            for alert in arrival.body["alerts"].as_array().into_iter().flatten() {
                hook.entry(alert["id"].as_i64().unwrap_or_default()).or_default().push(alert["job_id"].to_string());
            }
        }
        let exchange = self.alerts_of_the_exchange().await?;
        for (name, arrived) in [("the webhook", &hook), ("the exchange", &exchange)] {
            for alert in alerts.iter().filter(|alert| alert.get("queued")) {
                let id: i64 = alert.get("id");
                if !arrived.contains_key(&id) {
                    self.problem(format!("alert {id} did not arrive at {name}"));
                }
            }
            for (id, jobs) in arrived.iter().filter(|(_, jobs)| jobs.iter().any(|job| *job != jobs[0])) {
                self.problem(format!("alert {id} at {name} is of several jobs: {jobs:?}"));
            }
            found.repeated_alerts += arrived.values().filter(|jobs| jobs.len() > 1).count();
        }
        for violation in self.receiver.violations() {
            self.problem(format!("the receiver of alerts: {violation}"));
        }
        Ok(())
    }

    async fn alerts_of_the_exchange(&self) -> Result<BTreeMap<i64, Vec<String>>> {
        let (connection, channel) = self.channel().await?;
        let mut arrived: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        while let Some(got) = channel.basic_get(HOOK.into(), BasicGetOptions::default()).await? {
            let alert: serde_json::Value = serde_json::from_slice(&got.delivery.data)?;
            arrived.entry(alert["id"].as_i64().unwrap_or_default()).or_default().push(alert["job_id"].to_string());
            got.delivery.acker.ack(BasicAckOptions::default()).await?;
        }
        connection.close(200, "done".into()).await?;
        Ok(arrived)
    }

    /// No program panicked, and Postgres ended none of their transactions for a deadlock.
    fn audit_logs(&self) -> Result<()> {
        for program in ["worker", "dispatcher"] {
            let log = std::fs::read_to_string(self.rig.log_of(program)).with_context(|| program.to_owned())?;
            for line in log.lines().filter(|line| {
                ["panicked", "deadlock", "foreign key", "RUST_BACKTRACE"].iter().any(|word| line.contains(word))
            }) {
                self.problem(format!("a {program} says: {line}"));
            }
        }
        Ok(())
    }
}
