//! Reading `config/alerts.toml`: strictly, and with everything that is wrong told at once, each
//! fault by its line and column.

mod condition;
mod destination;
mod duration;
mod file;
mod keys;
mod rule;
mod sheet;

pub use file::{Alerts, DEFAULT, read};
pub use sheet::{Fault, Faults};

use std::collections::BTreeMap;
use toml_edit::ImDocument;

use domain::Emotion;
use domain::alert::{AMQP, Rulebook};
use keys::Keys;
use sheet::Sheet;

/// Emotions under one name.
type Groups = BTreeMap<String, Vec<Emotion>>;

/// Reads the text of an alert file.
///
/// # Errors
/// Everything that is wrong with it, each with line and column.
pub fn parse(text: &str) -> Result<Rulebook, Faults> {
    let mut sheet = Sheet::new(text);
    let mut book = Rulebook::default();
    match ImDocument::parse(text) {
        Ok(document) => book = document_rules(&mut sheet, &document),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            sheet.fault(at, format!("this is no TOML: {}", error.message().trim().replace('\n', "; ")));
        }
    }
    sheet.end(book)
}

fn document_rules(sheet: &mut Sheet, document: &ImDocument<&str>) -> Rulebook {
    let mut keys = Keys::of(document.as_table(), 0);
    let groups = groups(sheet, &mut keys);
    let mut book = Rulebook::default();
    let mut places = Vec::new();
    for mut table in keys.tables(sheet, "destination") {
        let at = table.at;
        if let Some(destination) = destination::read(sheet, &mut table) {
            if destination.name == AMQP || book.destination(&destination.name).is_some() {
                sheet.fault(at, format!("the destination name `{}` is taken", destination.name));
            }
            book.destinations.push(destination);
        }
    }
    for mut table in keys.tables(sheet, "rule") {
        let at = table.at;
        if let Some(rule) = rule::read(sheet, &mut table, &groups) {
            if book.rule(&rule.name).is_some() {
                sheet.fault(at, format!("there are two rules named `{}`", rule.name));
            }
            places.push(at);
            book.rules.push(rule);
        }
    }
    keys.end(sheet);
    for (rule, at) in book.rules.iter().zip(places) {
        for name in rule.notify.iter().flatten().filter(|name| book.destination(name).is_none()) {
            sheet.fault(at, format!("rule `{}` notifies `{name}`, which is no destination of this file", rule.name));
        }
    }
    book
}

/// The groups that are there, and those that the file adds.
fn groups(sheet: &mut Sheet, keys: &mut Keys<'_>) -> Groups {
    let mut groups = Groups::from([
        ("negative".to_owned(), Emotion::NEGATIVE.to_vec()),
        ("positive".to_owned(), vec![Emotion::Happy]),
    ]);
    let Some(mut table) = keys.table(sheet, "groups") else { return groups };
    for (name, at) in table.names() {
        if Emotion::from_label(&name).is_some() {
            sheet.fault(at, format!("`{name}` is an emotion; a group needs another name"));
        }
        let emotions = condition::emotions(sheet, &mut table, &name);
        groups.insert(name, emotions);
    }
    groups
}
