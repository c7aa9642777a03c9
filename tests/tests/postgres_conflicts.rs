//! Transactions that meet: each write begins again, and what was deleted meanwhile is reported as that.

use adapters::postgres::console::{AuditEntry, NewSubmission};
use adapters::postgres::{ClaimOutcome, ClaimRequest, Import, OpenJobs, Retry, Review, WatchState};
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use domain::alert::{AMQP, DeliveryOutcome};
use domain::{Failure, FailureCode};
use sqlx::AssertSqlSafe;
use std::time::Duration;
use tests::calls::{Call, batch, token};
use tests::database::TestDatabase;
use uuid::Uuid;

const RULES: &str = r#"
[[rule]]
name = "angry"
severity = "info"
when = { role = "customer", emotion = "angry", score = 0.6, in_a_row = 1 }
resolve_after = "1s"
"#;

/// Makes the first writes of each transaction fail with a state, on every table. A sequence is not rolled back: it counts.
const OBSTACLE: &str = "CREATE SEQUENCE refusals;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF nextval('refusals') <= 3 THEN RAISE EXCEPTION 'in the way' USING ERRCODE = current_setting('test.state'); END IF;
        RETURN NULL;
    END $$;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT c.oid::regclass::text FROM pg_class c
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace
        LOOP
            EXECUTE format('CREATE TRIGGER obstacle BEFORE INSERT OR UPDATE OR DELETE ON %s
                FOR EACH STATEMENT EXECUTE FUNCTION refuse()', name);
        END LOOP;
    END $$;
    SELECT setval('refusals', 1000);";

/// Every write meets the obstacle three times, and is done all the same.
struct Obstacles {
    test: TestDatabase,
}

impl Obstacles {
    async fn raise(&self) -> Result<()> {
        sqlx::query("SELECT setval('refusals', 1, false)").execute(self.test.database.pool()).await?;
        Ok(())
    }

    /// How often the write was refused.
    async fn met(&self, what: &str) -> Result<()> {
        let refusals = self.test.count("SELECT last_value FROM refusals").await?;
        ensure!(refusals > 3, "{what} wrote nothing, or gave up after {refusals} refusals");
        sqlx::query("SELECT setval('refusals', 1000)").execute(self.test.database.pool()).await?;
        Ok(())
    }
}

/// Runs a write against the obstacle.
macro_rules! against {
    ($obstacles:expr, $what:literal, $write:expr) => {{
        $obstacles.raise().await?;
        let answer = $write.await.with_context(|| $what)?;
        $obstacles.met($what).await?;
        answer
    }};
}

async fn every_write_against(state: &str) -> Result<()> {
    let test = TestDatabase::create().await?;
    sqlx::raw_sql(OBSTACLE).execute(&mut test.connection().await?).await?;
    let set = format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET test.state = ''{state}''', current_database()); END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut test.connection().await?).await?;
    // Connections that know the setting.
    let database = adapters::postgres::Database::connect(&test.settings).await?;
    let o = Obstacles { test };
    let call = Call::angry("a.wav");
    let (job, report) = (call.job(), call.report());
    let rules = settings::alert_file::parse(RULES)?;
    let failure = Failure::new(FailureCode::StoreUnreachable, "away");

    against!(o, "register", database.register(&batch("night"), std::slice::from_ref(&job), false));
    against!(o, "mark_published", database.mark_published(&[job.job_id]));
    against!(o, "mark_republished", database.mark_republished(&[job.job_id]));
    against!(o, "begin_attempt", database.begin_attempt(&job, "w"));
    against!(o, "note_retry", database.note_retry(job.job_id, &failure, token(&database, job.job_id).await));
    database.begin_attempt(&job, "w").await?;
    against!(o, "note_returned", database.note_returned(job.job_id, token(&database, job.job_id).await));
    against!(o, "set_aside", database.set_aside(job.job_id, &failure, "w"));
    against!(o, "requeue", database.requeue(&[job.job_id]));
    database.begin_attempt(&job, "w").await?;
    let attempt = token(&database, job.job_id).await;
    against!(o, "record_failed", database.record_failed(&job, &failure, "w", Some(attempt)));
    database.requeue(&[job.job_id]).await?;
    database.begin_attempt(&job, "w").await?;
    let attempt = token(&database, job.job_id).await;
    let (artifacts, matches) = (call.artifacts(), rules.matches(domain::alert::Subject::from(&report)));
    ensure!(!matches.is_empty(), "the call fires no alert");
    against!(o, "record_done", database.record_done(&report, &artifacts, None, &matches, "w", attempt));

    let request = ClaimRequest {
        destination: AMQP,
        rate_limit: None,
        max_messages: 10,
        lease: Duration::from_secs(60),
        owner: "me",
    };
    let claimed = against!(o, "claim_messages", database.claim_messages(&request));
    let ClaimOutcome::Claimed(mut claim) = claimed else { anyhow::bail!("no message to claim") };
    let (outcome, retry) =
        (DeliveryOutcome::Refused { reason: "no".into() }, Retry { pause: Duration::ZERO, max_attempts: 1 });
    against!(o, "record_outcome", database.record_outcome(&claim, &outcome, retry));
    against!(o, "retry_given_up", database.retry_given_up(AMQP));
    if let ClaimOutcome::Claimed(again) = database.claim_messages(&request).await? {
        claim = again;
    }
    against!(o, "release_messages", database.release_messages(&mut claim, 0));
    let quiet = "UPDATE alerts SET fired_at = fired_at - interval '1 hour'";
    sqlx::query(quiet).execute(database.pool()).await?;
    against!(o, "resolve_quiet", database.resolve_quiet(&rules));

    let review = call.review();
    against!(o, "import_reviews", database.import_reviews(std::slice::from_ref(&review), Import::Whole));
    let state = WatchState { listed_at: Utc::now(), ranges: Vec::new() };
    against!(o, "save_watch_state", database.save_watch_state(Uuid::nil(), ("calls", ""), &state));
    let version = [(job.object.clone(), "v2".to_owned())];
    against!(o, "set_call_data_versions", database.set_call_data_versions(&version));
    against!(o, "put_user", database.put_user("rita", "hash", "admin", None));
    let user = database.user("rita").await?.context("just added")?.id;
    against!(o, "begin_session", database.begin_session(user, b"s", Utc::now() + TimeDelta::hours(1)));
    against!(o, "end_session", database.end_session(b"s"));
    against!(o, "disable_user", database.disable_user("rita"));
    let entry = AuditEntry { who: "local", action: "login", job_id: None, detail: "", address: "::1" };
    against!(o, "audit", database.audit(&entry));
    against!(o, "reserve_request", database.reserve_request("local", "k", b"f"));
    let uploads = batch("console");
    let submission = NewSubmission {
        batch: &uploads,
        job: &job,
        anew: false,
        lane: domain::Lane::Interactive,
        caller: "local",
        request: Some(("k", b"f")),
    };
    against!(o, "submit", database.submit(&submission));
    against!(o, "free_request", database.free_request("local", "k"));

    against!(o, "claim", database.claim(&[job.job_id], OpenJobs::Delete));
    against!(o, "prune", database.prune(&[job.job_id]));
    against!(o, "claim_leftovers", database.claim_leftovers(job.job_id, 0));
    against!(o, "drop_empty_months", database.drop_empty_months(Utc::now()));
    database.close().await;
    Ok(())
}

#[tokio::test]
async fn every_write_begins_again_after_a_deadlock() -> Result<()> {
    every_write_against("40P01").await
}

#[tokio::test]
async fn every_write_begins_again_after_a_serialization_failure() -> Result<()> {
    every_write_against("40001").await
}

#[tokio::test]
async fn every_write_begins_again_when_its_parent_is_deleted() -> Result<()> {
    every_write_against("23503").await
}

/// Waits until a backend of the test's database waits for a lock.
async fn until_one_waits(test: &TestDatabase) -> Result<()> {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun = std::time::Instant::now();
    while test.count(waiting).await? == 0 {
        ensure!(begun.elapsed() < Duration::from_secs(30), "nothing waits for a lock");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn recorded(test: &TestDatabase, count: usize) -> Result<Vec<Call>> {
    let calls: Vec<_> = (0..count).map(|n| Call::angry(&format!("{n}.wav"))).collect();
    for call in &calls {
        test.database.begin_attempt(&call.job(), "w").await?;
        call.record_result(&test.database, "w").await?;
    }
    Ok(calls)
}

const LOCK: &str = "SELECT FROM analyses WHERE job_id = $1 FOR UPDATE";
const FREE: &str = "SELECT job_id FROM analyses FOR UPDATE SKIP LOCKED";

#[tokio::test]
async fn an_import_of_reviews_that_deadlocks_with_a_deletion_is_imported() -> Result<()> {
    let test = TestDatabase::create().await?;
    let calls = recorded(&test, 10).await?;
    // Another session has one row, and will want another one, which the import has by then. It waits for long before it
    // looks for a deadlock, so that the import is the one that Postgres ends.
    let mut other = test.connection().await?;
    sqlx::raw_sql("SET deadlock_timeout = '60s'; BEGIN").execute(&mut other).await?;
    sqlx::query(LOCK).bind(calls[5].job().job_id.0).execute(&mut other).await?;
    let reviews: Vec<_> = calls.iter().map(Call::review).collect();
    let database = test.database.clone();
    let importing = tokio::spawn(async move { database.import_reviews(&reviews, Import::Whole).await });
    until_one_waits(&test).await?;
    let free: Vec<Uuid> = sqlx::query_scalar(FREE).fetch_all(&mut test.connection().await?).await?;
    let taken = calls.iter().map(|call| call.job().job_id.0).filter(|id| !free.contains(id));
    let of_import: Vec<_> = taken.filter(|id| *id != calls[5].job().job_id.0).collect();
    sqlx::query(LOCK).bind(of_import.first().context("the import has no row")?).execute(&mut other).await?;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::raw_sql("COMMIT").execute(&mut other).await?;
    assert_eq!(importing.await??.new, 10);
    assert_eq!(test.count("SELECT count(*) FROM reviews").await?, 10);
    // Statistics come late; that there was a deadlock at all is what makes this a test.
    let begun = std::time::Instant::now();
    while test.count(deadlocks).await? == 0 {
        ensure!(begun.elapsed() < Duration::from_secs(30), "there was no deadlock");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_review_of_a_call_that_is_deleted_meanwhile_is_reported_as_not_found() -> Result<()> {
    let test = TestDatabase::create().await?;
    let calls = recorded(&test, 2).await?;
    let mut other = test.connection().await?;
    sqlx::raw_sql("BEGIN").execute(&mut other).await?;
    sqlx::query("DELETE FROM analyses WHERE job_id = $1").bind(calls[0].job().job_id.0).execute(&mut other).await?;
    let reviews: Vec<_> = calls.iter().map(Call::review).collect();
    let database = test.database.clone();
    let importing = tokio::spawn(async move { database.import_reviews(&reviews, Import::Placed).await });
    until_one_waits(&test).await?;
    sqlx::raw_sql("COMMIT").execute(&mut other).await?;
    let imported = importing.await??;
    assert_eq!((imported.new, imported.unplaced.len()), (1, 1));
    assert_eq!(imported.unplaced[0].position, 0);
    Ok(())
}

#[tokio::test]
async fn reviews_are_imported_beside_deletions_of_the_same_calls() -> Result<()> {
    const CALLS: usize = 60;
    let test = TestDatabase::create().await?;
    let calls = recorded(&test, CALLS).await?;
    let jobs: Vec<_> = calls.iter().map(|call| call.job().job_id).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for reviewer in ["rita", "vera", "lin"] {
        let database = test.database.clone();
        // Each in another order, so that locks are taken in circles.
        let mut reviews: Vec<_> = calls.iter().map(|c| Review { reviewer: reviewer.into(), ..c.review() }).collect();
        let shift = reviewer.len() * 7;
        reviews.rotate_left(shift);
        tasks.spawn(async move { database.import_reviews(&reviews, Import::Placed).await.map(drop) });
    }
    for half in [jobs[..CALLS / 2].to_vec(), jobs[CALLS / 4..].iter().rev().copied().collect()] {
        let database = test.database.clone();
        tasks.spawn(async move {
            database.claim(&half, OpenJobs::Delete).await?;
            database.prune(&half).await.map(drop)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    assert_eq!(test.count("SELECT count(*) FROM analyses").await?, 0);
    assert_eq!(test.count("SELECT count(*) FROM reviews").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_conflict_that_does_not_end_is_reported_as_one() -> Result<()> {
    let test = TestDatabase::create().await?;
    let forever = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'in the way' USING ERRCODE = '40P01'; END $$;
        CREATE TRIGGER obstacle BEFORE INSERT ON watches FOR EACH STATEMENT EXECUTE FUNCTION refuse();";
    sqlx::raw_sql(forever).execute(&mut test.connection().await?).await?;
    let state = WatchState { listed_at: DateTime::UNIX_EPOCH, ranges: Vec::new() };
    let saved = test.database.save_watch_state(Uuid::nil(), ("calls", ""), &state).await;
    let failure = saved.expect_err("there is no end to it");
    assert!(failure.is_unreachable() && failure.message.contains("another transaction"), "{failure}");
    Ok(())
}

/// An enqueue that began while a call was being deleted, and had to wait for it, brings no row back.
#[tokio::test]
async fn an_enqueue_that_waits_for_a_deletion_inserts_nothing() -> Result<()> {
    let test = TestDatabase::create().await?;
    let call = recorded(&test, 1).await?.remove(0);
    let job = call.job();
    let mut other = test.connection().await?;
    sqlx::raw_sql("BEGIN").execute(&mut other).await?;
    // As a prune ends: the rows are deleted, and their ids are kept.
    for delete in [
        "WITH gone AS (DELETE FROM analyses WHERE job_id = $1 RETURNING job_id)
            INSERT INTO forgotten (id) SELECT job_id FROM gone",
        "DELETE FROM recordings WHERE $1::uuid IS NOT NULL",
    ] {
        sqlx::query(delete).bind(job.job_id.0).execute(&mut other).await?;
    }
    let (database, again) = (test.database.clone(), job.clone());
    let enqueuing = tokio::spawn(async move { database.register(&batch("night"), &[again], false).await });
    until_one_waits(&test).await?;
    sqlx::raw_sql("COMMIT").execute(&mut other).await?;
    assert!(enqueuing.await??.is_empty(), "nothing is to be published");
    assert_eq!(test.count("SELECT (SELECT count(*) FROM analyses) + (SELECT count(*) FROM recordings)").await?, 0);
    let forced = test.database.register(&batch("night"), &[job], true).await?;
    assert_eq!(forced.len(), 1, "with --force it comes back");
    Ok(())
}

/// A worker drops a transaction that is about to begin when its lease is lost. What is sent next on that connection counts.
#[tokio::test]
async fn a_transaction_that_is_dropped_while_it_begins_is_rolled_back() -> Result<()> {
    let test = TestDatabase::create().await?;
    let mut settings = test.settings.clone();
    settings.max_connections = 1;
    let database = adapters::postgres::Database::connect(&settings).await?;
    for round in 0..20 {
        database.ping().await?;
        let mut beginning = Box::pin(database.begin());
        for _ in 0..round % 4 {
            if futures_util::poll!(&mut beginning).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(beginning);
        let call = Call::angry(&format!("{round}.wav"));
        database.begin_attempt(&call.job(), "w").await?;
        let seen = sqlx::query("SELECT FROM analyses WHERE job_id = $1").bind(call.job().job_id.0);
        let seen = seen.fetch_optional(test.database.pool()).await?;
        ensure!(seen.is_some(), "round {round}: no other connection sees what was written");
    }
    Ok(())
}
