//! Leases count from their delivery: long jobs make progress although the broker is impatient, and a job whose worker died
//! holds up no other one.

use adapters::amqp::{Lane, consume};
use adapters::postgres::NewBatch;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use domain::{BatchId, Job};
use sqlx::Row;
use std::time::Duration;
use tests::fleet::{Fleet, Wish};
use tests::own_broker::OwnBroker;
use tests::proxy::{Mode, Proxy};
use tests::speech;
use tests::trial::Trial;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Two seconds of speech in 400 kB, which a slow store takes a while to give.
fn recording() -> Result<Vec<u8>> {
    speech::encoded("a.wav", &["-af", "atrim=0:2", "-ar", "48000", "-ac", "2"])
}

async fn jobs(fleet: &Fleet, name: &str, bytes: &[u8], count: usize) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for i in 0..count {
        jobs.push(fleet.job(fleet.upload(&format!("{name}/{i}.wav"), bytes.to_vec()).await?, Wish::default()));
    }
    Ok(jobs)
}

/// A fleet with one slot on this broker, with a store that needs about sixteen seconds for a recording, and as many for all
/// else.
async fn slow_fleet(broker: &OwnBroker) -> Result<(Fleet, Proxy)> {
    let mut trial = Trial::new()?;
    trial.settings.amqp.url = broker.settings()?.url;
    let mut fleet = Fleet::on(trial).await?;
    let settings = &mut fleet.trial.settings;
    settings.worker.slots = 1;
    settings.worker.job_timeout_s = 30;
    let mut url: Url = settings.s3.endpoint.parse()?;
    let port = url.port().context("the test stack's store has a port")?;
    let proxy = Proxy::to(([127, 0, 0, 1], port).into()).await?;
    url.set_port(Some(proxy.address.port())).ok().context("an endpoint takes a port")?;
    url.to_string().trim_end_matches('/').clone_into(&mut settings.s3.endpoint);
    proxy.set(Mode::Slow(Duration::from_millis(600)));
    Ok((fleet, proxy))
}

/// Each of three jobs is done, at its first attempt.
async fn each_once(mut fleet: Fleet) -> Result<()> {
    let jobs = jobs(&fleet, "long", &recording()?, 3).await?;
    fleet.enqueue(&jobs).await?;
    fleet.start_worker();
    for job in &jobs {
        let row = fleet.ended(job.job_id).await?;
        let (status, message): (String, Option<String>) = (row.get("status"), row.get("failure_message"));
        let (attempts, retries): (i32, i32) = (row.get("attempts"), row.get("retries"));
        assert_eq!(
            (status.as_str(), attempts, retries),
            ("done", 1, 0),
            "{message:?}: a lease was lost, or a job was too slow"
        );
    }
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_jobs_on_an_impatient_broker_are_each_done_once() -> Result<()> {
    // given a broker that takes a job back after 45 s, and jobs that take about seventeen, one at a time
    let broker = OwnBroker::start()?;
    let impatient = "application:set_env(rabbit, consumer_timeout, 45000), application:set_env(rabbit, channel_tick_interval, 500).";
    broker.control(&["eval", impatient])?;
    // when a worker prefetches as by default, knowing nothing of it
    let (by_default, _slow) = slow_fleet(&broker).await?;
    // and another one, which knows, prefetches more than it can begin
    let (mut ahead, _slow_as_well) = slow_fleet(&broker).await?;
    ahead.trial.settings.amqp.consumer_timeout_s = 45;
    ahead.trial.settings.amqp.prefetch = 4;
    // then no lease is lost
    let (by_default, ahead) = tokio::join!(each_once(by_default), each_once(ahead));
    by_default.context("with the default prefetch")?;
    ahead.context("with a prefetch of 4")
}

/// A worker that died with these jobs in flight: their attempts began and never ended, and the broker delivers them again.
async fn dead_worker(fleet: &Fleet, jobs: &[Job], deaths: usize) -> Result<()> {
    fleet.enqueue(jobs).await?;
    for job in jobs {
        for _ in 0..deaths {
            fleet.database.begin_attempt(job, "a worker that died").await?;
        }
    }
    let stop = CancellationToken::new();
    let settings = &fleet.trial.settings;
    let mut leases = consume(&settings.amqp, &Lane::Bulk.of(settings.model.name.as_str()), 100, stop.clone());
    let (mut held, mut others) = (Vec::new(), Vec::new());
    while held.len() < jobs.len() {
        let lease = leases.recv().await.context("a job arrives")?;
        if jobs.iter().any(|job| lease.message_id == Some(job.job_id.to_string())) {
            held.push(lease);
        } else {
            others.push(lease);
        }
    }
    stop.cancel();
    drop((held, others));
    // Requeues what was delivered besides.
    assert!(leases.recv().await.is_none());
    leases.closed().await;
    Ok(())
}

async fn attempts(fleet: &Fleet, jobs: &[Job]) -> Result<Vec<i32>> {
    let mut attempts = Vec::new();
    for job in jobs {
        let query = "SELECT attempts FROM analyses WHERE job_id = $1 AND state = 'running'";
        attempts.push(sqlx::query_scalar(query).bind(job.job_id.0).fetch_one(fleet.database.pool()).await?);
    }
    attempts.sort_unstable();
    Ok(attempts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_worker_died_holds_up_neither_the_interactive_lane_nor_others() -> Result<()> {
    // given two long jobs whose worker died
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.worker.slots = 2;
    fleet.trial.settings.worker.drain_timeout_s = 0;
    let long = jobs(&fleet, "long", &speech::long_call(3600)?, 2).await?;
    dead_worker(&fleet, &long, 1).await?;
    fleet.start_worker();
    while attempts(&fleet, &long).await? != [1, 2] {
        sleep(Duration::from_millis(30)).await;
    }
    // when others come while one of them runs
    let sound = recording()?;
    let page = jobs(&fleet, "page", &sound, 1).await?;
    let batch = NewBatch { id: BatchId::from_name("page"), name: "page".into(), source: "page".into() };
    fleet.database.register(&batch, &page, false).await?;
    fleet.publisher.publish_job(&page[0], Lane::Interactive).await?;
    assert_eq!(fleet.ended(page[0].job_id).await?.get::<String, _>("status"), "done");
    let others = jobs(&fleet, "others", &sound, 3).await?;
    fleet.enqueue(&others).await?;
    for job in &others {
        assert_eq!(fleet.ended(job.job_id).await?.get::<String, _>("status"), "done");
    }
    // then they did not wait for it, and the second long one has not begun beside the first
    assert_eq!(attempts(&fleet, &long).await?, [1, 2]);
    fleet.end().await
}

/// When the latest attempt of each job began and ended.
async fn times(fleet: &Fleet, jobs: &[Job]) -> Result<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
    let mut times = Vec::new();
    for job in jobs {
        let row = fleet.ended(job.job_id).await?;
        assert_eq!(row.get::<String, _>("status"), "done");
        times.push((row.get("started_at"), row.get("finished_at")));
    }
    times.sort_unstable();
    Ok(times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_whose_worker_died_run_one_at_a_time() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.worker.slots = 4;
    let jobs = jobs(&fleet, "suspect", &recording()?, 4).await?;
    dead_worker(&fleet, &jobs, 1).await?;
    fleet.start_worker();
    let times = times(&fleet, &jobs).await?;
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two ran at the same time: {times:?}");
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE attempts = 2 AND unfinished = 0").await?, 4);
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_attempt_before_a_job_fails_for_its_dead_workers_runs_alone() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.worker.slots = 4;
    let deaths = fleet.trial.settings.worker.max_attempts_unfinished as usize - 1;
    let sound = recording()?;
    let others = jobs(&fleet, "others", &sound, 8).await?;
    let suspect = jobs(&fleet, "suspect", &sound, 1).await?;
    fleet.enqueue(&others[..4]).await?;
    dead_worker(&fleet, &suspect, deaths).await.context("the suspect")?;
    fleet.enqueue(&others[4..]).await?;
    fleet.start_worker();
    let (suspect, others) = (times(&fleet, &suspect).await?, times(&fleet, &others).await?);
    let (begin, end) = suspect[0];
    assert!(others.iter().all(|(b, e)| *e <= begin || *b >= end), "{suspect:?} beside {others:?}");
    fleet.end().await
}
