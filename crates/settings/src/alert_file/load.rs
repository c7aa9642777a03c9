//! Loads the alert file that the settings name.

use domain::alert::{OperatingPoints, Rulebook};
use serde::Deserialize;
use std::path::{Path, PathBuf};

use super::{Diagnostic, Reading, parse, parse_valid};
use crate::ConfigError;

/// The built-in file. It has examples of most kinds of condition, mostly as comments.
pub const DEFAULT: &str = include_str!("../../../../config/alerts.toml");

/// `[alerts]` of `config/default.toml`, where each key is explained.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented once, in config/default.toml")]
pub struct Alerts {
    pub rules: PathBuf,
}

/// Most bytes of an alert file.
const MAX_BYTES: u64 = 1 << 20;

impl Alerts {
    /// The rules and destinations of the file in `alerts.rules`, or the built-in ones. The latter do not follow a model yet:
    /// see [`Alerts::follow_model`].
    ///
    /// # Errors
    /// [`ConfigError`]; one line per error, as `FILE:LINE:COLUMN: message`.
    pub fn rulebook(&self) -> Result<Rulebook, ConfigError> {
        if self.rules.as_os_str().is_empty() {
            return parse_named("config/alerts.toml (built in)", DEFAULT);
        }
        read(&self.rules)
    }

    /// The rules and destinations that can be used, for a program that must go on without the others.
    ///
    /// # Errors
    /// [`ConfigError`], as [`Alerts::rulebook`], when the file can't be read, or has errors and no rule without one.
    pub fn usable(&self) -> Result<Usable, ConfigError> {
        if self.rules.as_os_str().is_empty() {
            return Ok(Usable { rulebook: self.rulebook()?, errors: Vec::new() });
        }
        let (name, text) = text_of(&self.rules)?;
        let Reading { rulebook, errors } = parse_valid(&text);
        if rulebook.rules.is_empty() && !errors.is_empty() {
            return Err(invalid(&name, &errors));
        }
        Ok(Usable { rulebook, errors: errors.iter().map(|error| format!("{name}:{error}")).collect() })
    }

    /// Sets the built-in rules to the thresholds that a model's card advises, and leaves those of a file as they are written.
    /// Returns the names of the rules that follow the model.
    pub fn follow_model(&self, rulebook: &mut Rulebook, advised: &OperatingPoints) -> Vec<String> {
        if self.rules.as_os_str().is_empty() { rulebook.follow(advised) } else { Vec::new() }
    }
}

/// What can be used of an alert file.
#[derive(Debug, Clone)]
pub struct Usable {
    /// Its rules and destinations without errors.
    pub rulebook: Rulebook,
    /// What is wrong with the others, which are set aside: `FILE:LINE:COLUMN: message`.
    pub errors: Vec<String>,
}

/// The rules and destinations of a file.
///
/// # Errors
/// As [`Alerts::rulebook`].
pub fn read(path: &Path) -> Result<Rulebook, ConfigError> {
    let (name, text) = text_of(path)?;
    parse_named(&name, &text)
}

/// The file's name and its text.
fn text_of(path: &Path) -> Result<(String, String), ConfigError> {
    let name = path.display().to_string();
    let unreadable = |why: String| ConfigError::AlertFile(format!("{name}: {why}"));
    let size = std::fs::metadata(path).map_err(|e| unreadable(format!("can't be read: {e}")))?.len();
    if size > MAX_BYTES {
        return Err(unreadable(format!("has {size} bytes; an alert file has at most {MAX_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(format!("can't be read: {e}")))?;
    Ok((name, text))
}

fn parse_named(name: &str, text: &str) -> Result<Rulebook, ConfigError> {
    parse(text).map_err(|error| invalid(name, &error.0))
}

fn invalid(name: &str, errors: &[Diagnostic]) -> ConfigError {
    let lines: Vec<_> = errors.iter().map(|diagnostic| format!("{name}:{diagnostic}")).collect();
    ConfigError::AlertFile(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use crate::Settings;
    use domain::Emotion;
    use domain::alert::{Condition, OperatingPoint, OperatingPoints, PatternThreshold, Rulebook};

    #[test]
    fn the_built_in_rules_are_used_unless_a_file_is_named() {
        let mut alerts = Settings::from_toml("").expect("defaults").alerts;
        assert_eq!(alerts.rulebook().expect("valid").rules.len(), 1);
        alerts.rules = "/nowhere/alerts.toml".into();
        let error = alerts.rulebook().expect_err("no such file").to_string();
        assert!(error.contains("/nowhere/alerts.toml"), "{error}");
    }

    #[test]
    fn the_built_in_rule_follows_the_model_and_a_file_does_not() {
        let advised = OperatingPoints::from([(Emotion::Angry, OperatingPoint { threshold: 0.45, in_a_row: 3 })]);
        let mut alerts = Settings::from_toml("").expect("defaults").alerts;
        let built_in = alerts.rulebook().expect("valid");
        assert_eq!(
            angry(&built_in),
            (Some(0.6), PatternThreshold::InARow(2)),
            "as written, until a model says otherwise"
        );
        let mut unadvised = built_in.clone();
        assert!(alerts.follow_model(&mut unadvised, &OperatingPoints::new()).is_empty());
        assert_eq!(unadvised, built_in);
        let mut followed = built_in;
        assert_eq!(alerts.follow_model(&mut followed, &advised), ["customer-angry"]);
        assert_eq!(angry(&followed), (Some(0.45), PatternThreshold::InARow(3)));

        let folder = tempfile::tempdir().expect("a temporary folder");
        alerts.rules = folder.path().join("mine.toml");
        std::fs::write(&alerts.rules, super::DEFAULT).expect("written");
        let mut own = alerts.rulebook().expect("valid");
        assert!(alerts.follow_model(&mut own, &advised).is_empty());
        assert_eq!(angry(&own), (Some(0.6), PatternThreshold::InARow(2)), "the user's numbers");
    }

    /// Score and pattern of the only rule.
    fn angry(rulebook: &Rulebook) -> (Option<f64>, PatternThreshold) {
        match &rulebook.rules[0].when {
            Condition::Speech(speech) => (speech.min_score, speech.threshold),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "[[rule]]\nname = \"x\"\nwen = 1\n").expect("written");
        let mut alerts = Settings::from_toml("").expect("defaults").alerts;
        alerts.rules = path;
        let error = alerts.rulebook().expect_err("wrong").to_string();
        assert!(error.contains("mine.toml:3:1: unknown key `wen`") && error.contains("`when` is missing"), "{error}");
    }
}
