//! Values of rows that several queries share.

use domain::report::Artifacts;
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;

/// Channel number in the database for the mix of all channels: part of primary keys, which can't be NULL.
const MIX: i16 = -1;

/// The number of a channel in the database; `None` is the mix.
pub(super) fn channel_number(channel: Option<u16>) -> i16 {
    channel.map_or(MIX, |channel| i16::try_from(channel).unwrap_or(i16::MAX))
}

/// The channel with this number in the database; `None` is the mix.
pub(super) fn channel(number: i16) -> Option<u16> {
    u16::try_from(number).ok()
}

/// The value of a `count(*)`.
pub(super) fn count(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>(column).map(i64::unsigned_abs)
}

/// The attributes of call data. Programs write texts; of what was written by hand, numbers and lists become texts, so that
/// one such row stops no list of rows.
pub(super) fn attributes(row: &PgRow) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let Value::Object(attributes) = row.try_get("attributes")? else { return Ok(BTreeMap::new()) };
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(attributes.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// Whether an error is about the value in one row, rather than about the statement or the connection.
pub(super) fn is_value(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::ColumnDecode { .. })
}

/// The artifacts that a row of `analyses` names; `None` while there is no result.
pub(super) fn artifacts(row: &PgRow) -> Result<Option<Artifacts>, sqlx::Error> {
    let bucket: Option<String> = row.try_get("artifact_bucket")?;
    let result_key: Option<String> = row.try_get("result_key")?;
    let (Some(bucket), Some(result_key)) = (bucket, result_key) else { return Ok(None) };
    let (audio_key, embedding_key) = (row.try_get("audio_key")?, row.try_get("embedding_key")?);
    Ok(Some(Artifacts { bucket, result_key, audio_key, embedding_key }))
}
