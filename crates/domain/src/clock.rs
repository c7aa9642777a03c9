//! Positions in a recording as people read them: minutes and seconds.

/// Like `1:23`; fractions are cut off, so that playback begins just before.
pub fn to_seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

/// Like `1:23.2`, rounded.
pub fn to_tenths(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round_ties_even() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_cut_and_never_negative() {
        assert_eq!([59.99, 60.0, -1.0, 3725.0].map(to_seconds), ["0:59", "1:00", "0:00", "62:05"]);
    }

    #[test]
    fn tenths_are_rounded_and_carried_over() {
        assert_eq!(
            [83.25, 63.2, 59.96, -1.0, 3725.0].map(to_tenths),
            ["1:23.2", "1:03.2", "1:00.0", "0:00.0", "62:05.0"]
        );
    }
}
