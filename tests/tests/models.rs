//! Workers with different models in one fleet: each job is done by a worker with its own model.

use adapters::amqp::{self, DeadLetters, Filter, Lane, Publisher, Retry, Topology, consume, depths};
use adapters::postgres::NewBatch;
use anyhow::{Context, Result, ensure};
use clap::Parser;
use domain::{AnalysisOptions, BatchId, CallData, Failure, FailureCode, Granularity, Job, ObjectRef};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use producer::Outcome;
use producer::cli::Cli;
use secrecy::ExposeSecret;
use std::path::Path;
use std::time::{Duration, Instant};
use tests::console::Console;
use tests::fleet::Fleet;
use tests::ledger::{Entry, Ledger};
use tests::own_broker::OwnBroker;
use tests::rig::Rig;
use tests::speech;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::pipeline::Stop;

const SECOND: &str = "emofleet-second";
const SOON: Duration = Duration::from_secs(120);

/// The default model under another name.
fn second_model() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default");
    std::fs::copy(default.join("model.onnx"), folder.path().join("model.onnx"))?;
    let mut card: serde_json::Value = serde_json::from_slice(&std::fs::read(default.join("model.json"))?)?;
    card["name"] = SECOND.into();
    std::fs::write(folder.path().join("model.json"), card.to_string())?;
    Ok(folder)
}

/// Waits until so many jobs are done. Returns how many are.
async fn settled(rig: &Rig, count: i64) -> Result<i64> {
    let deadline = Instant::now() + SOON;
    loop {
        let done = "SELECT count(*) FROM analyses WHERE status = 'done'";
        let done: i64 = sqlx::query_scalar(done).fetch_one(rig.database.pool()).await?;
        if done >= count {
            return Ok(done);
        }
        ensure!(Instant::now() < deadline, "{done} jobs are done, not {count}: {}", rig.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_models_share_a_fleet_and_each_job_is_done_once_by_its_own_workers() -> Result<()> {
    const EACH: usize = 50;
    const KILLS: usize = 10;
    let mut rig = Rig::bring_up().await?;
    // More attempts than kills, so that no job fails for having been in flight at several of them.
    rig.environment.insert("EMOFLEET__WORKER__MAX_ATTEMPTS_UNFINISHED".into(), (KILLS + 2).to_string());
    let folder = second_model()?;
    let default = rig.direct.model.name.clone();
    let directory = folder.path().to_string_lossy().into_owned();
    let second = [("EMOFLEET__MODEL__NAME", SECOND), ("EMOFLEET__MODEL__DIR", directory.as_str())];
    // Given 200 jobs, in turns for one model and the other
    let bytes = speech::encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", "atrim=0:3"])?;
    let entries = vec![Entry { bytes, code: None }; EACH];
    let mut ledgers = Vec::new();
    for (batch, model) in [("1", default.as_str()), ("2", SECOND), ("3", default.as_str()), ("4", SECOND)] {
        rig.direct.model.name = model.into();
        ledgers.push(Ledger::hand_in(&rig, batch, &entries).await?);
    }
    // and two workers of each kind, killed again and again
    let mut kinds = vec![false, true, false, true];
    for kind in &kinds {
        rig.start_worker_with(if *kind { &second } else { &[] })?;
    }
    let mut enough = 0;
    for kill in 0..KILLS {
        // Between two kills jobs are done, however slow the machine is.
        enough = settled(&rig, (enough + 8).min(4 * EACH as i64)).await?;
        rig.kill_worker(kill)?;
        let killed = kill % kinds.len();
        let kind = kinds.swap_remove(killed);
        rig.start_worker_with(if kind { &second } else { &[] })?;
        kinds.push(kind);
    }
    for ledger in &ledgers {
        ledger.until(&rig, EACH).await?;
    }
    // Then each is done once, by the model that it asked for
    for ledger in &ledgers {
        let audit = ledger.audit(&rig).await?;
        assert_eq!((audit.jobs, audit.lost, audit.duplicated), (EACH, 0, 0), "{}", rig.log_tail());
    }
    let by = "SELECT count(*) FROM analyses WHERE status = 'done' AND model_name = $1";
    for model in [&default, SECOND] {
        let count: i64 = sqlx::query_scalar(by).bind(model).fetch_one(rig.database.pool()).await?;
        assert_eq!(count, 100, "{model}");
    }
    // and none failed for its model, or came to a worker with another one.
    for sentence in ["model.mismatch", "routed to its own", "dead-lettered"] {
        assert!(!rig.log()?.contains(sentence), "{sentence}: {}", rig.log_tail());
    }
    Ok(())
}

/// A worker in this process with the second model.
fn second_worker(fleet: &Fleet, folder: &Path) -> (Stop, JoinHandle<Result<()>>) {
    let mut settings = fleet.trial.settings.clone();
    settings.model.name = SECOND.into();
    folder.clone_into(&mut settings.model.dir);
    let stop = Stop::default();
    let task = tokio::spawn(worker::service::run(settings, stop.clone()));
    (stop, task)
}

/// Waits until the queues of both lanes for a model have consumers, or none.
async fn until_consumed(fleet: &Fleet, model: &str, consumed: bool) -> Result<()> {
    let (amqp, begun) = (&fleet.trial.settings.amqp, Instant::now());
    let queues = Lane::ALL.map(|lane| Topology::new(amqp).jobs(&lane.of(model)));
    loop {
        let depths = depths(amqp, &[model]).await?;
        if depths.iter().filter(|d| queues.contains(&d.queue)).all(|d| (d.consumers > 0) == consumed) {
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "{model}: {depths:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A fleet in this process, with workers of both models.
struct Both {
    fleet: Fleet,
    folder: tempfile::TempDir,
    second: Option<(Stop, JoinHandle<Result<()>>)>,
}

impl Both {
    async fn without_workers() -> Result<Self> {
        Ok(Self { fleet: Fleet::without_worker().await?, folder: second_model()?, second: None })
    }

    fn start_second(&mut self) {
        self.second = Some(second_worker(&self.fleet, self.folder.path()));
    }

    fn default(&self) -> String {
        self.fleet.trial.settings.model.name.clone()
    }

    /// Jobs for a model, on recordings of their own.
    async fn jobs(&self, model: &str, count: usize) -> Result<Vec<Job>> {
        let bytes = speech::encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", "atrim=0:3"])?;
        let mut jobs = Vec::new();
        for i in 0..count {
            let object = self.fleet.upload(&format!("{model}/{i}.wav"), bytes.clone()).await?;
            let options = AnalysisOptions {
                model: model.into(),
                channels: None,
                granularity: Granularity::Utterance,
                embedding: true,
            };
            jobs.push(Job::new(BatchId::from_name("test"), object, CallData::default(), options, chrono::Utc::now()));
        }
        Ok(jobs)
    }

    /// Registers jobs as published, whose messages the test publishes itself.
    async fn registered(&self, jobs: &[Job]) -> Result<()> {
        let batch = NewBatch { id: jobs[0].batch_id, name: "test".into(), source: "test".into() };
        let wanted = self.fleet.database.register(&batch, jobs, false).await?;
        Ok(self.fleet.database.mark_published(&wanted).await?)
    }

    async fn producer(&self, arguments: &[&str]) -> Result<(String, Outcome)> {
        let cli = Cli::try_parse_from([&["producer", "--no-wait-for-services"], arguments].concat())?;
        let mut out = Vec::new();
        let outcome = producer::run(&self.fleet.trial.settings, &cli, &mut out).await?;
        Ok((String::from_utf8(out)?, outcome))
    }

    /// Waits until all are done, each by its own model, at the first attempt and without a retry.
    async fn done_at_once(&self, jobs: &[Job]) -> Result<()> {
        for job in jobs {
            let row = self.fleet.ended(job.job_id).await?;
            let outcome: (String, String, i32, i32) = (
                sqlx::Row::get(&row, "status"),
                sqlx::Row::get(&row, "model_name"),
                sqlx::Row::get(&row, "attempts"),
                sqlx::Row::get(&row, "retries"),
            );
            assert_eq!(outcome, ("done".into(), job.options.model.clone(), 1, 0), "{}", job.object.key);
        }
        Ok(())
    }

    async fn consumed(&self, model: &str, consumed: bool) -> Result<()> {
        until_consumed(&self.fleet, model, consumed).await
    }

    async fn stop_second(&mut self) -> Result<()> {
        let (stop, task) = self.second.take().context("it runs")?;
        stop.taking.cancel();
        task.await?
    }

    async fn end(mut self) -> Result<()> {
        if self.second.is_some() {
            self.stop_second().await?;
        }
        self.fleet.end().await
    }
}

async fn channel(amqp: &amqp::Settings) -> Result<(Connection, Channel)> {
    let url = amqp.url.expose_secret();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

async fn put(channel: &Channel, queue: &str, job: &Job, body: &[u8]) -> Result<()> {
    let properties = BasicProperties::default().with_delivery_mode(2).with_message_id(job.job_id.to_string().into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed = channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await?;
    ensure!(confirmed.take_message().is_none(), "{queue} does not exist");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_on_the_wrong_queue_gets_to_a_worker_with_its_model() -> Result<()> {
    let mut both = Both::without_workers().await?;
    let default = both.default();
    both.fleet.start_worker();
    both.start_second();
    both.consumed(&default, true).await?;
    both.consumed(SECOND, true).await?;
    let mut jobs = [both.jobs(&default, 6).await?, both.jobs(SECOND, 6).await?].concat();
    let refused = jobs.pop().context("a job")?;
    both.registered(&jobs).await?;
    both.registered(std::slice::from_ref(&refused)).await?;
    let topology = Topology::new(&both.fleet.trial.settings.amqp);
    let (connection, channel) = channel(&both.fleet.trial.settings.amqp).await?;
    for (i, job) in jobs.iter().enumerate() {
        let other = if job.options.model == SECOND { default.as_str() } else { SECOND };
        // Queues of the other model, and those that name no model
        let queue = match i % 4 {
            0 => topology.jobs(&Lane::Bulk.of(other)),
            1 => topology.jobs(&Lane::Interactive.of(other)),
            2 => topology.intake(Lane::Bulk),
            _ => topology.intake(Lane::Interactive),
        };
        put(&channel, &queue, job, &job.to_json()).await?;
    }
    both.done_at_once(&jobs).await?;
    // What is no job is refused by whoever sorts it
    put(&channel, &topology.intake(Lane::Bulk), &refused, b"{\"v\":2}").await?;
    let row = both.fleet.ended(refused.job_id).await?;
    assert_eq!(sqlx::Row::get::<String, _>(&row, "failure_code"), "job.unknown_version");
    let dead = DeadLetters::new(&both.fleet.trial.settings.amqp);
    let begun = Instant::now();
    while dead.list(&Filter::default(), 5).await?.total != 1 {
        ensure!(begun.elapsed() < SOON, "{:?}", dead.list(&Filter::default(), 5).await?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    connection.close(200, "done".into()).await?;
    both.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_for_a_model_wait_for_its_workers_while_another_is_rolled_out() -> Result<()> {
    let mut both = Both::without_workers().await?;
    let default = both.default();
    // Given workers with the old model, and jobs for it
    both.fleet.start_worker();
    both.consumed(&default, true).await?;
    let first = both.jobs(&default, 12).await?;
    both.fleet.enqueue(&first).await?;
    // When workers with the new one start beside them, producers change, and the old workers stop
    both.start_second();
    both.consumed(SECOND, true).await?;
    both.fleet.stop_worker().await?;
    both.consumed(&default, false).await?;
    let mut late = both.jobs(&default, 12).await?;
    for job in &mut late {
        job.options.embedding = false;
        job.job_id = domain::JobId::of(&job.object, &job.options);
    }
    both.fleet.enqueue(&late).await?;
    let new = both.jobs(SECOND, 12).await?;
    both.fleet.enqueue(&new).await?;
    // then the new jobs are done, while the late ones wait, and it is said for what
    both.done_at_once(&new).await?;
    let waiting = "SELECT count(*) FROM analyses WHERE status = 'queued' AND attempts = 0";
    ensure!(both.fleet.count(waiting).await? >= 12);
    let open = both.fleet.database.open_jobs(&default).await?;
    let told = format!("{open} jobs wait for model {default}; no worker consumes its queue");
    let (said, _) = both.producer(&["status", "--batch", "test"]).await?;
    assert!(said.contains(&told) && !said.contains(&format!("for model {SECOND}")), "{said}");
    let (said, outcome) = both.producer(&["wait", "--batch", "test", "--timeout", "1s"]).await?;
    assert!(outcome == Outcome::TimedOut && said.contains(&told), "{said}");
    // and when a worker with their model starts again, all are done, without a retry.
    both.fleet.start_worker();
    both.done_at_once(&late).await?;
    for job in &first {
        both.fleet.ended(job.job_id).await?;
    }
    assert_eq!(both.fleet.count("SELECT count(*) FROM analyses WHERE status = 'done'").await?, 36);
    let (said, outcome) = both.producer(&["wait", "--batch", "test", "--timeout", "60s"]).await?;
    assert!(outcome == Outcome::Done && !said.contains("no worker"), "{said}");
    both.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_counts_the_workers_of_its_own_model() -> Result<()> {
    let (console, folder) = (Console::without_worker(|_| {}).await?, second_model()?);
    let (stop, task) = second_worker(&console.fleet, folder.path());
    until_consumed(&console.fleet, SECOND, true).await?;
    let wav = speech::encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", "atrim=0:3"])?;
    let refused = console.predict(wav.clone(), &[]).await.expect_err("its own model has no worker").to_string();
    assert!(refused.contains("worker.none"), "{refused}");
    let page = reqwest::get(console.at("/")).await?.text().await?;
    assert!(page.contains("No worker is running for this model") || page.contains("没有运行此模型"), "{page}");
    let mut console = console;
    console.fleet.start_worker();
    console.worker_ready().await?;
    console.predict(wav, &[]).await?;
    stop.taking.cancel();
    task.await??;
    console.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_messages_of_one_model_are_found_beside_the_queues_of_another() -> Result<()> {
    let both = Both::without_workers().await?;
    let default = both.default();
    let (kept, lost) = (both.jobs(&default, 3).await?, both.jobs(SECOND, 4).await?);
    both.fleet.enqueue(&kept).await?;
    both.fleet.enqueue(&lost).await?;
    let topology = Topology::new(&both.fleet.trial.settings.amqp);
    let (connection, channel) = channel(&both.fleet.trial.settings.amqp).await?;
    let purged = topology.jobs(&Lane::Bulk.of(SECOND));
    let reconcile = ["reconcile", "--silent-for", "0s"];
    // A message that no worker has sorted yet may be any job of its lane
    channel.queue_purge(purged.as_str().into(), lapin::options::QueuePurgeOptions::default()).await?;
    put(&channel, &topology.intake(Lane::Bulk), &lost[0], &lost[0].to_json()).await?;
    let (said, _) = both.producer(&reconcile).await?;
    assert!(said.contains("open      7 ") && said.contains("published 0 "), "{said}");
    // then the jobs of the model with the empty queue are published again, to that queue, and those of the other are not
    let intake = topology.intake(Lane::Bulk);
    channel.queue_purge(intake.as_str().into(), lapin::options::QueuePurgeOptions::default()).await?;
    for delete in [false, true] {
        let (said, _) = both.producer(&reconcile).await?;
        assert!(said.contains("published 4 "), "{said}");
        let depths = depths(&both.fleet.trial.settings.amqp, &[default.as_str(), SECOND]).await?;
        let waiting = |queue: &str| depths.iter().find(|d| d.queue == queue).map(|d| d.messages);
        assert_eq!(waiting(&purged), Some(4), "{depths:?}");
        assert_eq!(waiting(&topology.jobs(&Lane::Bulk.of(default.as_str()))), Some(3), "{depths:?}");
        if delete {
            channel.queue_delete(purged.as_str().into(), lapin::options::QueueDeleteOptions::default()).await?;
        } else {
            channel.queue_purge(purged.as_str().into(), lapin::options::QueuePurgeOptions::default()).await?;
        }
    }
    let (said, _) = both.producer(&reconcile).await?;
    assert!(said.contains("published 4 "), "{said}");
    connection.close(200, "done".into()).await?;
    both.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_permissions_are_enough_for_each_use_of_the_queues() -> Result<()> {
    let broker = OwnBroker::start()?;
    let owner = broker.settings()?;
    broker.control(&["add_user", "fleet", "password"])?;
    let (own, write) = (r"^emofleet\.", r"^(emofleet\.|amq\.default$)");
    broker.control(&["set_permissions", "-p", "emofleet", "fleet", own, write, own])?;
    let amqp = amqp::Settings {
        user: "fleet".into(),
        password: "password".to_owned().into(),
        retry_delays_s: vec![1],
        ..owner.clone()
    };
    let object = ObjectRef { bucket: "calls".into(), key: "a.wav".into(), etag: None };
    let options =
        AnalysisOptions { model: "a/b".into(), channels: None, granularity: Granularity::Utterance, embedding: true };
    let job = Job::new(BatchId::from_name("b"), object, CallData::default(), options, chrono::Utc::now());
    let publisher = Publisher::new(&amqp);
    publisher.publish_job(&job, Lane::Bulk).await?;
    let mut leases = consume(&amqp, &Lane::Bulk.of("a/b"), 1, CancellationToken::new());
    let mut next = async || tokio::time::timeout(SOON, leases.recv()).await?.context("a lease");
    let Retry::Scheduled { .. } = next().await?.retry().await? else { anyhow::bail!("a delay is left") };
    next().await?.dead_letter(&Failure::new(FailureCode::AudioCorrupt, "cut"), "w").await?;
    let dead = DeadLetters::new(&amqp);
    assert_eq!(dead.replay(&Filter::default(), &publisher, async |_| Ok(())).await?, 1);
    next().await?.ack().await?;
    let (connection, channel) = channel(&owner).await?;
    put(&channel, &Topology::new(&amqp).intake(Lane::Bulk), &job, &job.to_json()).await?;
    let stop = CancellationToken::new();
    let sorting = amqp::sort(&amqp, "a/b", stop.clone());
    let ((), lease) = tokio::join!(sorting, async {
        let lease = next().await;
        stop.cancel();
        lease
    });
    lease?.ack().await?;
    depths(&amqp, &["c"]).await?;
    // and for nothing else
    let other = amqp::Settings { prefix: "other".into(), ..amqp };
    let refused = Publisher::new(&other).publish_job(&job, Lane::Bulk).await.expect_err("must be refused");
    assert_eq!(refused.code, FailureCode::BrokerRefused, "{refused}");
    connection.close(200, "done".into()).await?;
    Ok(())
}
