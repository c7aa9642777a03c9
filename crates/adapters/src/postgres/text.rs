//! Text from outside, cleaned for a column.

/// Without NUL, which Postgres refuses, and other control characters, which disturb terminals; cut to
/// `max_chars` characters.
pub(super) fn clean(text: &str, max_chars: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn control_characters_become_spaces_and_length_is_bounded() {
        assert_eq!(clean("pcm\0_s16\u{1b}le", 64), "pcm _s16 le");
        assert_eq!(clean("生气生气", 2), "生气");
    }
}
