//! Durations as people write them: `90s`, `30m`, `2h`, `7d`.
//!
//! Not a crate's: those also accept `1M`, `1.5h` or `1h 30m`, and a rule or a retention period that
//! is read differently than it was meant deletes data or suppresses alerts.

use std::time::Duration;

/// A whole number and a unit: `s`, `m`, `h` or `d`. `None` for anything else, and for what
/// has more than 2⁶⁴ seconds.
pub fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_s).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_number_and_one_unit() {
        assert_eq!(parse("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("30m"), Some(Duration::from_mins(30)));
        assert_eq!(parse("2h"), Some(Duration::from_hours(2)));
        assert_eq!(parse("7d"), Some(Duration::from_hours(168)));
        for wrong in
            ["", "90", "h", "1.5h", "-1h", "1 h", "1h 30m", "1M", "99999999999999999999s", "999999999999999999d"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
