//! Untrusted text (keys, names, messages) for a terminal, a page or a log: nothing in them acts.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with control characters and those that change the direction of writing as visible substitutes, also in line
/// breaks: `ESC` as `␛`, U+202E as `\\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    replaced(text, acts)
}

/// The same for a message of several lines.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c != '\n' && acts(c))
}

fn replaced(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match u32::from(c) {
            _ if !hidden(c) => shown.push(c),
            code @ 0..0x20 => shown.push(char::from_u32(0x2400 + code).unwrap_or('\u{fffd}')),
            0x7f => shown.push('\u{2421}'),
            code => {
                let _ = write!(shown, "\\u{{{code:x}}}");
            }
        }
    }
    Cow::Owned(shown)
}

/// Whether it changes the direction of writing.
pub fn changes_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a terminal would act on it instead of showing it.
fn acts(c: char) -> bool {
    c.is_control()
        || changes_direction(c)
        || matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_shown() {
        assert_eq!(visible("a\u{1b}[31m.wav"), "a␛[31m.wav");
        assert_eq!(visible("a\u{202e}vaw.exe\n\u{85}\u{7f}"), "a\\u{202e}vaw.exe␊\\u{85}␡");
        assert_eq!(visible("a.wav\u{200b}"), "a.wav\\u{200b}", "what has no width");
        assert_eq!(visible_lines("one\ntwo\r"), "one\ntwo␍");
        for plain in ["通话 1.wav", "a.wav", "👩\u{200d}💻"] {
            assert!(matches!(visible(plain), Cow::Borrowed(_)), "{plain}");
        }
    }
}
