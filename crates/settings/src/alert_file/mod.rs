//! Reads the alert file (`config/alerts.toml` by default). Reading is strict, and reports all errors
//! at once, each with its line and column.

mod condition;
mod destination;
mod diagnostics;
mod load;
mod rule;
mod table_reader;

pub use diagnostics::{AlertFileError, Diagnostic};
pub use load::{Alerts, DEFAULT, Usable, read};

use std::collections::BTreeMap;
use toml_edit::ImDocument;

use diagnostics::Diagnostics;
use domain::Emotion;
use domain::alert::{AMQP, Rule, Rulebook};
use table_reader::TableReader;

/// Groups of emotions, by name.
type Groups = BTreeMap<String, Vec<Emotion>>;

/// What an alert file says, as far as it is valid.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The rules and destinations without errors.
    pub rulebook: Rulebook,
    /// What is wrong with the others, in order of place.
    pub errors: Vec<Diagnostic>,
}

/// Reads the text of an alert file.
///
/// # Errors
/// All errors, each with line and column.
pub fn parse(text: &str) -> Result<Rulebook, AlertFileError> {
    let Reading { rulebook, errors } = parse_valid(text);
    if errors.is_empty() { Ok(rulebook) } else { Err(AlertFileError(errors)) }
}

/// Reads the text of an alert file one rule and one destination at a time: an error sets aside only its own.
pub fn parse_valid(text: &str) -> Reading {
    let mut diagnostics = Diagnostics::new(text);
    let mut readable = text.to_owned();
    let rulebook = loop {
        match ImDocument::parse(readable.as_str()) {
            Ok(document) => break read_document(&mut diagnostics, &document),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                diagnostics.error(at, format!("this is not TOML: {}", error.message().trim().replace('\n', "; ")));
                if !blank_table(&mut readable, at) {
                    break Rulebook::default();
                }
            }
        }
    };
    Reading { rulebook, errors: diagnostics.finish() }
}

/// Overwrites the table in which an error is with spaces, so that all else keeps its place. False: it is blank already.
fn blank_table(text: &mut String, at: usize) -> bool {
    let starts = text.match_indices('[').map(|(start, _)| start).filter(|start| is_first_of_line(text, *start));
    let starts: Vec<usize> = starts.collect();
    let from = starts.iter().copied().rfind(|start| *start <= at).unwrap_or(0);
    let to = starts.iter().copied().find(|start| *start > at).unwrap_or(text.len());
    let blank: String = text[from..to].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    let changed = blank != text[from..to];
    text.replace_range(from..to, &blank);
    changed
}

fn is_first_of_line(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|byte| *byte != b'\n').all(|byte| byte == b' ' || byte == b'\t')
}

fn read_document(diagnostics: &mut Diagnostics<'_>, document: &ImDocument<&str>) -> Rulebook {
    let mut root = TableReader::new(document.as_table(), 0);
    let groups = groups(diagnostics, &mut root);
    let mut rulebook = Rulebook::default();
    let mut named = Vec::new();
    for mut table in root.tables(diagnostics, "destination") {
        let (at, errors) = (table.at, diagnostics.count());
        named.extend(table.peek("name"));
        let Some(destination) = destination::read(diagnostics, &mut table) else { continue };
        if destination.name == AMQP || rulebook.destination(&destination.name).is_some() {
            diagnostics.error(at, format!("the destination name `{}` is in use already", destination.name));
        }
        if diagnostics.count() == errors {
            rulebook.destinations.push(destination);
        }
    }
    let mut rules: Vec<ReadRule> = Vec::new();
    for mut table in root.tables(diagnostics, "rule") {
        let (at, errors) = (table.at, diagnostics.count());
        let Some(rule) = rule::read(diagnostics, &mut table, &groups) else { continue };
        if rules.iter().any(|earlier| earlier.rule.name == rule.name) {
            diagnostics.error(at, format!("there are two rules named `{}`", rule.name));
        }
        rules.push(ReadRule { at, valid: diagnostics.count() == errors, rule });
    }
    root.finish(diagnostics);
    check_destinations(diagnostics, &mut rules, &rulebook, &named);
    rulebook.rules = rules.into_iter().filter(|read| read.valid).map(|read| read.rule).collect();
    rulebook
}

/// A rule, where it begins, and whether it has no error.
struct ReadRule {
    at: usize,
    rule: Rule,
    valid: bool,
}

/// A rule that notifies what the file has no destination for has an error. One that notifies a destination with an error
/// (`named` has it) loses only that: its alerts are recorded, and sent elsewhere.
fn check_destinations(
    diagnostics: &mut Diagnostics<'_>,
    rules: &mut [ReadRule],
    rulebook: &Rulebook,
    named: &[String],
) {
    let is_there = |name: &String| rulebook.destination(name).is_some();
    for ReadRule { at, rule, valid } in rules {
        for name in rule.notify.iter().flatten().filter(|name| !is_there(name) && !named.contains(name)) {
            diagnostics
                .error(*at, format!("rule `{}` notifies `{name}`, which is not a destination of this file", rule.name));
            *valid = false;
        }
        if let Some(notify) = &mut rule.notify {
            notify.retain(is_there);
        }
    }
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
        let errors = diagnostics.count();
        let emotions = condition::emotions(diagnostics, &mut table, &name);
        // A rule of a group with an error would fire on something else than what is meant.
        if diagnostics.count() == errors {
            groups.insert(name, emotions);
        } else {
            groups.remove(&name);
        }
    }
    groups
}
