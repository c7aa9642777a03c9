//! The command `wait`, and the end of a batch in words.

use adapters::postgres::Database;
use adapters::retry::{RetryPolicy, retry_while};
use domain::BatchId;
use domain::visible::visible;
use settings::Settings;
use std::io::Write;
use std::time::Duration;

use super::{Followed, follow, open_jobs, unserved};
use crate::cli::WaitArgs;
use crate::error::{Outcome, ProducerError};
use crate::meter::{Meter, clock};
use crate::services::{self, POSTGRES};
use crate::status;

/// Runs `producer wait`.
///
/// # Errors
/// [`ProducerError`].
pub(crate) async fn run(
    settings: &Settings,
    args: &WaitArgs,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let database = services::database(settings, policy).await?;
    if let Some(model) = &args.model {
        let meter = Meter::new();
        let (most, timeout) = (args.at_most, args.timeout);
        let open = open_jobs::until_at_most(settings, &database, model, most, timeout, policy, &meter).await?;
        let _ = writeln!(out, "{open} jobs for {model} are open");
        return Ok(if open > args.at_most { Outcome::TimedOut } else { Outcome::Done });
    }
    let batch = status::batch(&database, &args.batch).await?;
    report(settings, &database, (batch.id, &batch.name), args.timeout, policy, out).await
}

/// Waits for the end of a batch, and reports it.
pub(crate) async fn report(
    settings: &Settings,
    database: &Database,
    (batch, name): (BatchId, &str),
    timeout: Option<Duration>,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let followed = follow(settings, database, batch, timeout, policy, &Meter::new()).await?;
    let outcome = report_followed(name, &followed, out);
    if followed.timed_out {
        let open = retry_while(policy, POSTGRES, || database.open_jobs_of(&batch)).await?;
        for sentence in unserved::ask(settings, &open).await {
            let _ = writeln!(out, "{}", visible(&sentence));
        }
    }
    Ok(outcome)
}

fn report_followed(name: &str, followed: &Followed, out: &mut impl Write) -> Outcome {
    let (progress, outcome) = (&followed.progress, followed.outcome());
    let took = followed.took.as_secs_f64();
    let _ = writeln!(out, "{name}: {} done, {} failed, after {}", progress.done, progress.failed, clock(took));
    let advice = match outcome {
        Outcome::SomeFailed => Some("`producer results --failed` says why".to_owned()),
        Outcome::TimedOut => {
            let open = progress.total - progress.ended();
            Some(format!("{open} are still open; `producer wait` continues to wait"))
        }
        Outcome::Done | Outcome::Incomplete | Outcome::LeftOut => None,
    };
    if let Some(advice) = advice {
        let _ = writeln!(out, "{advice}");
    }
    outcome
}
