//! `producer reconcile`: compares open jobs with the queues.

use adapters::reconcile::{Reconciled, Reconciler};
use adapters::retry::{RetryPolicy, retry_while};
use settings::Settings;
use std::io::Write;
use std::time::Duration;

use crate::cli::ReconcileArgs;
use crate::error::{Outcome, ProducerError};
use crate::services::{self, RABBITMQ};

/// Runs the command.
///
/// # Errors
/// [`ProducerError::Service`].
pub async fn run(
    settings: &Settings,
    args: &ReconcileArgs,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let database = services::database(settings, policy).await?;
    let publisher = services::broker(settings, policy).await?;
    let silent_for = args.silent_for.unwrap_or(Duration::from_secs(settings.dispatcher.reconcile_after_s));
    let reconciler = Reconciler::new(database, publisher.clone(), &settings.amqp, settings.worker.job_timeout());
    let reconciled = retry_while(policy, RABBITMQ, || reconciler.run(silent_for)).await?;
    publisher.close().await;
    let Reconciled { silent, set_aside, published, unreadable } = reconciled;
    let _ = writeln!(out, "open      {silent} jobs without news for {} s", silent_for.as_secs());
    let _ = writeln!(out, "published {published} again, whose messages were in no queue");
    let _ = writeln!(out, "failed    {set_aside}, whose messages had been set aside");
    if unreadable > 0 {
        let _ = writeln!(
            out,
            "left      {unreadable}, whose rows do not give the job again: enqueue their recordings again"
        );
        return Ok(Outcome::Incomplete);
    }
    Ok(Outcome::Done)
}
