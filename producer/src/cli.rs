//! The command line.

use adapters::amqp::Lane;
use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{ChannelLayout, Granularity};
use std::path::PathBuf;
use std::time::Duration;

use crate::arguments::{duration, lane};

/// Enqueues recordings, follows batches, keeps the dead letters.
#[derive(Debug, Parser)]
#[command(name = "producer", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Fail at once when a service is not there, instead of waiting for it.
    #[arg(long, global = true)]
    pub no_wait_for_services: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  producer migrate                                      make or update the tables
  producer enqueue s3://calls/2026/11/ --wait           score a prefix, and follow it to its end
  producer enqueue ./recordings --prefix monday/        upload a folder, then score it
  producer enqueue s3://calls --manifest calls.csv      with call data from a table
  producer status                                       what is going on
  producer results --failed                             what failed in the latest batch, and why
  producer dlq replay --code store.unreachable --yes    try these again
  producer prune --older-than 90d --dry-run             what retention would delete

Exit codes: 0 all well; 1 a service failed; 2 wrong input or usage; 3 some recordings failed
(with --wait or wait); 4 the time to wait ran out; 130 interrupted.

Settings come from config/default.toml, the file in EMOFLEET_CONFIG, and EMOFLEET__SECTION__KEY.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make or update the database's tables.
    Migrate,
    /// Put recordings into the queue. The same object with the same options is one job, however
    /// often it is enqueued: after an interruption, run the same command again.
    #[command(after_help = ENQUEUE_EXAMPLES)]
    Enqueue(EnqueueArgs),
    /// Follow a batch until nothing of it is open.
    Wait(WaitArgs),
    /// Show batches, their progress, and how deep the queues are.
    Status(StatusArgs),
    /// Show what was heard.
    Results(ResultsArgs),
    /// Look at jobs that were set aside, try them again, or drop them.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Try alert rules on the calls already heard.
    #[command(subcommand)]
    Alerts(crate::alerts::AlertsCommand),
    /// Take in what people say of what the model heard.
    #[command(subcommand)]
    Review(crate::review::ReviewCommand),
    /// Delete old calls, or one call: their artifacts, then their rows, alerts and reviews. Recordings only with
    /// --recordings. Never asks; jobs that have not ended are left alone. After an interruption, run the same
    /// command again.
    #[command(after_help = PRUNE_EXAMPLES)]
    Prune(crate::prune::PruneArgs),
}

const PRUNE_EXAMPLES: &str = "\
Examples:
  producer prune --older-than 90d --dry-run     how much would go
  producer prune --older-than 90d               once a night, say
  producer prune --call c-17 --recordings       everything of one call, when somebody asks for it

Exit codes: 0 all gone; 1 a service failed, or the store refused to delete some objects, whose rows
stay; 2 wrong usage, or with --call jobs of it have not ended.";

const ENQUEUE_EXAMPLES: &str = "\
Examples:
  producer enqueue s3://calls/2026/11/22/
  producer enqueue ./monday ./tuesday --prefix week47/ --channels 0=agent,1=customer
  producer enqueue s3://calls --manifest calls.csv --granularity frame --wait --timeout 2h

A manifest is CSV (with a header) or JSON lines. Column `key` names the recording, relative to
SOURCE; call_id, agent, team, customer, started_at, and channel_0, channel_1, ... (agent,
customer or speaker) are known; any other column becomes an attribute of the call.";

/// What to enqueue, and how.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct EnqueueArgs {
    /// `s3://BUCKET/PREFIX`, or a local folder or file, which is uploaded first.
    #[arg(value_name = "SOURCE", required_unless_present = "manifest")]
    pub sources: Vec<String>,
    /// Table of recordings and call data, CSV or JSON lines.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Leave out lines of the manifest that are wrong or name no recording, instead of refusing it.
    #[arg(long, requires = "manifest")]
    pub skip_bad_lines: bool,
    /// utterance: scores per segment; frame: also 50 a second.
    #[arg(long, default_value_t)]
    pub granularity: Granularity,
    /// Who is on which channel, like 0=agent,1=customer; or mix, to average the channels.
    #[arg(long)]
    pub channels: Option<ChannelLayout>,
    /// Write no embedding.npy.
    #[arg(long)]
    pub no_embedding: bool,
    /// bulk, or interactive: ahead of bulk.
    #[arg(long, default_value = "bulk", value_parser = lane)]
    pub lane: Lane,
    /// Name of the batch; by default that of the source. The same name continues the batch.
    #[arg(long, value_name = "NAME")]
    pub batch: Option<String>,
    /// Prefix of uploaded objects' keys; by default the folder's name.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Take every file, not only those that look like audio by their name.
    #[arg(long)]
    pub all: bool,
    /// Only say what would be enqueued.
    #[arg(long)]
    pub dry_run: bool,
    /// Analyse again what is done or failed already.
    #[arg(long)]
    pub force: bool,
    /// Then follow the batch to its end.
    #[arg(long)]
    pub wait: bool,
    /// With --wait: give up after this time, like 90s, 30m or 2h.
    #[arg(long, requires = "wait", value_parser = duration)]
    pub timeout: Option<Duration>,
}

impl EnqueueArgs {
    /// The defaults, for one source.
    pub fn of(source: impl Into<String>) -> Self {
        Self {
            sources: vec![source.into()],
            manifest: None,
            skip_bad_lines: false,
            granularity: Granularity::Utterance,
            channels: None,
            no_embedding: false,
            lane: Lane::Bulk,
            batch: None,
            prefix: None,
            all: false,
            dry_run: false,
            force: false,
            wait: false,
            timeout: None,
        }
    }
}

/// Which batch to wait for.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Name or id of the batch.
    #[arg(long, default_value = "latest")]
    pub batch: String,
    /// Give up after this time, like 90s, 30m or 2h.
    #[arg(long, value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// What to show of the state.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Name or id of a batch.
    #[arg(long, default_value = "latest")]
    pub batch: String,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON object a line.
    Jsonl,
    /// With a header.
    Csv,
}

/// Which results to show, and how.
#[derive(Debug, Clone, Args)]
pub struct ResultsArgs {
    /// Name or id of the batch.
    #[arg(long, default_value = "latest")]
    pub batch: String,
    /// Only what failed.
    #[arg(long)]
    pub failed: bool,
    /// Most rows; 0: all. By default 100 in a table, all otherwise.
    #[arg(long)]
    pub limit: Option<u64>,
    /// How to write them.
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// What to do with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub enum DlqCommand {
    /// Show them, oldest first.
    List {
        /// Which.
        #[command(flatten)]
        filter: FilterArgs,
        /// Most rows.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one in full.
    Show {
        /// The job's id.
        id: String,
    },
    /// Send them back to their queue. Safe to repeat.
    Replay(ChoiceArgs),
    /// Take them out for good. The database keeps the failed rows.
    Drop(ChoiceArgs),
}

/// Which dead letters, with the asking before.
#[derive(Debug, Clone, Args)]
pub struct ChoiceArgs {
    /// Which.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// All of them.
    #[arg(long, conflicts_with_all = ["id", "code", "batch", "older_than", "newer_than"])]
    pub all: bool,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
}

/// Which dead letters; conditions given together must all hold.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// The job with this id.
    #[arg(long)]
    pub id: Option<String>,
    /// With this failure code, like audio.corrupt.
    #[arg(long)]
    pub code: Option<String>,
    /// Of this batch, by name or id.
    #[arg(long)]
    pub batch: Option<String>,
    /// Set aside longer ago than this, like 2h or 7d.
    #[arg(long, value_parser = duration)]
    pub older_than: Option<Duration>,
    /// Set aside more recently than this.
    #[arg(long, value_parser = duration)]
    pub newer_than: Option<Duration>,
}
