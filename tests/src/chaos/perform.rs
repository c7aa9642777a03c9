//! Makes the events of a plan happen.

use adapters::amqp::{Lane, Topology};
use anyhow::Result;
use domain::Job;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions, QueuePurgeOptions};
use std::time::{Duration, Instant};
use tokio::time::sleep;

use super::calls::BATCH;
use super::diary::Wish;
use super::event::{Event, Form, LostQueue, Refusal, Service, StoreFault};
use super::stage::{Ended, HOOK, Stage, signal};
use crate::proxy::{Mode, Proxy};
use crate::receiver::Fault;

/// Longest that a worker may take to end after SIGTERM, whatever the services do.
const LONGEST_DRAIN: Duration = Duration::from_secs(90);
/// A page for people, as a load balancer gives it while a service is maintained.
const PAGE: &str = "<!DOCTYPE html><html><body>We are back soon.</body></html>";
const DENIED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

impl Stage {
    /// Makes an event happen, and ends it. Says what came of it.
    ///
    /// # Errors
    /// When the event itself can't be made to happen.
    pub async fn perform(&self, event: &Event) -> Result<String> {
        let said = match event {
            Event::Feed { chunk } => self.enqueue_chunk(*chunk, None).await?,
            Event::Again { chunk, killed_after } => self.enqueue_chunk(*chunk, *killed_after).await?,
            Event::KillWorker { which } => self.kill("worker", *which).await?,
            Event::KillDispatcher => self.kill("dispatcher", 0).await?,
            Event::StopWorker { which } => self.stop_worker(*which).await?,
            Event::FreezeWorker { which, seconds, killed } => self.freeze(*which, *seconds, *killed).await?,
            Event::KillBroker => {
                let _lane = self.lanes.broker.lock().await;
                self.rig.service("rabbitmq", "kill").await?;
                self.rig.service("rabbitmq", "start").await?;
                String::new()
            }
            Event::RestartPostgres { kill } => {
                let _lane = self.lanes.postgres.lock().await;
                self.rig.service("postgres", if *kill { "kill" } else { "stop" }).await?;
                self.rig.service("postgres", "start").await?;
                String::new()
            }
            Event::Store { fault, seconds } => {
                let _lane = self.lanes.s3.lock().await;
                during(&[&self.rig.s3], mode(*fault), *seconds).await;
                String::new()
            }
            Event::Network { service, stall, seconds } => self.cut(*service, *stall, *seconds).await,
            Event::DiskFull { seconds } => {
                let _lane = self.lanes.disk.lock().await;
                self.disk.fill()?;
                sleep(Duration::from_secs(*seconds)).await;
                self.disk.empty()?;
                String::new()
            }
            Event::Rights { refusal, seconds } => self.refuse(*refusal, *seconds).await?,
            Event::LoseQueue { queue, deleted } => self.lose(*queue, *deleted).await?,
            Event::Duplicates { calls } => self.publish(calls, |_| {}).await,
            Event::Forged { calls } => self.publish(calls, |job| job.object.key.push_str(".gone")).await,
            Event::Unreadable { calls, form, named } => self.unreadable(calls, *form, *named).await?,
            Event::Force { calls, killed_after } => self.force(calls, *killed_after).await?.summary(),
            Event::Prune { call, even_unfinished, recordings, killed_after } => {
                self.prune(*call, *even_unfinished, *recordings, *killed_after).await?.summary()
            }
            Event::PruneOld { killed_after } => {
                self.producer(&["prune", "--older-than", "3650d"], *killed_after).await?.summary()
            }
            Event::ForceBesidePrune { call } => {
                let calls = [*call];
                let (forced, pruned) = tokio::join!(self.force(&calls, None), self.prune(*call, true, false, None));
                format!("{} / {}", forced?.summary(), pruned?.summary())
            }
            Event::AgainBesidePrune { call } => {
                let calls = [*call];
                let (again, pruned) =
                    tokio::join!(self.enqueue(&calls, &[], None), self.prune(*call, true, false, None));
                format!("{} / {}", again?.summary(), pruned?.summary())
            }
            Event::Replay { programs, killed_after } => {
                let replay = || self.producer(&["dlq", "replay", "--all", "--yes"], *killed_after);
                let all = futures_util::future::try_join_all((0..*programs).map(|_| replay())).await?;
                all.iter().map(Ended::summary).collect::<Vec<_>>().join(" / ")
            }
            Event::Drop { code } => {
                let ended = self.producer(&["dlq", "drop", "--code", code, "--yes"], None).await?;
                self.diary().dropped(code);
                ended.summary()
            }
            Event::Reconcile => self.producer(&["reconcile"], None).await?.summary(),
            Event::ReviewsBesidePrune { calls, pruned } => {
                let file = self.calls.verdicts(calls)?.to_string_lossy().into_owned();
                let import = ["review", "import", &file, "--skip-unplaced"];
                let (imported, pruned) =
                    tokio::join!(self.producer(&import, None), self.prune(*pruned, true, false, None));
                format!("{} / {}", imported?.summary(), pruned?.summary())
            }
            Event::ReceiverRefuses { times } => {
                let faults = [Fault::Status(500), Fault::Stall, Fault::RetryAfter(1), Fault::Status(503)];
                self.receiver.faults(HOOK, &faults.repeat(2)[..*times]);
                String::new()
            }
        };
        Ok(said)
    }

    async fn enqueue_chunk(&self, chunk: usize, killed_after: Option<u64>) -> Result<String> {
        let size = self.chunk;
        let calls: Vec<usize> = (chunk * size..((chunk + 1) * size).min(self.calls.list.len())).collect();
        Ok(self.enqueue(&calls, &[], killed_after).await?.summary())
    }

    /// Enqueues calls by a manifest.
    ///
    /// # Errors
    /// When the producer can't be started.
    pub async fn enqueue(&self, calls: &[usize], more: &[&str], killed_after: Option<u64>) -> Result<Ended> {
        let manifest = self.calls.manifest(calls.iter().copied())?.to_string_lossy().into_owned();
        let source = format!("s3://{}", self.rig.direct.s3.bucket);
        let arguments = [&["enqueue", &source, "--manifest", &manifest, "--batch", BATCH], more].concat();
        self.producer(&arguments, killed_after).await
    }

    /// Asks for calls again, as `--force` does.
    ///
    /// # Errors
    /// As [`Self::enqueue`].
    pub async fn force(&self, calls: &[usize], killed_after: Option<u64>) -> Result<Ended> {
        let begun = Instant::now();
        let ended = self.enqueue(calls, &["--force"], killed_after).await?;
        for call in calls {
            self.diary().asked(*call, Wish::Force, begun, ended.code == Some(0));
        }
        Ok(ended)
    }

    /// Deletes a call.
    ///
    /// # Errors
    /// When the producer can't be started.
    pub async fn prune(
        &self,
        call: usize,
        even_unfinished: bool,
        recordings: bool,
        killed_after: Option<u64>,
    ) -> Result<Ended> {
        let begun = Instant::now();
        let mut arguments = vec!["prune", "--call", &self.calls.list[call].id];
        arguments.extend(even_unfinished.then_some("--even-unfinished"));
        arguments.extend(recordings.then_some("--recordings"));
        if recordings {
            self.diary().without_recording.insert(call);
        }
        let ended = self.producer(&arguments, killed_after).await?;
        // What was not there, because it was not enqueued yet or is deleted already, tells nothing new.
        if ended.code != Some(0) || !ended.said.contains("deleted   0 analyses") {
            self.diary().asked(call, Wish::Prune, begun, ended.code == Some(0));
        }
        Ok(ended)
    }

    async fn kill(&self, name: &'static str, which: usize) -> Result<String> {
        let Some(mut program) = self.take(name, which).await else { return Ok("none is free".into()) };
        program.child.kill().await?;
        self.employ(name).await?;
        Ok(String::new())
    }

    async fn stop_worker(&self, which: usize) -> Result<String> {
        let Some(mut worker) = self.take("worker", which).await else { return Ok("none is free".into()) };
        let begun = Instant::now();
        // It may have ended by itself at this moment.
        let _ = signal(&worker.child, "-TERM");
        if tokio::time::timeout(LONGEST_DRAIN, worker.child.wait()).await.is_err() {
            self.problem(format!("a worker did not end within {LONGEST_DRAIN:?} after SIGTERM"));
            worker.child.kill().await?;
        }
        self.employ("worker").await?;
        Ok(format!("ended after {:.1} s", begun.elapsed().as_secs_f64()))
    }

    async fn freeze(&self, which: usize, seconds: u64, killed: bool) -> Result<String> {
        let Some(mut worker) = self.take("worker", which).await else { return Ok("none is free".into()) };
        let frozen = signal(&worker.child, "-STOP");
        sleep(Duration::from_secs(seconds)).await;
        if killed || frozen.is_err() {
            worker.child.kill().await?;
            self.employ("worker").await?;
        } else {
            signal(&worker.child, "-CONT")?;
            self.programs.lock().await.push(worker);
        }
        Ok(String::new())
    }

    async fn cut(&self, service: Service, stall: bool, seconds: u64) -> String {
        let mode = if stall { Mode::Stall } else { Mode::Cut };
        let rig = &self.rig;
        match service {
            Service::Broker => {
                let _lane = self.lanes.broker.lock().await;
                during(&[&rig.broker], mode, seconds).await;
            }
            Service::Postgres => {
                let _lane = self.lanes.postgres.lock().await;
                during(&[&rig.postgres], mode, seconds).await;
            }
            Service::Store => {
                let _lane = self.lanes.s3.lock().await;
                during(&[&rig.s3], mode, seconds).await;
            }
            Service::All => {
                let lanes = &self.lanes;
                // Always in this order.
                let _broker = lanes.broker.lock().await;
                let _postgres = lanes.postgres.lock().await;
                let _s3 = lanes.s3.lock().await;
                during(&[&rig.broker, &rig.postgres, &rig.s3], mode, seconds).await;
            }
        }
        format!("{service:?}")
    }

    async fn refuse(&self, refusal: Refusal, seconds: u64) -> Result<String> {
        let _lane = self.lanes.postgres.lock().await;
        let (breaks, repairs) = statements(refusal);
        self.sql(breaks).await?;
        sleep(Duration::from_secs(seconds)).await;
        self.sql(repairs).await?;
        Ok(format!("{refusal:?}"))
    }

    async fn lose(&self, queue: LostQueue, deleted: bool) -> Result<String> {
        let _lane = self.lanes.broker.lock().await;
        let (connection, channel) = self.channel().await?;
        let names = match queue {
            LostQueue::Bulk => vec![self.bulk()],
            LostQueue::Retry => {
                let topology = Topology::new(&self.rig.direct.amqp);
                self.rig.direct.amqp.retry_delays_s.iter().map(|delay| topology.retry(*delay)).collect()
            }
        };
        let mut lost = 0;
        for name in names.iter().map(|name| name.as_str().into()) {
            lost += if deleted {
                channel.queue_delete(name, QueueDeleteOptions::default()).await?
            } else {
                channel.queue_purge(name, QueuePurgeOptions::default()).await?
            };
        }
        // It may have been cut meanwhile.
        let _ = connection.close(200, "done".into()).await;
        Ok(format!("{queue:?}: {lost} messages"))
    }

    /// Publishes messages of these calls once more, changed.
    async fn publish(&self, calls: &[usize], change: impl Fn(&mut Job)) -> String {
        let job = |call: &usize| {
            let mut job = self.calls.list[*call].job.clone();
            change(&mut job);
            job
        };
        let jobs: Vec<Job> = calls.iter().map(job).collect();
        let results = self.rig.publisher.publish_jobs(&jobs, Lane::Bulk).await;
        format!("{} of {} confirmed", results.iter().filter(|result| result.is_ok()).count(), jobs.len())
    }

    async fn unreadable(&self, calls: &[usize], form: Form, named: bool) -> Result<String> {
        let _lane = self.lanes.broker.lock().await;
        let (connection, channel) = self.channel().await?;
        for call in calls {
            let job = &self.calls.list[*call].job;
            let body = match form {
                Form::Garbage => b"no job".to_vec(),
                Form::NewerVersion => br#"{"v":2}"#.to_vec(),
                Form::TooLong => vec![b' '; domain::job::MAX_MESSAGE_BYTES + 1],
            };
            let mut properties = BasicProperties::default().with_delivery_mode(2);
            if named {
                self.diary().unreadable.insert(*call);
                properties = properties.with_message_id(job.job_id.to_string().into());
            }
            let (queue, options) = (self.bulk(), BasicPublishOptions::default());
            channel.basic_publish("".into(), queue.as_str().into(), options, &body, properties).await?.await?;
        }
        let _ = connection.close(200, "done".into()).await;
        Ok(format!("{form:?}"))
    }

    /// Ends every fault, whatever state events have left.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn lift_faults(&self) -> Result<()> {
        for proxy in [&self.rig.broker, &self.rig.postgres, &self.rig.s3] {
            proxy.set(Mode::Pass);
        }
        self.receiver.faults(HOOK, &[]);
        for refusal in [Refusal::Results, Refusal::Alerts, Refusal::ReadOnly] {
            self.sql(statements(refusal).1).await?;
        }
        Ok(())
    }
}

impl Ended {
    /// In a line: how it ended, and the beginning of what it said.
    pub fn summary(&self) -> String {
        let code = self.code.map_or_else(|| "killed".into(), |code| format!("exit {code}"));
        let said = self.said.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{code}: {}", said.chars().take(160).collect::<String>())
    }
}

async fn during(proxies: &[&Proxy], mode: Mode, seconds: u64) {
    for proxy in proxies {
        proxy.set(mode);
    }
    sleep(Duration::from_secs(seconds)).await;
    for proxy in proxies {
        proxy.set(Mode::Pass);
    }
}

fn mode(fault: StoreFault) -> Mode {
    let page = |status| Mode::Answer { to: "", status, kind: "text/html", body: PAGE };
    match fault {
        StoreFault::Unavailable => Mode::Unavailable,
        StoreFault::Stall => Mode::Stall,
        StoreFault::CutAnswers => Mode::CutAfter(900),
        StoreFault::CutRequests => Mode::CutRequestsAfter(900),
        StoreFault::Denied => Mode::Answer { to: "", status: "403 Forbidden", kind: "application/xml", body: DENIED },
        StoreFault::Page => page("200 OK"),
        StoreFault::PageNotFound => page("404 Not Found"),
    }
}

/// What breaks Postgres for the programs, and what repairs it.
fn statements(refusal: Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::Results => {
            ("REVOKE INSERT, UPDATE ON analyses FROM CURRENT_USER", "GRANT INSERT, UPDATE ON analyses TO CURRENT_USER")
        }
        Refusal::Alerts => {
            ("REVOKE INSERT ON alerts, outbox FROM CURRENT_USER", "GRANT INSERT ON alerts, outbox TO CURRENT_USER")
        }
        Refusal::MissingTable => ("ALTER TABLE segments RENAME TO gone", "ALTER TABLE gone RENAME TO segments"),
        Refusal::ReadOnly => (
            "ALTER ROLE CURRENT_USER SET default_transaction_read_only = on;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = CURRENT_USER AND pid <> pg_backend_pid()",
            "ALTER ROLE CURRENT_USER RESET default_transaction_read_only;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = CURRENT_USER AND pid <> pg_backend_pid()",
        ),
    }
}
