//! Batches are taken one by one: a recording, row or letter that a service refuses stops only itself, and is reported.

use adapters::postgres::Bookmark;
use anyhow::Result;
use chrono::{TimeDelta, Utc};
use clap::Parser;
use domain::CallData;
use producer::Outcome;
use producer::cli::Cli;
use tests::fleet::{Fleet, Wish};
use tests::speech;

async fn producer(fleet: &Fleet, arguments: &[&str]) -> Result<(String, Result<Outcome>)> {
    let cli = Cli::try_parse_from([&["producer", "--no-wait-for-services"], arguments].concat())?;
    let mut out = Vec::new();
    let outcome = producer::run(&fleet.trial.settings, &cli, &mut out).await;
    Ok((String::from_utf8(out)?, outcome.map_err(Into::into)))
}

async fn run(fleet: &Fleet, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(fleet.database.pool()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_whose_row_is_refused_is_left_out_alone() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    run(
        &fleet,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.key LIKE '%refused%' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON recordings FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .await?;
    let sound = speech::encoded("a.wav", &["-ar", "16000"])?;
    let mut last = None;
    for name in ["1.wav", "2_refused.wav", "3.wav"] {
        last = Some(fleet.upload(&format!("some/{name}"), sound.clone()).await?);
    }
    let last = last.expect("three were uploaded");
    let prefix = last.key.trim_end_matches("3.wav");
    let (said, outcome) =
        producer(&fleet, &["enqueue", &format!("s3://{}/{prefix}", last.bucket), "--batch", "some"]).await?;
    assert_eq!(outcome?, Outcome::LeftOut, "{said}");
    assert!(said.contains("enqueued  2 "), "{said}");
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE published_at IS NOT NULL").await?, 2);
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cant_be_deleted_or_read_stops_no_other() -> Result<()> {
    let fleet = Fleet::start().await?;
    let sound = speech::encoded("a.wav", &["-ar", "16000"])?;
    for name in ["kept.wav", "2.wav", "3.wav"] {
        let call = CallData { call_id: Some("c-1".into()), ..CallData::default() };
        fleet.put_through(name, sound.clone(), Wish { call, ..Wish::default() }).await?;
    }
    // Given attributes that were changed by hand to what no program writes
    run(&fleet, "UPDATE recordings SET attributes = '{\"vip\": 3, \"tags\": [\"a\"]}' WHERE key LIKE '%kept%'").await?;
    let day = TimeDelta::days(1);
    let (calls, _) = fleet.database.past_calls(Bookmark::between(Utc::now() - day, Utc::now() + day)).await?;
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().any(|past| past.call.attributes.get("vip").is_some_and(|vip| vip == "3")));
    // and a row that Postgres does not delete
    run(
        &fleet,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF OLD.key LIKE '%kept%' THEN RAISE EXCEPTION 'held by law'; END IF; RETURN OLD; END $$;
         CREATE TRIGGER keep BEFORE DELETE ON recordings FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    .await?;
    let (said, outcome) = producer(&fleet, &["prune", "--call", "c-1"]).await?;
    assert!(outcome.is_err() && said.contains("deleted   2 analyses"), "{said}");
    assert!(
        said.contains("kept      1 jobs whose objects the store, or whose rows Postgres, did not delete"),
        "{said}"
    );
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE status = 'deleting'").await?, 1);
    // When it may be deleted, the next run finds it
    run(&fleet, "DROP TRIGGER keep ON recordings").await?;
    assert_eq!(producer(&fleet, &["prune", "--call", "c-1"]).await?.1?, Outcome::Done);
    assert_eq!(fleet.count("SELECT count(*) FROM analyses").await?, 0);
    fleet.end().await
}
