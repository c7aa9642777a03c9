//! Reads the keys of one table. A key that is never read is an unknown key.

use std::collections::BTreeSet;
use std::time::Duration;
use toml_edit::{Item, TableLike, Value};

use super::diagnostics::Diagnostics;

/// Longest duration: ten years.
const MAX_DURATION: Duration = Duration::from_hours(10 * 365 * 24);

/// A table, and which of its keys were read.
pub(super) struct TableReader<'a> {
    table: &'a dyn TableLike,
    /// Where the table begins: a byte of the text.
    pub(super) at: usize,
    read: BTreeSet<String>,
}

/// A value, and where it begins: a byte of the text.
pub(super) struct Spanned<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

impl<'a> TableReader<'a> {
    pub(super) fn new(table: &'a dyn TableLike, at: usize) -> Self {
        Self { table, at, read: BTreeSet::new() }
    }

    /// The table in an item, or an error.
    fn from_item(diagnostics: &mut Diagnostics<'_>, item: &'a Item, at: usize) -> Option<Self> {
        let table = item.as_table_like();
        if table.is_none() {
            diagnostics.error(at, "this must be a table, like { team = \"7\" }");
        }
        table.map(|table| Self::new(table, at))
    }

    pub(super) fn item(&mut self, key: &str) -> Option<Spanned<&'a Item>> {
        self.read.insert(key.to_owned());
        let (key, item) = self.table.get_key_value(key)?;
        let at = item.span().or_else(|| key.span()).map_or(self.at, |span| span.start);
        Some(Spanned { at, value: item })
    }

    /// Whether the key exists; this does not count as reading it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The text of a key, if it is one; this does not count as reading it.
    pub(super) fn peek(&self, key: &str) -> Option<String> {
        self.table.get(key)?.as_str().map(str::to_owned)
    }

    /// All keys and their places.
    pub(super) fn names(&self) -> Vec<(String, usize)> {
        self.table.iter().map(|(name, _)| (name.to_owned(), self.position(name))).collect()
    }

    fn position(&self, key: &str) -> usize {
        let span = self.table.get_key_value(key).and_then(|(key, item)| key.span().or_else(|| item.span()));
        span.map_or(self.at, |span| span.start)
    }

    /// A string that is not empty.
    pub(super) fn text(&mut self, diagnostics: &mut Diagnostics<'_>, key: &str) -> Option<Spanned<String>> {
        let Spanned { at, value } = self.item(key)?;
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            diagnostics.error(at, format!("`{key}` must be a string in quotes, not empty"));
        }
        text.map(|text| Spanned { at, value: text.to_owned() })
    }

    /// A required string.
    pub(super) fn required(&mut self, diagnostics: &mut Diagnostics<'_>, key: &str) -> Option<Spanned<String>> {
        if !self.has(key) {
            self.read.insert(key.to_owned());
            diagnostics.error(self.at, format!("`{key}` is missing here"));
        }
        self.text(diagnostics, key)
    }

    /// A string, or a list of strings.
    pub(super) fn texts(
        &mut self,
        diagnostics: &mut Diagnostics<'_>,
        key: &str,
    ) -> Option<Spanned<Vec<Spanned<String>>>> {
        let Spanned { at, value } = self.item(key)?;
        let one = |value: &Value| {
            let place = value.span().map_or(at, |span| span.start);
            value.as_str().filter(|text| !text.is_empty()).map(|text| Spanned { at: place, value: text.to_owned() })
        };
        let texts: Option<Vec<_>> = match value.as_value() {
            Some(Value::Array(list)) => list.iter().map(one).collect(),
            Some(value) => one(value).map(|text| vec![text]),
            None => None,
        };
        if texts.is_none() {
            diagnostics.error(at, format!("`{key}` must be a string in quotes, or a list of such"));
        }
        texts.map(|value| Spanned { at, value })
    }

    /// A number in this range.
    pub(super) fn number(
        &mut self,
        diagnostics: &mut Diagnostics<'_>,
        key: &str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Option<Spanned<f64>> {
        let Spanned { at, value } = self.item(key)?;
        let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            diagnostics.error(at, format!("`{key}` must be a number from {} to {}", range.start(), range.end()));
        }
        number.map(|value| Spanned { at, value })
    }

    /// An integer in this range.
    pub(super) fn integer(
        &mut self,
        diagnostics: &mut Diagnostics<'_>,
        key: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<Spanned<u32>> {
        let Spanned { at, value } = self.item(key)?;
        let number = value.as_integer().and_then(|n| u32::try_from(n).ok());
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            diagnostics.error(at, format!("`{key}` must be a whole number from {} to {}", range.start(), range.end()));
        }
        number.map(|value| Spanned { at, value })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, diagnostics: &mut Diagnostics<'_>, key: &str) -> Option<Spanned<bool>> {
        let Spanned { at, value } = self.item(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            diagnostics.error(at, format!("`{key}` must be true or false, without quotes"));
        }
        flag.map(|value| Spanned { at, value })
    }

    /// A duration like `30s`, `15m`, `1h` or `7d`.
    pub(super) fn duration(&mut self, diagnostics: &mut Diagnostics<'_>, key: &str) -> Option<Duration> {
        let Spanned { at, value } = self.item(key)?;
        let duration = value.as_str().and_then(domain::duration::parse).filter(|duration| *duration <= MAX_DURATION);
        if duration.is_none() {
            diagnostics.error(at, format!("`{key}` must be a time in quotes, like \"30s\", \"15m\", \"1h\" or \"7d\""));
        }
        duration
    }

    /// A table under this key.
    pub(super) fn table(&mut self, diagnostics: &mut Diagnostics<'_>, key: &str) -> Option<TableReader<'a>> {
        let Spanned { at, value } = self.item(key)?;
        TableReader::from_item(diagnostics, value, at)
    }

    /// The tables of a list: `[[key]]`, or `key = [{ ... }, { ... }]`.
    pub(super) fn tables(&mut self, diagnostics: &mut Diagnostics<'_>, key: &str) -> Vec<TableReader<'a>> {
        let Some(Spanned { at, value }) = self.item(key) else { return Vec::new() };
        let place = |span: Option<std::ops::Range<usize>>| span.map_or(at, |span| span.start);
        match value {
            Item::ArrayOfTables(list) => {
                list.iter().map(|table| TableReader::new(table, place(table.span()))).collect()
            }
            Item::Value(Value::Array(list)) => {
                let tables = list.iter().filter_map(|value| {
                    let table = value.as_inline_table();
                    if table.is_none() {
                        diagnostics
                            .error(place(value.span()), format!("`{key}` is a list of tables, like [{{ ... }}]"));
                    }
                    table.map(|table| TableReader::new(table, place(value.span())))
                });
                tables.collect()
            }
            _ => {
                diagnostics.error(at, format!("`{key}` must be a list of tables: [[{key}]], or {key} = [{{ ... }}]"));
                Vec::new()
            }
        }
    }

    /// Reports the keys that were not read.
    pub(super) fn finish(&self, diagnostics: &mut Diagnostics<'_>) {
        for (name, at) in self.names() {
            if !self.read.contains(&name) {
                let known: Vec<_> = self.read.iter().map(String::as_str).collect();
                diagnostics.error(at, format!("unknown key `{name}`; the keys here are {}", known.join(", ")));
            }
        }
    }
}
