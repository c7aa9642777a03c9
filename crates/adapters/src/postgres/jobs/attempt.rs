//! A worker begins an attempt of a job, or ends it for a later retry.

use domain::report::Artifacts;
use domain::{Failure, FailureCode, Job, JobId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Status;
use super::forgotten::DELETING;
use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, errors, rows, text};

/// Proof that an attempt owns its job's row: a later attempt takes the row over, and this one can't write it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptToken(pub Uuid);

/// An attempt that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Attempts begun and not ended, this one included: above the operator's limit, the job is taken to be what kills
    /// workers.
    pub number: u32,
    /// No attempt of the job began before, or none that a worker did not end itself.
    pub first: bool,
    /// With which the attempt writes the row.
    pub token: AttemptToken,
    /// Run of the job: 0, or more after it was asked for again. Each has artifact keys of its own.
    pub run: u32,
    /// Artifacts of the result that is there until this attempt records another.
    pub earlier: Option<Artifacts>,
}

/// What a worker has to do with a job from the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// Analyse it.
    Begin(Begun),
    /// Attempts of it began and never ended, which this one did not: their workers may have died of it. It may begin by
    /// [`Database::begin_attempt`], apart from others.
    Suspect {
        /// Attempts begun and not ended.
        unfinished: u32,
    },
    /// It is done: acknowledge the message.
    AlreadyDone,
    /// It has failed: dead-letter the message again. [`Database::requeue`] makes the job `queued`.
    AlreadyFailed(Failure),
    /// It was deleted, or is being deleted: acknowledge the message. Artifacts of this run and earlier ones that are still
    /// there belong to no row.
    Deleted {
        /// Latest run before the deletion; `None` while it goes on.
        run: Option<u32>,
    },
}

impl Attempt {
    /// The attempt, where one has begun.
    pub fn begun(&self) -> Option<&Begun> {
        match self {
            Self::Begin(begun) => Some(begun),
            Self::Suspect { .. } | Self::AlreadyDone | Self::AlreadyFailed(_) | Self::Deleted { .. } => None,
        }
    }
}

/// How an attempt may begin.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    /// After attempts that never ended as well.
    suspects: bool,
    /// Its commit waits for the disk.
    durable: bool,
}

impl Database {
    /// Begins an attempt: one row, one short statement. From now on the row belongs to it, and to no earlier attempt. A
    /// job that was never registered gets its row first.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn begin_attempt(&self, job: &Job, worker: &str) -> Result<Attempt, Failure> {
        self.begin_any(job, worker, Beginning { suspects: true, durable: true }).await
    }

    /// The same, unless attempts of the job never ended: then nothing begins, and it is a [`Attempt::Suspect`].
    ///
    /// Unless it is `durable`, the commit does not wait for the disk: a crash of Postgres within the next second may forget
    /// that the attempt began, and every later write of the attempt then finds that it does not own the row. A message that
    /// was delivered before needs a durable one, or a job that takes Postgres down with its worker would not be counted
    /// (docs/delivery.md).
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn begin_unless_suspect(&self, job: &Job, worker: &str, durable: bool) -> Result<Attempt, Failure> {
        self.begin_any(job, worker, Beginning { suspects: false, durable }).await
    }

    async fn begin_any(&self, job: &Job, worker: &str, how: Beginning) -> Result<Attempt, Failure> {
        let token = AttemptToken(Uuid::new_v4());
        if let Some(attempt) = self.begin_known(job, worker, token, how).await? {
            return Ok(attempt);
        }
        self.adopt(job).await?;
        if let Some(attempt) = self.begin_known(job, worker, token, how).await? {
            return Ok(attempt);
        }
        match self.forgotten_run(job).await? {
            Some(run) => Ok(Attempt::Deleted { run: Some(run) }),
            None => {
                Err(Failure::new(FailureCode::DatabaseUnreachable, "the job's row was deleted while the attempt began"))
            }
        }
    }

    async fn begin_known(
        &self,
        job: &Job,
        worker: &str,
        token: AttemptToken,
        how: Beginning,
    ) -> Result<Option<Attempt>, Failure> {
        const BEGIN: &str = include_str!("begin_attempt.sql");
        let worker = text::clean(worker, 200);
        let begin = || {
            let begin = sqlx::query(BEGIN).bind(job.job_id.0).bind(&worker).bind(token.0);
            begin.bind(how.suspects).bind(how.durable).fetch_optional(self.pool())
        };
        let row = repeated(begin).await?;
        row.map(|row| read(&row, token).map_err(|e| errors::failure(&e))).transpose()
    }

    /// Takes an attempt back that a service cut short: the job is queued as if the attempt had not begun. Nothing changes
    /// when the attempt does not own the row any more.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn note_returned(&self, job: JobId, token: AttemptToken) -> Result<(), Failure> {
        const RETURNED: &str = include_str!("note_returned.sql");
        repeated(|| sqlx::query(RETURNED).bind(job.0).bind(token.0).execute(self.pool())).await.map(drop)
    }

    /// Records a transient failure of an attempt, which ends with it: the job waits in a retry queue. Returns whether the
    /// attempt owned the row; if not, nothing is recorded.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn note_retry(&self, job: JobId, failure: &Failure, token: AttemptToken) -> Result<bool, Failure> {
        const RETRY: &str = include_str!("note_retry.sql");
        let (code, message) = (failure.code.code(), text::clean(&failure.message, 2000));
        let note = || {
            let note = sqlx::query(RETRY).bind(job.0).bind(code).bind(&message).bind(token.0);
            note.execute(self.pool())
        };
        Ok(repeated(note).await?.rows_affected() > 0)
    }
}

fn read(row: &PgRow, token: AttemptToken) -> Result<Attempt, sqlx::Error> {
    let unfinished = u32::try_from(row.try_get::<i32, _>("unfinished")?).unwrap_or(u32::MAX);
    if row.try_get("begun")? {
        return Ok(Attempt::Begin(Begun {
            number: unfinished,
            first: row.try_get("first")?,
            token,
            run: u32::try_from(row.try_get::<i32, _>("run")?).unwrap_or_default(),
            earlier: rows::artifacts(row)?,
        }));
    }
    let state: String = row.try_get("state")?;
    if state == DELETING {
        return Ok(Attempt::Deleted { run: None });
    }
    match Status::from_label(&state) {
        Some(Status::Done) => return Ok(Attempt::AlreadyDone),
        Some(Status::Queued | Status::Running | Status::Retrying) => return Ok(Attempt::Suspect { unfinished }),
        _ => {}
    }
    let unknown = || Failure::new(FailureCode::WorkerInternal, format!("the row is `{state}` without a failure"));
    let failure = stored_failure(row, "failure_code", "failure_message")?;
    Ok(Attempt::AlreadyFailed(failure.unwrap_or_else(unknown)))
}

/// The failure in two columns of a row; `None` without a code. A code that only a newer program knows is kept in the
/// message.
pub(in crate::postgres) fn stored_failure(
    row: &PgRow,
    code: &'static str,
    message: &'static str,
) -> Result<Option<Failure>, sqlx::Error> {
    let Some(code) = row.try_get::<Option<String>, _>(code)? else { return Ok(None) };
    let message: String = row.try_get::<Option<_>, _>(message)?.unwrap_or_default();
    Ok(Some(match FailureCode::from_code(&code) {
        Some(code) => Failure { code, message },
        None => Failure::new(FailureCode::WorkerInternal, format!("{code}: {message}")),
    }))
}
