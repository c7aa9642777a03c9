//! What to measure.

use anyhow::{Context, bail};

/// Size of the history and of the measurement.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Calls in all; spread over twelve months.
    pub(crate) calls: i64,
    /// Stretches of speech a call.
    pub(crate) segments: i32,
    /// Teams the calls are spread over.
    pub(crate) teams: i32,
    /// Times each question is asked, with another team and month each time.
    pub(crate) rounds: usize,
    /// Rounds after `cold_command`; 0: none.
    pub(crate) cold_rounds: usize,
    /// Shell command that empties the server's caches: restart it, drop its files from the system's cache.
    pub(crate) cold_command: String,
    /// Seconds of writing; 0: none.
    pub(crate) write_seconds: u64,
    /// Connections that write at once.
    pub(crate) writers: usize,
    /// Database that holds the history.
    pub(crate) database: String,
}

impl Options {
    /// `--name value` pairs; flags that cargo adds are passed over.
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            calls: 10_000,
            segments: 20,
            teams: 50,
            rounds: 40,
            cold_rounds: 0,
            cold_command: String::new(),
            write_seconds: 20,
            writers: 8,
            database: "emofleet_history".into(),
        };
        let mut arguments = arguments.filter(|a| a != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{name} wants a value"))?;
            match name.as_str() {
                "--calls" => options.calls = value.parse()?,
                "--segments" => options.segments = value.parse()?,
                "--teams" => options.teams = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
                "--cold-rounds" => options.cold_rounds = value.parse()?,
                "--cold-command" => options.cold_command = value,
                "--write-seconds" => options.write_seconds = value.parse()?,
                "--writers" => options.writers = value.parse()?,
                "--database" => options.database = value,
                _ => bail!(
                    "unknown option {name}; there are --calls --segments --teams --rounds --cold-rounds --cold-command --write-seconds --writers --database"
                ),
            }
        }
        Ok(options)
    }
}
