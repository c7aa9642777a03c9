//! Untrusted text (keys, names, messages) in the cells of a spreadsheet.

/// Begins CSV that Excel is to read as UTF-8: without it, Excel takes UTF-8 for the country's old encoding.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A cell that no spreadsheet takes for a formula.
pub fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    format!("{}{text}", if formula { "'" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn formulas_are_text_in_a_spreadsheet() {
        assert_eq!(cell("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!((cell("-1+2").as_str(), cell("@x").as_str(), cell("a=b").as_str()), ("'-1+2", "'@x", "a=b"));
    }
}
