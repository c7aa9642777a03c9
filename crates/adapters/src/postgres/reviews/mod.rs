//! Verdicts of people on predictions.

use chrono::{DateTime, Utc};
use domain::{Emotion, Failure, JobId};
use sqlx::PgConnection;

use super::conflict::repeated;
use super::{Database, text};
use crate::boxed;

/// Verdicts per statement.
const CHUNK: usize = 500;

/// A person's verdict on a call, one of its channels or a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// The call, by job; or by call id, key or both: then its latest analysis is meant.
    pub job_id: Option<JobId>,
    /// The call's id.
    pub call_id: Option<String>,
    /// The recording's key.
    pub key: Option<String>,
    /// Channel number from 0; `None`: the call as a whole or, with a segment, its only scored channel.
    pub channel: Option<u16>,
    /// The segment's number within the channel, from 0.
    pub segment: Option<u32>,
    /// Instead of the number: a second within the segment.
    pub at_s: Option<f32>,
    /// Name of the reviewer.
    pub reviewer: String,
    /// Time of the verdict; `None`: now. A newer verdict of the same person replaces an older one.
    pub reviewed_at: Option<DateTime<Utc>>,
    /// The emotion by this person.
    pub emotion: Emotion,
    /// A remark.
    pub note: String,
}

/// A verdict whose call, channel or segment was not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Its position in the input, from 0.
    pub position: usize,
    /// The reason, in a few words.
    pub problem: String,
}

/// Which verdicts of an input to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// All of them, or none when one can't be placed.
    Whole,
    /// Those that can be placed.
    Placed,
    /// None: a dry run.
    Nothing,
}

/// The result of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// New verdicts, and newer ones that replaced older ones.
    pub new: u64,
    /// Verdicts stored already, or older than one of the same person.
    pub known: u64,
    /// Verdicts whose call, channel or segment was not found.
    pub unplaced: Vec<Unplaced>,
}

impl Database {
    /// Writes verdicts in one transaction. Returns those whose call, channel or segment can't be found; with
    /// [`Import::Whole`] nothing is written if there are any. Safe to repeat.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`; nothing is written then.
    #[boxed]
    pub async fn import_reviews(&self, reviews: &[Review], which: Import) -> Result<Imported, Failure> {
        let import = || async {
            let mut transaction = self.begin().await?;
            let mut imported = Imported::default();
            for (number, chunk) in reviews.chunks(CHUNK).enumerate() {
                for (row, problem, known) in write(&mut transaction, chunk).await? {
                    let position = number * CHUNK + usize::try_from(row).unwrap_or(1) - 1;
                    match problem {
                        Some(problem) => imported.unplaced.push(Unplaced { position, problem }),
                        None if known => imported.known += 1,
                        None => imported.new += 1,
                    }
                }
            }
            let keep = match which {
                Import::Whole => imported.unplaced.is_empty(),
                Import::Placed => true,
                Import::Nothing => false,
            };
            if keep {
                transaction.commit().await?;
            } else {
                transaction.rollback().await?;
            }
            Ok(imported)
        };
        repeated(import).await
    }
}

/// For each row its number from 1, the problem with it, and whether it was stored already.
async fn write(
    connection: &mut PgConnection,
    chunk: &[Review],
) -> Result<Vec<(i64, Option<String>, bool)>, sqlx::Error> {
    const IMPORT: &str = include_str!("import.sql");
    sqlx::query_as(IMPORT)
        .bind(column(chunk, |r| r.job_id.map(|id| id.0)))
        .bind(column(chunk, |r| r.call_id.as_deref().map(|t| text::clean(t, 1024))))
        .bind(column(chunk, |r| r.key.as_deref().map(|t| text::clean(t, 1024))))
        .bind(column(chunk, |r| r.channel.map(|c| i16::try_from(c).unwrap_or(i16::MAX))))
        .bind(column(chunk, |r| r.segment.map(|s| i32::try_from(s).unwrap_or(i32::MAX))))
        .bind(column(chunk, |r| r.at_s))
        .bind(column(chunk, |r| text::clean(&r.reviewer, 200)))
        .bind(column(chunk, |r| r.reviewed_at))
        .bind(column(chunk, |r| r.emotion.label()))
        .bind(column(chunk, |r| text::clean(&r.note, 2000)))
        .fetch_all(connection)
        .await
}

fn column<'r, T>(reviews: &'r [Review], value: impl Fn(&'r Review) -> T) -> Vec<T> {
    reviews.iter().map(value).collect()
}
