//! A rule that holds for a call, with everything that firing its alert needs.

use super::{Finding, Rule, Rulebook, Subject};

/// A rule that holds for a call.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleMatch<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Its evidence.
    pub finding: Finding,
    /// Names of the webhooks that get a message, in the order of the file.
    pub destinations: Vec<&'a str>,
}

impl Rulebook {
    /// The rules that hold for a call, each with its destinations.
    pub fn matches(&self, subject: Subject<'_>) -> Vec<RuleMatch<'_>> {
        let destinations = |rule| {
            let accepting = self.destinations.iter().filter(|destination| destination.accepts(rule));
            accepting.map(|destination| destination.name.as_str()).collect()
        };
        let matched = self.evaluate(subject).into_iter();
        matched.map(|(rule, finding)| RuleMatch { rule, finding, destinations: destinations(rule) }).collect()
    }
}
