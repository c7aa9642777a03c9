//! Arguments of every command that creates jobs: how recordings are analysed, and how urgently.

use adapters::amqp::Lane;
use clap::Args;
use domain::{ChannelLayout, Granularity};

use crate::enqueue::enqueuer::JobOptions;

/// How recordings are analysed, and how urgently.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// utterance: scores per segment; frame: also 50 per second
    #[arg(long, default_value_t)]
    pub granularity: Granularity,
    /// Role of each channel, like 0=agent,1=customer; or mix, to average the channels
    #[arg(long)]
    pub channels: Option<ChannelLayout>,
    /// Do not write embedding.npy
    #[arg(long)]
    pub no_embedding: bool,
    /// Lane of the queue: bulk, or interactive (not behind bulk jobs)
    #[arg(long, default_value_t = Lane::Bulk)]
    pub lane: Lane,
}

impl JobArgs {
    /// For jobs of this model.
    pub(crate) fn options(&self, model: &str) -> JobOptions {
        let Self { granularity, channels, no_embedding, lane } = self.clone();
        JobOptions { model: model.into(), channels, granularity, embedding: !no_embedding, lane }
    }
}

impl Default for JobArgs {
    /// As the command line without options.
    fn default() -> Self {
        Self { granularity: Granularity::default(), channels: None, no_embedding: false, lane: Lane::Bulk }
    }
}
