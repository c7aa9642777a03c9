//! Reads the alert file (`config/alerts.toml` by default). Reading is strict, and reports all errors
//! at once, each with its line and column.

mod condition;
mod destination;
mod diagnostics;
mod load;
mod rule;
mod table_reader;

pub use diagnostics::{AlertFileError, Diagnostic};
pub use load::{Alerts, DEFAULT, read};

use std::collections::BTreeMap;
use toml_edit::ImDocument;

use diagnostics::Diagnostics;
use domain::Emotion;
use domain::alert::{AMQP, Rulebook};
use table_reader::TableReader;

/// Groups of emotions, by name.
type Groups = BTreeMap<String, Vec<Emotion>>;

/// Reads the text of an alert file.
///
/// # Errors
/// All errors, each with line and column.
pub fn parse(text: &str) -> Result<Rulebook, AlertFileError> {
    let mut diagnostics = Diagnostics::new(text);
    let mut rulebook = Rulebook::default();
    match ImDocument::parse(text) {
        Ok(document) => rulebook = read_document(&mut diagnostics, &document),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            diagnostics.error(at, format!("this is not TOML: {}", error.message().trim().replace('\n', "; ")));
        }
    }
    diagnostics.finish(rulebook)
}

fn read_document(diagnostics: &mut Diagnostics<'_>, document: &ImDocument<&str>) -> Rulebook {
    let mut root = TableReader::new(document.as_table(), 0);
    let groups = groups(diagnostics, &mut root);
    let mut rulebook = Rulebook::default();
    let mut places = Vec::new();
    for mut table in root.tables(diagnostics, "destination") {
        let at = table.at;
        if let Some(destination) = destination::read(diagnostics, &mut table) {
            if destination.name == AMQP || rulebook.destination(&destination.name).is_some() {
                diagnostics.error(at, format!("the destination name `{}` is in use already", destination.name));
            }
            rulebook.destinations.push(destination);
        }
    }
    for mut table in root.tables(diagnostics, "rule") {
        let at = table.at;
        if let Some(rule) = rule::read(diagnostics, &mut table, &groups) {
            if rulebook.rule(&rule.name).is_some() {
                diagnostics.error(at, format!("there are two rules named `{}`", rule.name));
            }
            places.push(at);
            rulebook.rules.push(rule);
        }
    }
    root.finish(diagnostics);
    for (rule, at) in rulebook.rules.iter().zip(places) {
        for name in rule.notify.iter().flatten().filter(|name| rulebook.destination(name).is_none()) {
            diagnostics
                .error(at, format!("rule `{}` notifies `{name}`, which is not a destination of this file", rule.name));
        }
    }
    rulebook
}

/// The built-in groups, and those that the file adds.
fn groups(diagnostics: &mut Diagnostics<'_>, root: &mut TableReader<'_>) -> Groups {
    let mut groups = Groups::from([
        ("negative".to_owned(), Emotion::NEGATIVE.to_vec()),
        ("positive".to_owned(), vec![Emotion::Happy]),
    ]);
    let Some(mut table) = root.table(diagnostics, "groups") else { return groups };
    for (name, at) in table.names() {
        if Emotion::from_label(&name).is_some() {
            diagnostics.error(at, format!("`{name}` is an emotion; a group needs another name"));
        }
        let emotions = condition::emotions(diagnostics, &mut table, &name);
        groups.insert(name, emotions);
    }
    groups
}
