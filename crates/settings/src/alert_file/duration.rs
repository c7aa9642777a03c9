//! Times like `30s`, `15m`, `1h`, `7d`.

use std::time::Duration;

use super::keys::{Keys, Placed};
use super::sheet::Sheet;

/// Longest time that a rule may name: ten years.
const LONGEST_S: u64 = 10 * 365 * 86_400;

impl Keys<'_> {
    /// A time like `30s`, `15m`, `1h` or `7d`.
    pub(super) fn duration(&mut self, sheet: &mut Sheet, key: &str) -> Option<Duration> {
        let Placed { at, value } = self.item(key)?;
        let duration = value.as_str().and_then(parse);
        if duration.is_none() {
            sheet.fault(at, format!("`{key}` must be a time in quotes, like \"30s\", \"15m\", \"1h\" or \"7d\""));
        }
        duration
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit_s)?;
    (seconds <= LONGEST_S).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("7d"), Some(Duration::from_hours(168)));
        for wrong in ["", "90", "h", "1.5h", "-1h", "1 h", "99999999999999999999s", "4000d"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
