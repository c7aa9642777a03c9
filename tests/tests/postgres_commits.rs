//! Which commits wait for the disk, and what follows when one that did not wait is lost.

use adapters::postgres::{Attempt, AttemptToken, Database, RecordOutcome};
use anyhow::{Context, Result, ensure};
use domain::{Failure, FailureCode};
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use tests::calls::{Call, batch};
use tests::database::TestDatabase;
use tests::own_postgres::OwnPostgres;
use uuid::Uuid;

/// Ends what hangs for good.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until so many sessions wait in their commit.
async fn commits_that_wait(admin: &mut PgConnection, least: i64) -> Result<()> {
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut *admin).await? < least {
        ensure!(begun.elapsed() < PATIENCE, "no commit waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A commit that waits for the disk waits for the standby of such a server as well, and there is none: it hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_attempt_begins_without_waiting_for_the_disk_and_a_later_one_waits() -> Result<()> {
    let server = OwnPostgres::start()?;
    let mut settings = server.settings("127.0.0.1", &[])?;
    settings.statement_timeout_s = 600;
    let database = Database::connect(&settings).await?;
    database.migrate().await?;
    let jobs = ["probe.wav", "first.wav", "again.wav"].map(|key| Call::angry(key).job());
    database.register(&batch("b"), &jobs, false).await?;
    let mut admin = server.admin().await?;
    for statement in ["ALTER SYSTEM SET synchronous_standby_names = 'absent'", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&mut admin).await?;
    }
    // Until the server knows, a commit returns at once
    let probe = tokio::spawn({
        let (database, job) = (database.clone(), jobs[0].clone());
        async move {
            loop {
                if database.begin_attempt(&job, "probe").await.is_err() {
                    return;
                }
            }
        }
    });
    commits_that_wait(&mut admin, 1).await?;
    // The first delivery of a message
    let first = tokio::time::timeout(PATIENCE, database.begin_unless_suspect(&jobs[1], "w", false)).await;
    let begun = first.context("it waits")??;
    assert!(matches!(begun, Attempt::Begin(_)), "{begun:?}");
    let token = begun.begun().context("begun")?.token;
    assert_eq!(database.lost_row(jobs[1].job_id, token).await?, None, "others see it at once");
    // A message that was delivered before
    let again = tokio::spawn({
        let (database, job) = (database.clone(), jobs[2].clone());
        async move { database.begin_unless_suspect(&job, "w", true).await }
    });
    commits_that_wait(&mut admin, 2).await?;
    assert!(!again.is_finished());
    // And every other write: the setting was for one transaction, though its connection went back to the pool
    let failure = Failure::new(FailureCode::StoreUnreachable, "a test");
    let note = tokio::spawn({
        let (database, id) = (database.clone(), jobs[1].job_id);
        async move { database.note_retry(id, &failure, token).await }
    });
    commits_that_wait(&mut admin, 3).await?;
    probe.abort();
    for statement in ["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&mut admin).await?;
    }
    assert!(matches!(tokio::time::timeout(PATIENCE, again).await???, Attempt::Begin(_)));
    assert!(tokio::time::timeout(PATIENCE, note).await???);
    Ok(())
}

#[tokio::test]
async fn an_attempt_whose_begin_is_lost_leaves_a_message_that_was_set_aside_before_open() -> Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::angry("a.wav");
    let job = call.job();
    test.database.register(&batch("b"), std::slice::from_ref(&job), false).await?;
    // Given a failure of an earlier message of the job, and a good message whose attempt the database does not know of
    let expired = Failure::new(FailureCode::JobExpired, "by a policy");
    assert!(test.database.set_aside(job.job_id, &expired, "broker").await?);
    let lost = AttemptToken(Uuid::new_v4());
    // Then nothing that it reports is stored, and its message stays needed
    assert_eq!(test.database.lost_row(job.job_id, lost).await?, Some(RecordOutcome::Unowned));
    let (report, artifacts) = (call.report(), call.artifacts());
    let done = test.database.record_done(&report, &artifacts, None, &[], "w", lost).await?;
    assert_eq!(done, RecordOutcome::Unowned);
    let corrupt = Failure::new(FailureCode::AudioCorrupt, "a test");
    let failed = test.database.record_failed(&job, &corrupt, "w", Some(lost)).await?;
    assert_eq!(failed, RecordOutcome::Unowned);
    // And with it the job begins
    assert!(matches!(test.database.begin_unless_suspect(&job, "w", true).await?, Attempt::Begin(_)));
    Ok(())
}
