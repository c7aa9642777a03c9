//! Tables for people. Columns are as wide as their widest cell; Chinese characters and emoji take two terminal cells.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Cells that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// At most `cells` cells; the beginning is cut, since the end of a key says most.
pub fn tail(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut room = cells.saturating_sub(1);
    let kept = text.chars().rev().take_while(|c| {
        let needs = c.width().unwrap_or(0);
        let fits = needs <= room;
        room = room.saturating_sub(needs);
        fits
    });
    let kept: Vec<char> = kept.collect();
    std::iter::once('…').chain(kept.into_iter().rev()).collect()
}

/// At most `cells` cells; the end is cut.
pub fn head(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut room = cells.saturating_sub(1);
    let kept = text.chars().take_while(|c| {
        let needs = c.width().unwrap_or(0);
        let fits = needs <= room;
        room = room.saturating_sub(needs);
        fits
    });
    kept.chain(std::iter::once('…')).collect()
}

/// Alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lines of a table with a header and a rule below it.
pub fn lines<const N: usize>(header: [(&str, Side); N], rows: &[[String; N]]) -> Vec<String> {
    let widths: Vec<usize> =
        (0..N).map(|c| rows.iter().map(|row| width(&row[c])).chain([width(header[c].0)]).max().unwrap_or(0)).collect();
    let line = |cells: [&str; N]| {
        let padded = cells.iter().enumerate().map(|(c, text)| {
            let space = " ".repeat(widths[c] - width(text));
            match header[c].1 {
                Side::Left => format!("{text}{space}"),
                Side::Right => format!("{space}{text}"),
            }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rule = widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().join("  ");
    let mut lines = vec![line(header.map(|(name, _)| name)), rule];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines
}

/// A bar of `cells` cells for a share from 0 to 1.
pub fn bar(share: f32, cells: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * cells as f32).round() as usize;
    "█".repeat(full) + &"░".repeat(cells - full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_the_script() {
        let rows = [["😠 生气 angry".to_owned(), "7".to_owned()], ["sad".to_owned(), "120".to_owned()]];
        let lines = lines([("predicted", Side::Left), ("n", Side::Right)], &rows);
        assert_eq!(lines[2], "😠 生气 angry    7");
        assert_eq!(lines[3], "sad            120");
        assert_eq!(width(&lines[2]), width(&lines[3]));
    }

    #[test]
    fn long_texts_are_cut_by_cells() {
        assert_eq!(tail("calls/2026/11/通话一二三.wav", 12), "…一二三.wav");
        assert!(width(&tail("通话通话通话", 6)) <= 6);
        assert_eq!(head("the store is away", 9), "the stor…");
        assert_eq!(tail("short", 10), "short");
    }

    #[test]
    fn bars_are_full_at_one() {
        assert_eq!((bar(0.5, 4), bar(1.2, 3), bar(f32::NAN, 2)), ("██░░".into(), "███".into(), "░░".into()));
    }
}
