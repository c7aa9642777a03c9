//! The errors of a file, each with its line and column.

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// An alert file that is not valid: all its errors, in order of place; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertFileError(pub Vec<Diagnostic>);

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::fmt::Display for AlertFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Diagnostic::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for AlertFileError {}

/// Collects the errors of a file while it is read.
pub(super) struct Diagnostics<'a> {
    text: &'a str,
    errors: Vec<(usize, String)>,
}

impl<'a> Diagnostics<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, errors: Vec::new() }
    }

    /// Adds an error at this byte of the text.
    pub(super) fn error(&mut self, at: usize, message: impl Into<String>) {
        self.errors.push((at, message.into()));
    }

    /// Errors so far.
    pub(super) fn count(&self) -> usize {
        self.errors.len()
    }

    /// All errors, in order of place.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.errors.sort_by_key(|(at, _)| *at);
        let diagnostic = |(at, message): (usize, String)| {
            let before = &self.text[..self.text.floor_char_boundary(at)];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
            Diagnostic { line, column, message }
        };
        self.errors.into_iter().map(diagnostic).collect()
    }
}
