//! A call that is deleted while a worker has its job leaves nothing behind; a database error deletes nothing.

use anyhow::{Context, Result};
use domain::FailureCode;
use futures_util::TryStreamExt;
use sqlx::Row;
use std::time::{Duration, Instant};
use tests::fleet::{Fleet, Wish};
use tests::speech;

async fn artifacts(fleet: &Fleet, job: domain::JobId) -> Result<usize> {
    let s3 = &fleet.trial.settings.s3;
    let found: Vec<_> = fleet.store.list(s3.artifact_bucket(), &s3.artifact_folder(job)).try_collect().await?;
    Ok(found.len())
}

#[tokio::test]
async fn a_call_deleted_while_its_job_is_in_flight_leaves_no_row_and_no_artifact() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.worker.drain_timeout_s = 60;
    // Given the row is deleted at the moment when a worker has begun the job
    sqlx::raw_sql(
        "CREATE TABLE deleted (job_id uuid);
         CREATE FUNCTION delete_begun() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO deleted VALUES (NEW.job_id);
             DELETE FROM recordings WHERE id = NEW.recording_id;
             RETURN NULL;
         END $$;
         CREATE TRIGGER delete_begun AFTER UPDATE OF status ON analyses FOR EACH ROW
            WHEN (NEW.status = 'running') EXECUTE FUNCTION delete_begun()",
    )
    .execute(fleet.database.pool())
    .await?;
    let job = fleet.job(fleet.upload("a.wav", speech::encoded("a.wav", &[])?).await?, Wish::default());
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    fleet.start_worker();
    // When the worker has finished it
    let begun = Instant::now();
    while fleet.count("SELECT count(*) FROM deleted").await? == 0 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "the job was never begun");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fleet.stop_worker().await?;
    // Then nothing is left of it, and it was not tried again
    assert_eq!(artifacts(&fleet, job.job_id).await?, 0);
    assert_eq!(fleet.count("SELECT count(*) FROM analyses").await?, 0);
    assert_eq!(fleet.count("SELECT count(*) FROM deleted").await?, 1);
    fleet.end().await
}

#[tokio::test]
async fn an_error_of_the_database_while_recording_deletes_no_artifact() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.amqp.retry_delays_s = vec![1];
    // Given a statement within the transaction finds no row, and says so
    sqlx::raw_sql(
        "CREATE FUNCTION find_nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE no_data_found;
         END $$;
         CREATE TRIGGER find_nothing BEFORE INSERT ON channels FOR EACH ROW EXECUTE FUNCTION find_nothing()",
    )
    .execute(fleet.database.pool())
    .await?;
    fleet.start_worker();
    let job = fleet.job(fleet.upload("a.wav", speech::encoded("a.wav", &[])?).await?, Wish::default());
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    let row = fleet.ended(job.job_id).await?;
    assert_eq!(row.get::<String, _>("status"), "failed");
    let code: Option<String> = row.try_get("failure_code")?;
    assert_eq!(code.context("a failed job has a code")?, FailureCode::DatabaseRefused.code());
    assert_eq!(artifacts(&fleet, job.job_id).await?, 3);
    fleet.end().await
}
