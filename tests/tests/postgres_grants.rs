//! `migrations/grants.sql`: each program can do its work, and not what is none of its business.

use adapters::postgres::{Age, Database, Import, NewBatch, OpenJobs, Review};
use chrono::Utc;
use domain::{Emotion, FailureCode};
use secrecy::ExposeSecret;
use settings::Settings;
use tests::calls::{Call, token};
use tests::database::TestDatabase;

async fn as_role(test: &TestDatabase, role: &str) -> anyhow::Result<Database> {
    let url = test.settings.url.expose_secret();
    let separator = if url.contains('?') { '&' } else { '?' };
    let toml = format!("[postgres]\nurl = \"{url}{separator}options[role]={role}\"");
    Ok(Database::connect(&Settings::from_toml(&toml)?.postgres).await?)
}

#[tokio::test]
async fn each_role_does_its_work_and_no_more() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let grants = include_str!("../../migrations/grants.sql");
    for _ in 0..2 {
        sqlx::raw_sql(grants).execute(&mut test.connection().await?).await?;
    }
    let call =
        Call::new("a.wav").by("7", "a", "c", "2025-03-14T09:00:00Z").with_timeline(&[(4.0, Emotion::Angry, 0.9)]);
    let (producer, worker) = (as_role(&test, "emofleet_producer").await?, as_role(&test, "emofleet_worker").await?);
    let batch = NewBatch { id: call.job().batch_id, name: call.batch.clone(), source: "s3://calls/".into() };
    assert_eq!(producer.register(&batch, &[call.job()], false).await?.len(), 1);
    // The month's partition is made by a worker that may not create tables
    assert_eq!(worker.begin_attempt(&call.job(), "w").await?.begun().map(|begun| begun.number), Some(1));
    let last = token(&worker, call.job().job_id).await;
    worker.record_done(&call.report(), &call.artifacts(), None, &[], "w", last).await?;
    // Call data may be corrected by whoever may register, whatever else the role may not
    let console = as_role(&test, "emofleet_console").await?;
    let mut corrected = call.clone();
    for (role, team, month) in [(&producer, "8", "02"), (&console, "9", "01"), (&worker, "7", "04")] {
        corrected = corrected.by(team, "a", "c", &format!("2025-{month}-14T09:00:00Z"));
        if team == "7" {
            // A worker that is given a job of a recording that it knows, for another model
            role.begin_attempt(&corrected.clone().with_model("other").job(), "w").await?;
        } else {
            role.register(&batch, &[corrected.job()], false).await?;
        }
        let at_team: i64 = sqlx::query_scalar("SELECT count(*) FROM channels WHERE team = $1 AND called_at = $2")
            .bind(team)
            .bind(corrected.started_at())
            .fetch_one(producer.pool())
            .await?;
        assert_eq!(at_team, 2, "team {team}");
    }
    worker
        .record_failed(&Call::new("b.wav").job(), &domain::Failure::new(FailureCode::AudioEmpty, "none"), "w", None)
        .await?;
    assert_eq!(
        worker.prune(&[call.job().job_id]).await.expect_err("workers delete no calls").code,
        FailureCode::DatabaseRefused
    );
    // Readers see every view and change nothing
    let reader = as_role(&test, "emofleet_reader").await?;
    let angry: i64 = sqlx::query_scalar("SELECT count(*) FROM angry_calls").fetch_one(reader.pool()).await?;
    assert_eq!(angry, 1);
    assert!(sqlx::query("UPDATE recordings SET team = '9'").execute(reader.pool()).await.is_err());
    // Producers import reviews, and forget
    let review = Review {
        job_id: Some(call.job().job_id),
        call_id: None,
        key: None,
        channel: None,
        segment: None,
        at_s: None,
        reviewer: "rita".into(),
        reviewed_at: None,
        emotion: Emotion::Sad,
        note: String::new(),
    };
    for new in [1, 0] {
        assert_eq!(producer.import_reviews(std::slice::from_ref(&review), Import::Whole).await?.new, new);
    }
    let age = Age { before: Utc::now(), ingested_too: false };
    assert_eq!(producer.count_expired(age).await?.reviews, 1);
    let jobs = [call.job().job_id, call.with_model("other").job().job_id];
    assert_eq!(producer.claim(&jobs, OpenJobs::Delete).await?.len(), 2);
    assert_eq!(producer.prune(&jobs).await?.recordings, 1);
    assert_eq!(producer.drop_empty_months(Utc::now()).await?, 4);
    Ok(())
}
