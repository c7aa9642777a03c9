//! `producer watch`: keeps a prefix or a folder enqueued as new recordings arrive.
//!
//! The database knows what is enqueued, by the identity of recordings and jobs; a watcher may be killed at any time.
//! What it remembers besides, in the table `watches`, saves requests: where in the prefix new recordings come.

mod arguments;
mod call_data;
mod events;
mod feed;
mod folder;
mod growing;
mod intake;
mod listing;
mod ranges;
mod rest;
mod sidecar;
mod tally;

use adapters::boxed;
use adapters::health::{Dependencies, Health};
use adapters::postgres::WatchState;
use adapters::retry::RetryPolicy;
use adapters::shutdown::stop_on_signals;
use chrono::Utc;
use settings::Settings;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use arguments::{EXAMPLES, WatchArgs};

use crate::enqueue::batch_name::impersonal;
use crate::enqueue::enqueuer::{Enqueuer, JobOptions, LeftOut};
use crate::error::{Outcome, ProducerError};
use crate::meter::Meter;
use crate::services;
use crate::source::folder::Tree;
use crate::source::upload::Uploader;
use crate::source::{Source, upload_prefix};
use call_data::CallData;
use feed::Feed;
use folder::Uploads;
use intake::{IN_HAND, Intake, Times};
use listing::Looked;
use ranges::Places;
use tally::Tally;

/// Namespace of the identities of watches.
const NAMESPACE: Uuid = Uuid::from_u128(0x2f63_90aa_51d7_4c0e_8f0b_6a7d_3be9_1c44);
/// A look is repeated after this many times as long as it took, at the earliest.
const PAUSE_PER_LOOK: u32 = 4;
/// Longest that a notification may wait: RabbitMQ takes back what is not acknowledged for half an hour.
const LONGEST_WITH_EVENTS: Duration = Duration::from_mins(20);
/// Time for what is in flight, after the first signal.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// What a watcher did until it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchSummary {
    /// Jobs published and confirmed.
    pub enqueued: u64,
    /// Recordings that were enqueued before.
    pub known: u64,
    /// Recordings whose call data came later, or was corrected.
    pub corrected: u64,
    /// Keys, files and call data that can't be taken.
    pub left_out: u64,
    /// Recordings left out because their rows were pruned.
    pub pruned: u64,
    /// Recordings that did not rest at the last look, or waited for call data.
    pub waiting: u64,
    /// Notifications set aside.
    pub set_aside: u64,
    /// Keys and files seen, at each look.
    pub listed: u64,
    /// Looks at the whole prefix.
    pub full_listings: u64,
    /// Everything in one line.
    pub line: String,
}

/// Runs the command until a signal.
///
/// # Errors
/// [`ProducerError`].
pub async fn run(
    settings: &Settings,
    args: &WatchArgs,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let stop = stop_on_signals().map_err(|e| ProducerError::input(format!("handling signals: {e}")))?;
    let summary = watch(settings, args, policy, Meter::new(), stop).await?;
    let _ = writeln!(out, "watched   {}: {}", args.source, summary.line);
    Ok(if args.once && summary.left_out + summary.set_aside > 0 { Outcome::LeftOut } else { Outcome::Done })
}

/// Watches until `stop`; with `--once`, looks once.
///
/// # Errors
/// [`ProducerError`].
#[boxed]
pub async fn watch(
    settings: &Settings,
    args: &WatchArgs,
    policy: RetryPolicy,
    meter: Meter,
    stop: CancellationToken,
) -> Result<WatchSummary, ProducerError> {
    let watcher = Arc::new(Watcher::new(settings, args, policy, meter, stop.clone()).await?);
    watcher.serve_health(settings).await?;
    let out_of_time = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    tokio::select! {
        ended = watcher.work(args.once) => ended?,
        () = out_of_time => watcher.intake.meter.say("stopped with work in flight: it is done at the next start"),
    }
    watcher.intake.meter.clear();
    watcher.intake.enqueuer.publisher.close().await;
    Ok(watcher.summary())
}

struct Watcher {
    intake: Intake,
    place: Place,
    pace: Pace,
    /// Queue of the store's notifications.
    events: Option<String>,
    amqp: adapters::amqp::Settings,
}

/// Where recordings come.
enum Place {
    /// In the bucket, under a prefix, by the identity of the watch.
    Prefix { id: Uuid, prefix: String },
    /// In a local folder.
    Folder { path: PathBuf, follow_links: bool, uploads: Uploads },
}

/// How often to look.
#[derive(Debug, Clone, Copy)]
struct Pace {
    interval: Duration,
    full_interval: Duration,
    overlap: Duration,
}

impl Watcher {
    async fn new(
        settings: &Settings,
        args: &WatchArgs,
        policy: RetryPolicy,
        meter: Meter,
        stop: CancellationToken,
    ) -> Result<Self, ProducerError> {
        let source = Source::parse(&args.source)?;
        let (bucket, prefix) = match &source {
            Source::Prefix { bucket, prefix } => (bucket.clone(), prefix.clone()),
            Source::Folder(_) if args.events.is_some() => {
                return Err(ProducerError::input("--events is about a bucket: SOURCE must be s3://BUCKET/PREFIX"));
            }
            Source::Folder(_) => (settings.s3.bucket.clone(), upload_prefix(args.prefix.as_deref(), &source)),
            Source::File(path) => {
                let what = "is a file: a watched SOURCE is a folder, or s3://BUCKET/PREFIX";
                return Err(ProducerError::input(format!("`{}` {what}", path.display())));
            }
        };
        let seconds = |given: Option<Duration>, setting: u64| given.unwrap_or(Duration::from_secs(setting));
        let watch = &settings.watch;
        let times = Times { rest: seconds(args.rest, watch.rest_s), grace: seconds(args.grace, watch.grace_s) };
        if args.events.is_some() && times.rest + times.grace > LONGEST_WITH_EVENTS {
            let most = LONGEST_WITH_EVENTS.as_secs();
            return Err(ProducerError::input(format!("with --events, --rest and --grace may be {most} s together")));
        }
        let interval = seconds(args.interval, watch.interval_s).max(Duration::from_secs(1));
        let pace = Pace {
            interval,
            full_interval: seconds(args.full_interval, watch.full_interval_s).max(interval),
            // What waits must be looked at until it is enqueued.
            overlap: Duration::from_secs(watch.overlap_s).max(times.rest + times.grace + interval * 4),
        };
        let options = args.job.options(&settings.model.name);
        let call_data = match &args.manifest {
            Some(manifest) => CallData::Manifest(Feed::new(manifest, (&bucket, &prefix), args.manifest_options())?),
            None if args.sidecars => CallData::Sidecars(args.manifest_options()),
            None => CallData::None,
        };
        let place = format!("{bucket}/{prefix}").trim_end_matches('/').to_owned();
        let id = identity(&bucket, &prefix, &options, args);
        let intake = Intake {
            store: services::store(settings, policy, &bucket).await?,
            enqueuer: Enqueuer {
                database: services::database(settings, policy).await?,
                publisher: services::broker(settings, policy).await?,
                options,
                policy,
                counts: Arc::default(),
                left_out: LeftOut { skips: Arc::default(), meter: Arc::new(Meter::new()) },
            },
            bucket,
            batch: args.batch.clone().ok_or_else(|| impersonal(&place)),
            source: impersonal(&args.source),
            artifacts: (settings.s3.artifact_bucket().to_owned(), format!("{}/", settings.s3.artifact_prefix)),
            all: args.all,
            newer_than: args.newer_than,
            call_data,
            times,
            seen: std::sync::Mutex::default(),
            rest: rest::Rest::default(),
            tally: Tally::new(),
            meter,
            stop,
        };
        let place = match source {
            Source::Folder(path) | Source::File(path) => {
                let (store, bucket) = (intake.store.clone(), intake.bucket.clone());
                let uploader = Uploader::new(store, bucket, prefix, policy);
                let uploads = Uploads { uploader, is_first: true.into() };
                Place::Folder { path, follow_links: args.follow_symlinks, uploads }
            }
            Source::Prefix { .. } => Place::Prefix { id, prefix },
        };
        Ok(Self { intake, place, pace, events: args.events.clone(), amqp: settings.amqp.clone() })
    }

    async fn serve_health(self: &Arc<Self>, settings: &Settings) -> Result<(), ProducerError> {
        let Some(address) = settings.watch.health_addr() else { return Ok(()) };
        let health = Health::new(self.intake.stop.clone());
        let this = self.clone();
        let pages = health.clone().serve(address, move || std::future::ready(this.intake.tally.page())).await;
        pages.map_err(|e| ProducerError::input(format!("can't listen at {address} (watch.health_addr): {e}")))?;
        health.started(Dependencies {
            database: self.intake.enqueuer.database.clone(),
            store: Some((self.intake.store.clone(), self.intake.bucket.clone())),
            links: Vec::new(),
            publisher: Some(self.intake.enqueuer.publisher.clone()),
            trouble: None,
        });
        Ok(())
    }

    async fn work(&self, once: bool) -> Result<(), ProducerError> {
        let follow = async {
            let (Some(queue), Place::Prefix { prefix, .. }) = (&self.events, &self.place) else { return Ok(()) };
            events::follow(&self.intake, &self.amqp, queue, prefix).await
        };
        tokio::try_join!(self.keep_looking(once), follow).map(drop)
    }

    async fn keep_looking(&self, once: bool) -> Result<(), ProducerError> {
        let begun = Instant::now();
        let deadline = self.intake.times.rest + IN_HAND + Duration::from_secs(1);
        let mut state = match &self.place {
            Place::Prefix { id, .. } => self.intake.database(|| self.intake.enqueuer.database.watch_state(*id)).await?,
            Place::Folder { .. } => None,
        };
        let mut waiting = false;
        while !self.intake.stop.is_cancelled() {
            let look_begun = Instant::now();
            // Notifications tell what is new; what waited at the last listing may have been there before them.
            let told = self.events.is_some() && !waiting && state.as_ref().is_some_and(|state| !self.is_due(state));
            let looking = async {
                self.intake.call_data.refresh(&self.intake).await?;
                if told { Ok(Looked::default()) } else { self.look(&mut state).await }
            };
            let looked = match looking.await {
                Ok(looked) => looked,
                Err(_) if self.intake.stop.is_cancelled() => break,
                Err(error) if self.goes_on_after(&error, once) => {
                    self.intake.meter.say(&format!("looking again: {}", first_line(&error)));
                    Looked::default()
                }
                Err(error) => return Err(error),
            };
            waiting = looked.waiting > 0;
            let pause = if once {
                match looked.again_after {
                    _ if !looked.complete => self.pace.interval,
                    Some(after) if begun.elapsed() < deadline => after,
                    _ => break,
                }
            } else {
                self.pace.interval.max(look_begun.elapsed() * PAUSE_PER_LOOK)
            };
            tokio::select! {
                () = self.intake.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    }

    /// Whether to look again after this, instead of ending: a service or a network drive may come back.
    fn goes_on_after(&self, error: &ProducerError, once: bool) -> bool {
        let patient = self.intake.enqueuer.policy != RetryPolicy::NEVER;
        match error {
            ProducerError::Service(failure) => failure.is_unreachable() && patient,
            ProducerError::Input(_) => !once && patient,
        }
    }

    /// Whether the whole prefix has to be listed.
    fn is_due(&self, state: &WatchState) -> bool {
        (Utc::now() - state.listed_at).to_std().is_ok_and(|age| age >= self.pace.full_interval)
    }

    /// Looks once: at a folder, or at what is due of a prefix.
    async fn look(&self, state: &mut Option<WatchState>) -> Result<Looked, ProducerError> {
        let looked = match &self.place {
            Place::Folder { path, follow_links, uploads } => {
                // Opened each time: the folder itself may be a link to another one by now.
                let looked = folder::look(&self.intake, &Tree::open(path, *follow_links)?, uploads).await?;
                self.intake.tally.full_listings.inc();
                looked
            }
            Place::Prefix { id, prefix } => self.look_at_prefix(*id, prefix, state).await?,
        };
        let tally = &self.intake.tally;
        tally.listings.inc();
        tally.listed.inc_by(looked.listed);
        tally.waiting.set(i64::try_from(looked.waiting).unwrap_or(i64::MAX));
        tally.last_look.set(Utc::now().timestamp());
        self.intake.meter.at(tally.enqueued.get(), None, &tally.line());
        Ok(looked)
    }

    /// Lists what is due: the whole prefix, or where new recordings come.
    async fn look_at_prefix(
        &self,
        id: Uuid,
        prefix: &str,
        state: &mut Option<WatchState>,
    ) -> Result<Looked, ProducerError> {
        if let Some(state) = state.as_ref().filter(|state| !self.is_due(state)) {
            return listing::look(&self.intake, prefix, &state.ranges, None).await;
        }
        let listed_at = Utc::now();
        let mut places = Places::new(listing::since(self.pace.overlap));
        let looked = listing::look(&self.intake, prefix, &listing::whole(), Some(&mut places)).await?;
        // What is in another's hands may be old, and would not be looked at again.
        if looked.complete && looked.in_flight == 0 {
            let new = WatchState { listed_at, ranges: places.ranges() };
            let (database, place) = (&self.intake.enqueuer.database, (self.intake.bucket.as_str(), prefix));
            self.intake.database(|| database.save_watch_state(id, place, &new)).await?;
            *state = Some(new);
            self.intake.tally.full_listings.inc();
        }
        Ok(looked)
    }

    fn summary(&self) -> WatchSummary {
        let tally = &self.intake.tally;
        WatchSummary {
            enqueued: tally.enqueued.get(),
            known: tally.known.get(),
            corrected: tally.corrected.get(),
            left_out: tally.left_out.get(),
            pruned: tally.pruned.get(),
            waiting: u64::try_from(tally.waiting.get()).unwrap_or_default(),
            set_aside: tally.set_aside.get(),
            listed: tally.listed.get(),
            full_listings: tally.full_listings.get(),
            line: tally.line(),
        }
    }
}

fn first_line(error: &ProducerError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Identity of a watch: with other options, everything has to be looked at again.
fn identity(bucket: &str, prefix: &str, options: &JobOptions, args: &WatchArgs) -> Uuid {
    let JobOptions { model, channels, granularity, embedding, lane: _ } = options;
    let call_data = (args.sidecars, args.manifest.as_deref(), args.newer_than);
    let name =
        format!("{bucket}\n{prefix}\n{model}\n{channels:?}\n{granularity}\n{embedding}\n{call_data:?}\n{}", args.all);
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}
