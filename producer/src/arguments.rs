//! Values of the command line.

use std::time::Duration;

/// Longest name of a batch, bytes: names are indexed.
const MOST_NAME_BYTES: usize = 200;

/// A name for a batch.
pub(crate) fn batch_name(text: &str) -> Result<String, String> {
    if text.len() > MOST_NAME_BYTES {
        return Err(format!("must be at most {MOST_NAME_BYTES} bytes"));
    }
    Ok(text.to_owned())
}

/// Longest time, days: a date that far from now exists.
const MOST_DAYS: u64 = 36_500;

/// `90s`, `30m`, `2h`, `7d`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = any_duration(text)?;
    if duration.as_secs() > MOST_DAYS * 86_400 {
        return Err(format!("must be at most {MOST_DAYS}d"));
    }
    Ok(duration)
}

fn any_duration(text: &str) -> Result<Duration, String> {
    let number = text.bytes().all(|b| b.is_ascii_digit());
    let duration = domain::duration::parse(&if number { format!("{text}s") } else { text.to_owned() });
    duration.ok_or_else(|| format!("`{text}` is not a time like 90s, 30m, 2h or 7d"))
}

/// An age from which on something may be deleted: `90d` or `36h`, at least a day. A bare number is refused,
/// since a forgotten unit probably means days, and would mean seconds.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    if text.parse::<u64>().is_ok() {
        return Err(format!("`{text}` has no unit: {text}d?"));
    }
    let age = any_duration(text).map_err(|_| format!("`{text}` is not an age like 90d"))?;
    match age.as_secs() / 86_400 {
        0 => Err("must be at least 1d: younger jobs may still be open (--call deletes one call)".into()),
        1..=MOST_DAYS => Ok(age),
        _ => Err(format!("must be at most {MOST_DAYS}d: there were no recordings a hundred years ago")),
    }
}

/// Name of an encoding, as `--encoding` takes it.
pub(crate) fn encoding(text: &str) -> Result<&'static encoding_rs::Encoding, String> {
    crate::sheet::encoding_named(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "h", "2 h", "-1s", "1.5h", "99999999999999999999d", "999999999999999999d", "99999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_name_of_a_batch_has_an_end() {
        assert!(batch_name(&"n".repeat(200)).is_ok() && batch_name(&"n".repeat(201)).is_err());
    }

    #[test]
    fn an_age_that_would_delete_too_much_is_refused() {
        assert_eq!(age("90d"), Ok(Duration::from_hours(90 * 24)));
        assert_eq!(age("48h"), Ok(Duration::from_hours(48)));
        for (wrong, said) in [
            ("90", "90d?"),
            ("0d", "at least 1d"),
            ("23h", "at least 1d"),
            ("90000d", "at most"),
            ("-1d", "not an age"),
            ("90 d", "not an age"),
            ("", "not an age"),
        ] {
            let error = age(wrong).expect_err(wrong);
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
