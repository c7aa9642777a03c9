//! `producer dlq`: dead letters.
#![expect(clippy::print_stderr, reason = "a question on the terminal")]

use adapters::amqp::{DeadLetter, DeadLetters, Discarded, Filter};
use adapters::boxed;
use adapters::reconcile::message_of;
use adapters::retry::{RetryPolicy, retry_while};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{BatchId, FailureCode, JobId};
use settings::Settings;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;
use uuid::Uuid;

use crate::cli::{ChoiceArgs, DlqCommand, FilterArgs};
use crate::error::{Outcome, ProducerError};
use crate::services::{self, POSTGRES, RABBITMQ};
use crate::table::{Side, head, lines, tail};

const KEY_CELLS: usize = 40;
const REASON_CELLS: usize = 60;

/// Runs the command.
///
/// # Errors
/// [`ProducerError`].
pub async fn run(
    settings: &Settings,
    command: &DlqCommand,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let dead = DeadLetters::new(&settings.amqp);
    match command {
        DlqCommand::List { filter, limit } => {
            let filter = filter.resolve(Utc::now())?;
            let found = retry_while(policy, RABBITMQ, || dead.list(&filter, *limit)).await?;
            let text = listing(&found.letters, found.matching, found.total);
            let _ = text.iter().try_for_each(|line| writeln!(out, "{line}"));
        }
        DlqCommand::Show { id } => {
            let filter = Filter { id: Some(id.clone()), ..Filter::default() };
            let found = retry_while(policy, RABBITMQ, || dead.list(&filter, 1)).await?;
            let Some(letter) = found.letters.first() else {
                return Err(ProducerError::input(format!(
                    "no dead letter has the id `{id}`: `producer dlq list` shows them"
                )));
            };
            let _ = shown(letter).iter().try_for_each(|line| writeln!(out, "{line}"));
        }
        DlqCommand::Replay(choice) => {
            let filter = choice.resolve(Utc::now())?;
            if agreed(choice, &dead, &filter, "send back", policy).await? {
                let sent = replay(settings, &dead, &filter, policy).await?;
                let _ = writeln!(out, "{sent} jobs sent back to their queues");
            }
        }
        DlqCommand::Drop(choice) => {
            let filter = choice.resolve(Utc::now())?;
            if agreed(choice, &dead, &filter, "delete", policy).await? {
                let discarded = discard(settings, &dead, &filter, policy).await?;
                let _ = writeln!(out, "{} dead letters deleted", discarded.letters);
                if let Some(problem) = discarded.problem {
                    let _ = writeln!(out, "{} kept, since their rows could not be written", discarded.kept);
                    return Err(problem.into());
                }
            }
        }
    }
    Ok(Outcome::Done)
}

/// Sends dead letters back. First their rows are made `queued` again, since a worker dead-letters a job at once whose row
/// is `failed`; then the message is sent and confirmed; then the dead letter is acknowledged. Safe to repeat after an
/// interruption.
///
/// # Errors
/// [`ProducerError::Service`].
#[boxed(?Send)]
pub async fn replay(
    settings: &Settings,
    dead: &DeadLetters,
    filter: &Filter,
    policy: RetryPolicy,
) -> Result<usize, ProducerError> {
    let database = services::database(settings, policy).await?;
    let publisher = services::broker(settings, policy).await?;
    let requeue = async |letters: &[DeadLetter]| {
        let jobs: Vec<JobId> = letters.iter().filter_map(DeadLetter::job).map(|job| job.job_id).collect();
        retry_while(policy, POSTGRES, || database.requeue(&jobs)).await.map(drop)
    };
    let sent = dead.replay(filter, &publisher, requeue).await?;
    publisher.close().await;
    Ok(sent)
}

/// Deletes dead letters. A job that is still open when the letter of its message goes fails with the letter's reason: nothing
/// else would end it. Letters of earlier messages, of a job that was asked for again, end nothing.
async fn discard(
    settings: &Settings,
    dead: &DeadLetters,
    filter: &Filter,
    policy: RetryPolicy,
) -> Result<Discarded, ProducerError> {
    let database = services::database(settings, policy).await?;
    let record = async |letter: &DeadLetter| {
        let Some(message) = message_of(letter) else { return Ok(()) };
        let end = || database.set_aside_before(&message, "dlq drop", DateTime::UNIX_EPOCH);
        retry_while(policy, POSTGRES, end).await.map(drop)
    };
    Ok(dead.discard_after(filter, record).await?)
}

impl FilterArgs {
    fn resolve(&self, now: DateTime<Utc>) -> Result<Filter, ProducerError> {
        if let Some(code) = self.code.as_deref().filter(|c| FailureCode::from_code(c).is_none()) {
            let known: Vec<_> = FailureCode::ALL.iter().map(|c| c.code()).collect();
            return Err(ProducerError::input(format!(
                "unknown failure code `{code}`; the codes are: {}",
                known.join(", ")
            )));
        }
        let ago = |age: Option<Duration>| age.map(|a| now - TimeDelta::from_std(a).unwrap_or(TimeDelta::MAX));
        let batch = self.batch.as_ref().map(|b| Uuid::parse_str(b).map_or_else(|_| BatchId::from_name(b), BatchId));
        Ok(Filter {
            id: self.id.clone(),
            jobs: None,
            call: None,
            code: self.code.clone(),
            batch,
            before: ago(self.older_than),
            after: ago(self.newer_than),
        })
    }

    fn is_empty(&self) -> bool {
        let Self { id, code, batch, older_than, newer_than } = self;
        id.is_none() && code.is_none() && batch.is_none() && older_than.is_none() && newer_than.is_none()
    }
}

impl ChoiceArgs {
    fn resolve(&self, now: DateTime<Utc>) -> Result<Filter, ProducerError> {
        if self.filter.is_empty() && !self.all {
            return Err(ProducerError::input(
                "which ones? Give --code, --batch, --id, --older-than or --newer-than, or --all",
            ));
        }
        self.filter.resolve(now)
    }
}

/// Asks, unless --yes is given. False: the answer is no, or there is nothing to do.
async fn agreed(
    choice: &ChoiceArgs,
    dead: &DeadLetters,
    filter: &Filter,
    verb: &str,
    policy: RetryPolicy,
) -> Result<bool, ProducerError> {
    if choice.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(ProducerError::input(format!(
            "standard input is no terminal, so nobody can confirm to {verb}: add --yes"
        )));
    }
    let found = retry_while(policy, RABBITMQ, || dead.list(filter, 1)).await?;
    if found.matching == 0 {
        eprintln!("no dead letter matches");
        return Ok(false);
    }
    eprint!("{verb} {} of {} dead letters? [y/N] ", found.matching, found.total);
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn listing(letters: &[DeadLetter], matching: usize, total: usize) -> Vec<String> {
    if matching == 0 {
        return vec![format!("no dead letter matches, of {total}")];
    }
    let rows: Vec<_> = letters
        .iter()
        .map(|letter| {
            let when = letter.failed_at.map(|t| t.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default();
            let key = letter.job().map_or_else(|| "(not a job)".into(), |job| job.object.key);
            let (key, reason) = (tail(&key, KEY_CELLS), head(&letter.reason, REASON_CELLS));
            [letter.id.clone(), when, letter.code.clone(), letter.retries.to_string(), key, reason]
        })
        .collect();
    let header = [
        ("id", Side::Left),
        ("failed at (UTC)", Side::Left),
        ("code", Side::Left),
        ("retries", Side::Right),
        ("recording", Side::Left),
        ("reason", Side::Left),
    ];
    let mut text = lines(header, &rows);
    text.push(format!("{} shown, {matching} match, {total} in all", letters.len()));
    text
}

fn shown(letter: &DeadLetter) -> Vec<String> {
    let advice = FailureCode::from_code(&letter.code).map_or("", FailureCode::advice);
    let when = letter.failed_at.map(|t| t.to_rfc3339()).unwrap_or_default();
    let mut text = vec![
        format!("id         {}", letter.id),
        format!("code       {}", letter.code),
        format!("reason     {}", letter.reason),
        format!("advice     {advice}"),
        format!("worker     {}", letter.worker),
        format!("failed at  {when}"),
        format!("retries    {}", letter.retries),
        format!("lane       {}", letter.lane.label()),
        String::new(),
    ];
    match serde_json::from_slice::<serde_json::Value>(&letter.body) {
        Ok(json) => text.push(serde_json::to_string_pretty(&json).unwrap_or_default()),
        Err(_) => text.push(String::from_utf8_lossy(&letter.body).into_owned()),
    }
    text
}
