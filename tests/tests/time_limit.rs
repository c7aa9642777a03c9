//! A job has its time and no more: then it is tried again, and at last set aside, and the worker goes on.

use adapters::amqp::{DeadLetters, Filter};
use anyhow::{Context, Result};
use sqlx::Row;
use std::time::Duration;
use tests::fleet::{Fleet, Wish};
use tests::proxy::{Mode, Proxy};
use tests::speech;
use url::Url;

/// A fleet whose jobs may take this many seconds, with a proxy between its worker and the store.
async fn fleet(job_timeout_s: u64) -> Result<(Fleet, Proxy)> {
    let mut fleet = Fleet::without_worker().await?;
    let settings = &mut fleet.trial.settings;
    let mut url: Url = settings.s3.endpoint.parse()?;
    let port = url.port().context("the test stack's store has a port")?;
    let proxy = Proxy::to(([127, 0, 0, 1], port).into()).await?;
    url.set_port(Some(proxy.address.port())).ok().context("an endpoint takes a port")?;
    url.to_string().trim_end_matches('/').clone_into(&mut settings.s3.endpoint);
    settings.worker.job_timeout_s = job_timeout_s;
    Ok((fleet, proxy))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_past_its_time_is_tried_again_then_set_aside_and_the_next_one_is_done() -> Result<()> {
    // given a store that takes longer than a job may, and would be waited for longer than that
    let (mut fleet, proxy) = fleet(3).await?;
    assert!(fleet.trial.settings.s3.stall_timeout_s > 3);
    let sound = speech::encoded("a.wav", &["-ar", "16000"])?;
    let job = fleet.job(fleet.upload("slow.wav", sound.clone()).await?, Wish::default());
    fleet.start_worker();
    let first = fleet.put_through("first.wav", sound.clone(), Wish::default()).await?;
    assert_eq!(first.get::<String, _>("status"), "done");
    proxy.set(Mode::Stall);
    // when the job has had its time as often as there are delays
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    let row = fleet.ended(job.job_id).await?;
    // then it is a row with its code, a sentence, and a dead letter
    let delays = fleet.trial.settings.amqp.retry_delays_s.len() as i32;
    assert_eq!(row.get::<String, _>("failure_code"), "job.timeout");
    assert_eq!(row.get::<String, _>("failure_message"), "not done after 3 s");
    assert_eq!((row.get::<i32, _>("attempts"), row.get::<i32, _>("retries")), (delays + 1, delays + 1));
    let letters = DeadLetters::new(&fleet.trial.settings.amqp);
    let mut dead = letters.list(&Filter::default(), 10).await?;
    for _ in 0..100 {
        if dead.total > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        dead = letters.list(&Filter::default(), 10).await?;
    }
    assert_eq!(dead.letters.iter().map(|letter| letter.code.as_str()).collect::<Vec<_>>(), ["job.timeout"]);
    // and the worker has its hands free
    proxy.set(Mode::Pass);
    let next = fleet.put_through("next.wav", sound, Wish::default()).await?;
    assert_eq!(next.get::<String, _>("status"), "done");
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_computation_past_its_time_ends_and_leaves_nothing() -> Result<()> {
    // given half an hour of speech and a second for it
    let folder = tempfile::tempdir()?;
    let (mut fleet, _proxy) = fleet(1).await?;
    fleet.trial.settings.worker.temp_dir = folder.path().to_owned();
    fleet.trial.settings.amqp.retry_delays_s = vec![1];
    let job = fleet.job(fleet.upload("long.wav", speech::call(1800)?).await?, Wish::default());
    fleet.start_worker();
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    let row = fleet.ended(job.job_id).await?;
    assert_eq!(row.get::<String, _>("failure_code"), "job.timeout");
    assert_eq!(fleet.count("SELECT count(*) FROM segments").await?, 0);
    tokio::time::timeout(Duration::from_secs(20), fleet.stop_worker()).await??;
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "temporary files are left");
    fleet.end().await
}
