//! The command `enqueue`: enqueues, says what it did, and waits where that is asked for.

use adapters::retry::RetryPolicy;
use domain::BatchId;
use settings::Settings;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Summary, enqueue};
use crate::cli::EnqueueArgs;
use crate::error::{Outcome, ProducerError};
use crate::follow::{self, elsewhere};
use crate::meter::Meter;
use crate::services;

/// Runs `producer enqueue`.
///
/// # Errors
/// [`ProducerError`].
pub(crate) async fn run(
    settings: &Settings,
    args: &EnqueueArgs,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let meter = Arc::new(Meter::new());
    let summary = enqueue(settings, args, policy, meter).await?;
    let _ = summary_lines(&summary, args).iter().try_for_each(|line| writeln!(out, "{line}"));
    let lines = if args.skip_bad_lines { 0 } else { summary.skipped_lines };
    let complete = if lines + summary.left_out > 0 { Outcome::LeftOut } else { Outcome::Done };
    if !args.wait || args.dry_run {
        return Ok(complete);
    }
    let database = services::database(settings, policy).await?;
    let batch = BatchId::from_name(&summary.batch);
    let batch = (batch, summary.batch.as_str());
    let begun = Instant::now();
    let mut outcome = follow::report(settings, &database, batch, args.timeout, policy, out).await?;
    if !summary.open_elsewhere.is_empty() && outcome != Outcome::TimedOut {
        let left = args.timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
        let options = args.job.options(&settings.model.name);
        let jobs = (options.model.as_str(), summary.open_elsewhere);
        let elsewhere = elsewhere::follow(settings, &database, jobs, left, policy, &Meter::new()).await?;
        let _ = writeln!(out, "{elsewhere}");
        outcome = elsewhere.outcome().unwrap_or(outcome);
    }
    Ok(if outcome == Outcome::Done { complete } else { outcome })
}

fn summary_lines(summary: &Summary, args: &EnqueueArgs) -> Vec<String> {
    let Summary { listed, bytes, not_audio, uploaded, known, forgotten, enqueued, skipped_lines, left_out, .. } =
        summary;
    let repeated = summary.repeated_lines;
    let size = *bytes as f64 / 1e6;
    let mut lines =
        vec![format!("batch     {}", summary.batch), format!("found     {listed} recordings, {size:.1} MB")];
    if *not_audio > 0 {
        lines.push(format!("          {not_audio} others skipped by their names (--all takes them)"));
    }
    if repeated > 0 {
        lines.push(format!("          {repeated} further lines of the manifest are about these recordings"));
    }
    if *skipped_lines > 0 {
        lines.push(format!("          {skipped_lines} lines of the manifest skipped"));
    }
    if *left_out > 0 {
        lines.push(format!("          {left_out} left out, for the reasons told above"));
    }
    if args.dry_run {
        lines.push("          nothing was uploaded or enqueued (--dry-run)".into());
        return lines;
    }
    if *uploaded > 0 {
        lines.push(format!("uploaded  {uploaded}"));
    }
    if *known > 0 {
        lines.push(format!("known     {known} already{}", if args.force { "" } else { " (--force analyses again)" }));
    }
    if !summary.open_elsewhere.is_empty() {
        lines
            .push(format!("          {} of them are not analysed yet, in other batches", summary.open_elsewhere.len()));
    }
    if *forgotten > 0 {
        lines.push(format!(
            "deleted   {forgotten} before (job.deleted): they stay deleted (--force analyses them again)"
        ));
    }
    let took = summary.took.max(Duration::from_millis(1)).as_secs_f64();
    lines.push(format!("enqueued  {enqueued} in {took:.1} s, {:.0} a second", summary.rate()));
    lines
}
