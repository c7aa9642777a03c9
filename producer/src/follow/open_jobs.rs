//! Waits until hardly a job for a model is open, so that its workers can be replaced by those of another one.

use adapters::postgres::Database;
use adapters::retry::{RetryPolicy, retry_while};
use settings::Settings;
use std::time::{Duration, Instant};

use crate::error::ProducerError;
use crate::follow::unserved::{self, Lookout};
use crate::meter::Meter;
use crate::services::POSTGRES;

/// Pause between polls: only the database knows of all workers.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Waits until at most `at_most` jobs for this model are open, or `timeout` has passed; returns how many are. When no
/// worker has this model, that is told.
///
/// # Errors
/// [`ProducerError::Service`] when the database refuses, or is unreachable longer than the policy allows.
pub(super) async fn until_at_most(
    settings: &Settings,
    database: &Database,
    model: &str,
    at_most: u64,
    timeout: Option<Duration>,
    policy: RetryPolicy,
    meter: &Meter,
) -> Result<u64, ProducerError> {
    let begun = Instant::now();
    let mut lookout = Lookout::new(settings);
    loop {
        let open = retry_while(policy, POSTGRES, || database.open_jobs(model)).await?;
        if open <= at_most {
            meter.clear();
            return Ok(open);
        }
        if timeout.is_some_and(|t| begun.elapsed() >= t) {
            meter.clear();
            for sentence in unserved::ask(settings, &[(model.to_owned(), open)]).await {
                meter.say(&sentence);
            }
            return Ok(open);
        }
        lookout.look(open, async || Ok(vec![(model.to_owned(), open)]), meter).await;
        meter.at(0, None, &format!("{open} jobs for {model} are open"));
        let left = timeout.map_or(ASK_EVERY, |t| t.saturating_sub(begun.elapsed()));
        tokio::time::sleep(ASK_EVERY.min(left)).await;
    }
}
