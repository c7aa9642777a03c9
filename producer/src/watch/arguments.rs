//! The command line of `watch`.

use clap::Args;
use std::time::Duration;

use crate::arguments::{duration, encoding};
use crate::dates::{DateOrder, Dates, zone};
use crate::enqueue::JobArgs;
use crate::manifest::ManifestOptions;

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  producer watch s3://calls/incoming/                        until it is stopped, as a service
  producer watch s3://calls --once                           from cron, every few minutes
  producer watch s3://calls --newer-than 1d                  without the recordings that are old already
  producer watch s3://calls --sidecars --grace 5m            with call data beside each recording
  producer watch s3://calls --manifest s3://calls/today.csv  with call data from a table that grows
  producer watch s3://calls --events calls.notifications     from the store's own notifications
  producer watch /srv/recordings --prefix pbx1/              a local folder: uploaded, then enqueued

Call data: with --sidecars from call.wav.json or call.json beside call.wav, a JSON object with the
columns of a manifest; with --manifest from a table, as for `producer enqueue`, in which the last line
of a recording counts. A recording waits for its call data for --grace, and is then enqueued without;
call data that comes later, or is corrected, is applied then.

What can't be taken is reported, and only that one is left out. How new recordings are found, and what is
guaranteed: docs/watch.md. Defaults of the times: [watch] in config/default.toml.
Exit codes: 0 stopped, or with --once all enqueued; 1 a service failed; 2 wrong usage; 3 with --once
some were left out; 130 ended by a second signal.";

/// Arguments of `watch`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct WatchArgs {
    /// `s3://BUCKET/PREFIX`, or a local folder, whose files are uploaded
    pub source: String,
    /// Look once, enqueue what is there, and end
    #[arg(long)]
    pub once: bool,
    /// Queue of RabbitMQ in which the store puts its notifications (S3 event JSON). The prefix is then listed
    /// only at the slow interval, for notifications that were lost
    #[arg(long, value_name = "QUEUE", conflicts_with = "once")]
    pub events: Option<String>,
    /// Call data is in a JSON file beside each recording: call.wav.json or call.json
    #[arg(long, conflicts_with = "manifest")]
    pub sidecars: bool,
    /// Table of call data that grows: a file or `s3://BUCKET/KEY`. It is read again whenever it has changed
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<String>,
    /// Only what was written within this time, like 7d; by default everything, however old
    #[arg(long, value_name = "AGE", value_parser = duration)]
    pub newer_than: Option<Duration>,
    /// Time between looks for new recordings, like 15s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub interval: Option<Duration>,
    /// Time between listings of the whole prefix, like 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub full_interval: Option<Duration>,
    /// Time that a recording must be unchanged, like 10s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub rest: Option<Duration>,
    /// Time that a recording waits for its call data, like 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub grace: Option<Duration>,
    /// Encoding of the manifest, like gbk; detected without
    #[arg(long, requires = "manifest", value_parser = encoding)]
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// Time zone of call data's times that name none, like Asia/Shanghai; UTC without
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<chrono_tz::Tz>,
    /// Order of day and month in dates like 11/12/2026, which are refused without
    #[arg(long, value_enum, value_name = "ORDER")]
    pub date_order: Option<DateOrder>,
    /// This field of the call data is an attribute, though its name resembles a known one. Repeatable
    #[arg(long, value_name = "FIELD")]
    pub attribute: Vec<String>,
    /// How the recordings are analysed.
    #[command(flatten)]
    pub job: JobArgs,
    /// Name of the batch; by default that of the source and the day (UTC), so that each day is a batch
    #[arg(long, value_name = "NAME")]
    pub batch: Option<String>,
    /// Prefix of the keys of uploads; by default the folder's name
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Take every file, not only those whose names look like audio
    #[arg(long)]
    pub all: bool,
    /// Follow links out of a watched folder, and take files with several names (hard links)
    #[arg(long)]
    pub follow_symlinks: bool,
}

impl WatchArgs {
    /// How call data is read.
    pub(super) fn manifest_options(&self) -> ManifestOptions {
        ManifestOptions {
            encoding: self.encoding,
            dates: Dates { zone: self.timezone, order: self.date_order, mixed: false },
            attributes: self.attribute.clone(),
        }
    }

    /// The defaults, for one source.
    pub fn of(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            once: false,
            events: None,
            sidecars: false,
            manifest: None,
            newer_than: None,
            interval: None,
            full_interval: None,
            rest: None,
            grace: None,
            encoding: None,
            timezone: None,
            date_order: None,
            attribute: Vec::new(),
            job: JobArgs::default(),
            batch: None,
            prefix: None,
            all: false,
            follow_symlinks: false,
        }
    }
}
