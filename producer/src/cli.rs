//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

use crate::arguments::{batch_name, duration, encoding};
use crate::dates::{DateOrder, Dates, zone};
use crate::enqueue::JobArgs;
use crate::manifest::ManifestOptions;

/// Enqueue recordings, follow batches, show results, replay dead letters, delete old calls
#[derive(Debug, Parser)]
#[command(name = "producer", version, after_help = EXAMPLES)]
pub struct Cli {
    /// End at once when a service is unreachable, instead of waiting for it
    #[arg(long, global = true)]
    pub no_wait_for_services: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  producer migrate                                      create or update the tables
  producer migrate --roles                              and a database role for each program
  producer enqueue s3://calls/2026/11/ --wait           analyse a prefix, and wait for the results
  producer enqueue ./recordings --prefix monday/        upload a folder, then analyse it
  producer enqueue s3://calls --manifest calls.csv      with call data from a table
  producer watch s3://calls/incoming/                   analyse recordings as they arrive
  producer status                                       batches, progress and queues
  producer results --failed                             what failed in the latest batch, and why
  producer reconcile                                    publish jobs again whose messages are gone
  producer dlq replay --code store.unreachable --yes    retry these dead letters
  producer prune --older-than 90d --dry-run             what retention would delete

Exit codes: 0 success; 1 a service failed; 2 wrong input or usage; 3 some recordings were left out,
or failed (with --wait or wait); 4 timeout; 130 interrupted.

Settings come from config/default.toml, the file in EMOFLEET_CONFIG, and EMOFLEET__SECTION__KEY.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or update the database's tables
    Migrate(MigrateArgs),
    /// Create the buckets of the settings where they are missing
    Bucket,
    /// Enqueue recordings for analysis
    ///
    /// The same object with the same options is one job, however often it is enqueued. After an interruption, run the
    /// same command again.
    #[command(after_help = ENQUEUE_EXAMPLES)]
    Enqueue(EnqueueArgs),
    /// Keep a prefix or folder enqueued: each new recording once, as it arrives
    ///
    /// Runs until it is stopped, as a service beside the workers; with --once it looks once, for cron. It may be killed and
    /// started again at any time, and several may watch the same prefix.
    #[command(after_help = crate::watch::EXAMPLES)]
    Watch(crate::watch::WatchArgs),
    /// Ask the watcher of this host whether it is ready, at `watch.health_addr`: a container's health check
    Health,
    /// Wait until every job of a batch, or for a model, is done or failed
    Wait(WaitArgs),
    /// Show batches, their progress, and the depth of the queues
    Status(StatusArgs),
    /// Show results: predicted emotions, or failures
    Results(ResultsArgs),
    /// Compare open jobs with the queues: publish lost ones again
    ///
    /// An open job whose message is in no queue, after a queue was deleted or purged or the broker's disk replaced, is
    /// published again; one whose message was set aside fails with its reason. The dispatcher does the same now and then.
    /// Safe to repeat: a job that is delivered twice is done once.
    Reconcile(ReconcileArgs),
    /// Show, replay or drop dead letters
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Try alert rules on the calls already analysed.
    #[command(subcommand)]
    Alerts(crate::alerts::AlertsCommand),
    /// Import what people say of the predictions.
    #[command(subcommand)]
    Review(crate::review::ReviewCommand),
    /// Delete old calls, or one call: artifacts, then rows, alerts and reviews, and dead letters
    ///
    /// Recordings are deleted only with --recordings, and by a date in their call data alone only with --confirm COUNT.
    /// Nothing else asks for confirmation. Open jobs are kept. After an interruption, run the same command again.
    #[command(after_help = PRUNE_EXAMPLES)]
    Prune(crate::prune::PruneArgs),
}

const PRUNE_EXAMPLES: &str = "\
Examples:
  producer prune --older-than 90d --dry-run     how much would be deleted
  producer prune --older-than 90d               for a nightly run
  producer prune --older-than 90d --recordings --confirm 12
  producer prune --call c-17 --recordings       everything of one call, on request

Exit codes: 0 all deleted; 1 a service failed, or the store refused to delete some objects, whose rows
are kept; 2 wrong usage, or something is left to delete: with --call, jobs of the call that are open;
dead letters, while RabbitMQ does not answer.";

const ENQUEUE_EXAMPLES: &str = "\
Examples:
  producer enqueue s3://calls/2026/11/22/
  producer enqueue ./monday ./tuesday --prefix week47/ --channels 0=agent,1=customer
  producer enqueue s3://calls --manifest calls.csv --granularity frame --wait --timeout 2h
  producer enqueue s3://calls --manifest 通话.xlsx --timezone Asia/Shanghai
  producer enqueue s3://calls --manifest export.csv --encoding gbk --date-order dmy --strict

A manifest is CSV (with a header; comma, semicolon, tab or bar), a workbook (its first sheet), JSON
lines or a JSON array. Column `key` names the recording, relative to SOURCE. Columns call_id, agent,
team, customer, started_at, and channel_0, channel_1, ... (agent, customer or speaker; counted from
0) have a meaning, in any spelling (Call ID); any other column becomes an attribute of the call,
unless it has roles or only resembles one of these; --attribute keeps such a column.
Times may have any usual form with a four-digit year; those without a zone are UTC, or as
--timezone says.

What is wrong with a line, a file name or a key is reported, and only that one is left out.
Exit codes: 0 all enqueued; 1 a service failed; 2 wrong usage or input, nothing enqueued; 3 some
were left out (or failed, with --wait); 4 timeout.";

/// Arguments of `migrate`.
#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    /// Create a database role for each program as well, with the rights that it needs, and let those log in that have a
    /// password in the settings (`postgres.worker_password` and so on)
    #[arg(long)]
    pub roles: bool,
}

/// Arguments of `enqueue`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct EnqueueArgs {
    /// `s3://BUCKET/PREFIX`, or a local folder or file, which is uploaded first
    #[arg(value_name = "SOURCE", required_unless_present = "manifest")]
    pub sources: Vec<String>,
    /// Table of recordings and call data: CSV, XLSX (also XLS, XLSB, ODS), JSON lines or a JSON array
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Lines of the manifest that are wrong or name no recording are expected: exit code 0, not 3
    #[arg(long, requires = "manifest", conflicts_with = "strict")]
    pub skip_bad_lines: bool,
    /// Enqueue nothing when a line of the manifest is wrong
    #[arg(long, requires = "manifest")]
    pub strict: bool,
    /// Encoding of the manifest, like gbk, gb18030, utf-16 or windows-1252; detected without
    #[arg(long, requires = "manifest", value_parser = encoding)]
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// Time zone of the manifest's times that name none, like Asia/Shanghai; UTC without
    #[arg(long, requires = "manifest", value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<chrono_tz::Tz>,
    /// Order of day and month in dates like 11/12/2026, which are refused without
    #[arg(long, requires = "manifest", value_enum, value_name = "ORDER")]
    pub date_order: Option<DateOrder>,
    /// This column of the manifest is an attribute, though its name resembles a known one. Repeatable
    #[arg(long, requires = "manifest", value_name = "COLUMN")]
    pub attribute: Vec<String>,
    /// How the recordings are analysed.
    #[command(flatten)]
    pub job: JobArgs,
    /// Name of the batch, at most 200 bytes; by default that of the source. The same name continues the batch
    #[arg(long, value_name = "NAME", value_parser = batch_name)]
    pub batch: Option<String>,
    /// Prefix of the keys of uploads; by default the folder's name
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Take every file, not only those whose names look like audio
    #[arg(long)]
    pub all: bool,
    /// Follow links out of a source folder, and take files with several names (hard links)
    #[arg(long)]
    pub follow_symlinks: bool,
    /// Only show what would be enqueued
    #[arg(long)]
    pub dry_run: bool,
    /// Analyse again what is done or failed already; a result stays until the new one is recorded
    #[arg(long)]
    pub force: bool,
    /// Then wait until these recordings are analysed, those that other batches hold included
    #[arg(long)]
    pub wait: bool,
    /// With --wait: stop waiting after this time, like 90s, 30m or 2h
    #[arg(long, requires = "wait", value_parser = duration)]
    pub timeout: Option<Duration>,
}

impl EnqueueArgs {
    /// How the manifest is read.
    pub fn manifest_options(&self) -> ManifestOptions {
        ManifestOptions {
            encoding: self.encoding,
            dates: Dates { zone: self.timezone, order: self.date_order, mixed: false },
            attributes: self.attribute.clone(),
        }
    }

    /// The defaults, for one source.
    pub fn of(source: impl Into<String>) -> Self {
        Self {
            sources: vec![source.into()],
            manifest: None,
            skip_bad_lines: false,
            strict: false,
            encoding: None,
            timezone: None,
            date_order: None,
            attribute: Vec::new(),
            job: JobArgs::default(),
            batch: None,
            prefix: None,
            all: false,
            follow_symlinks: false,
            dry_run: false,
            force: false,
            wait: false,
            timeout: None,
        }
    }
}

/// Arguments of `wait`.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Name or id of the batch
    #[arg(long, default_value = "latest")]
    pub batch: String,
    /// All open jobs for the model with this name, of whatever batch
    #[arg(long, conflicts_with = "batch")]
    pub model: Option<String>,
    /// With --model: enough when no more jobs than this are open
    #[arg(long, default_value_t = 0, requires = "model")]
    pub at_most: u64,
    /// Stop waiting after this time, like 90s, 30m or 2h
    #[arg(long, value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Name or id of a batch
    #[arg(long, default_value = "latest")]
    pub batch: String,
}

/// Output formats of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// One JSON object per line
    Jsonl,
    /// CSV with a header, for spreadsheets: with a byte order mark; a text that would be a formula begins with '
    Csv,
    /// A workbook of Excel, with true numbers and dates; send it to a file: > results.xlsx
    Xlsx,
}

/// Arguments of `results`.
#[derive(Debug, Clone, Args)]
pub struct ResultsArgs {
    /// Name or id of the batch
    #[arg(long, default_value = "latest")]
    pub batch: String,
    /// Only failed recordings
    #[arg(long)]
    pub failed: bool,
    /// Maximum number of rows; 0: all. By default 100 in a table, all otherwise
    #[arg(long)]
    pub limit: Option<u64>,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// Arguments of `reconcile`.
#[derive(Debug, Clone, Args)]
pub struct ReconcileArgs {
    /// Only jobs without news for this long, like 0s, 30m or 2h; by default `dispatcher.reconcile_after_s`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub silent_for: Option<Duration>,
}

/// Commands on dead letters.
#[derive(Debug, Clone, Subcommand)]
pub enum DlqCommand {
    /// List dead letters, oldest first
    List {
        /// Which.
        #[command(flatten)]
        filter: FilterArgs,
        /// Maximum number of rows
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one dead letter in full
    Show {
        /// The job's id
        id: String,
    },
    /// Send dead letters back to their queue. Safe to repeat
    Replay(ChoiceArgs),
    /// Delete dead letters. The database keeps the failed rows; a job that is still open fails with the letter's reason
    Drop(ChoiceArgs),
}

/// Which dead letters, and whether to ask first.
#[derive(Debug, Clone, Args)]
pub struct ChoiceArgs {
    /// Which.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// All dead letters
    #[arg(long, conflicts_with_all = ["id", "code", "batch", "older_than", "newer_than"])]
    pub all: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
}

/// Which dead letters. Several conditions must all hold.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// The job with this id
    #[arg(long)]
    pub id: Option<String>,
    /// With this failure code, like audio.corrupt
    #[arg(long)]
    pub code: Option<String>,
    /// Of this batch, by name or id
    #[arg(long)]
    pub batch: Option<String>,
    /// Dead-lettered longer ago than this, like 2h or 7d
    #[arg(long, value_parser = duration)]
    pub older_than: Option<Duration>,
    /// Dead-lettered more recently than this
    #[arg(long, value_parser = duration)]
    pub newer_than: Option<Duration>,
}
