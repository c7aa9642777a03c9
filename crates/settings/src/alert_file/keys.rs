//! The keys of one table, each asked for once; what nobody asked for is unknown.

use std::collections::BTreeSet;
use toml_edit::{Item, TableLike, Value};

use super::sheet::Sheet;

/// A table, and which of its keys were asked for.
pub(super) struct Keys<'a> {
    table: &'a dyn TableLike,
    /// Where the table begins, in bytes.
    pub(super) at: usize,
    asked: BTreeSet<String>,
}

/// A value and where it stands.
pub(super) struct Placed<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

impl<'a> Keys<'a> {
    pub(super) fn of(table: &'a dyn TableLike, at: usize) -> Self {
        Self { table, at, asked: BTreeSet::new() }
    }

    /// The table in an item, or a fault.
    fn from_item(sheet: &mut Sheet, item: &'a Item, at: usize) -> Option<Self> {
        let table = item.as_table_like();
        if table.is_none() {
            sheet.fault(at, "this must be a table, like { team = \"7\" }");
        }
        table.map(|table| Self::of(table, at))
    }

    pub(super) fn item(&mut self, key: &str) -> Option<Placed<&'a Item>> {
        self.asked.insert(key.to_owned());
        let (key, item) = self.table.get_key_value(key)?;
        let at = item.span().or_else(|| key.span()).map_or(self.at, |span| span.start);
        Some(Placed { at, value: item })
    }

    /// Whether the key is there; this does not count as asking for it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// All keys and their places.
    pub(super) fn names(&self) -> Vec<(String, usize)> {
        self.table.iter().map(|(name, _)| (name.to_owned(), self.place_of(name))).collect()
    }

    fn place_of(&self, key: &str) -> usize {
        let span = self.table.get_key_value(key).and_then(|(key, item)| key.span().or_else(|| item.span()));
        span.map_or(self.at, |span| span.start)
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, sheet: &mut Sheet, key: &str) -> Option<Placed<String>> {
        let Placed { at, value } = self.item(key)?;
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            sheet.fault(at, format!("`{key}` must be a text in quotes, not empty"));
        }
        text.map(|text| Placed { at, value: text.to_owned() })
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, sheet: &mut Sheet, key: &str) -> Option<Placed<String>> {
        if !self.has(key) {
            self.asked.insert(key.to_owned());
            sheet.fault(self.at, format!("`{key}` is missing here"));
        }
        self.text(sheet, key)
    }

    /// A text, or a list of texts.
    pub(super) fn texts(&mut self, sheet: &mut Sheet, key: &str) -> Option<Placed<Vec<Placed<String>>>> {
        let Placed { at, value } = self.item(key)?;
        let one = |value: &Value| {
            let place = value.span().map_or(at, |span| span.start);
            value.as_str().filter(|text| !text.is_empty()).map(|text| Placed { at: place, value: text.to_owned() })
        };
        let texts: Option<Vec<_>> = match value.as_value() {
            Some(Value::Array(list)) => list.iter().map(one).collect(),
            Some(value) => one(value).map(|text| vec![text]),
            None => None,
        };
        if texts.is_none() {
            sheet.fault(at, format!("`{key}` must be a text in quotes, or a list of such"));
        }
        texts.map(|value| Placed { at, value })
    }

    /// A number in this range.
    pub(super) fn number(
        &mut self,
        sheet: &mut Sheet,
        key: &str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Option<Placed<f64>> {
        let Placed { at, value } = self.item(key)?;
        let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            sheet.fault(at, format!("`{key}` must be a number from {} to {}", range.start(), range.end()));
        }
        number.map(|value| Placed { at, value })
    }

    /// A whole number in this range.
    pub(super) fn count(
        &mut self,
        sheet: &mut Sheet,
        key: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<Placed<u32>> {
        let Placed { at, value } = self.item(key)?;
        let number = value.as_integer().and_then(|n| u32::try_from(n).ok());
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            sheet.fault(at, format!("`{key}` must be a whole number from {} to {}", range.start(), range.end()));
        }
        number.map(|value| Placed { at, value })
    }

    /// A table under this key.
    pub(super) fn table(&mut self, sheet: &mut Sheet, key: &str) -> Option<Keys<'a>> {
        let Placed { at, value } = self.item(key)?;
        Keys::from_item(sheet, value, at)
    }

    /// The tables of a list: `[[key]]`, or `key = [{ ... }, { ... }]`.
    pub(super) fn tables(&mut self, sheet: &mut Sheet, key: &str) -> Vec<Keys<'a>> {
        let Some(Placed { at, value }) = self.item(key) else { return Vec::new() };
        let place = |span: Option<std::ops::Range<usize>>| span.map_or(at, |span| span.start);
        match value {
            Item::ArrayOfTables(list) => list.iter().map(|table| Keys::of(table, place(table.span()))).collect(),
            Item::Value(Value::Array(list)) => {
                let tables = list.iter().filter_map(|value| {
                    let table = value.as_inline_table();
                    if table.is_none() {
                        sheet.fault(place(value.span()), format!("`{key}` is a list of tables, like [{{ ... }}]"));
                    }
                    table.map(|table| Keys::of(table, place(value.span())))
                });
                tables.collect()
            }
            _ => {
                sheet.fault(at, format!("`{key}` must be a list of tables: [[{key}]], or {key} = [{{ ... }}]"));
                Vec::new()
            }
        }
    }

    /// Tells of each key that nobody asked for.
    pub(super) fn end(&self, sheet: &mut Sheet) {
        for (name, at) in self.names() {
            if !self.asked.contains(&name) {
                let known: Vec<_> = self.asked.iter().map(String::as_str).collect();
                sheet.fault(at, format!("unknown key `{name}`; the keys here are {}", known.join(", ")));
            }
        }
    }
}
