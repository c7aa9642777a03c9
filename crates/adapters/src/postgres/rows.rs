//! Values of rows that several queries share.

use domain::report::Artifacts;
use sqlx::Row;
use sqlx::postgres::PgRow;

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

/// The artifacts that a row of `analyses` names; `None` while there is no result.
pub(super) fn artifacts(row: &PgRow) -> Result<Option<Artifacts>, sqlx::Error> {
    let bucket: Option<String> = row.try_get("artifact_bucket")?;
    let result_key: Option<String> = row.try_get("result_key")?;
    let (Some(bucket), Some(result_key)) = (bucket, result_key) else { return Ok(None) };
    let (audio_key, embedding_key) = (row.try_get("audio_key")?, row.try_get("embedding_key")?);
    Ok(Some(Artifacts { bucket, result_key, audio_key, embedding_key }))
}
