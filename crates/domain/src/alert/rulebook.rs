//! All rules and destinations of one alert file.

use super::{Destination, Finding, Rule, Subject};

/// The rules and the destinations, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rulebook {
    /// The rules.
    pub rules: Vec<Rule>,
    /// The webhooks.
    pub destinations: Vec<Destination>,
}

impl Rulebook {
    /// The rules that hold for a call.
    pub fn evaluate<'a>(&'a self, subject: Subject<'_>) -> Vec<(&'a Rule, Finding)> {
        self.rules.iter().filter_map(|rule| Some((rule, rule.evaluate(subject)?))).collect()
    }

    /// The rule with this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// The destination with this name.
    pub fn destination(&self, name: &str) -> Option<&Destination> {
        self.destinations.iter().find(|destination| destination.name == name)
    }
}
