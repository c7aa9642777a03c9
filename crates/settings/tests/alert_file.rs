//! What an alert file may contain, and the errors for what it may not.

use domain::alert::{Grouping, Severity};
use std::time::Duration;

fn errors(text: &str) -> Vec<String> {
    settings::alert_file::parse(text).expect_err(text).0.iter().map(ToString::to_string).collect()
}

/// The built-in file with its examples: lines that are TOML without the `# ` are uncommented.
fn with_examples() -> String {
    let uncomment = |line: &str| {
        let body = line.strip_prefix("# ").unwrap_or(line);
        let toml = body.starts_with('[')
            || body.starts_with("  {")
            || body == "]"
            || body.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        if toml { body.to_owned() } else { line.to_owned() }
    };
    settings::alert_file::DEFAULT.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_default_is_one_rule_and_no_webhook() {
    let rulebook = settings::alert_file::parse(settings::alert_file::DEFAULT).expect("config/alerts.toml is valid");
    let [rule] = &rulebook.rules[..] else { panic!("one rule") };
    assert_eq!(
        (rule.name.as_str(), rule.severity, rule.group_by),
        ("customer-angry", Severity::Critical, Grouping::Customer)
    );
    assert_eq!(rule.cooldown, Duration::from_secs(3600));
    assert!(rulebook.destinations.is_empty());
}

#[test]
fn the_examples_of_the_default_are_valid_too() {
    let rulebook =
        settings::alert_file::parse(&with_examples()).unwrap_or_else(|error| panic!("{}\n{error}", with_examples()));
    let names: Vec<_> = rulebook.rules.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["customer-angry", "got-worse", "vip-angry", "left-in-distress"]);
    let services: Vec<_> = rulebook.destinations.iter().map(|d| d.service.as_str()).collect();
    assert_eq!(services, ["dingtalk", "webhook"]);
    assert_eq!(rulebook.destinations[0].rate_limit.per_minute, 18, "below DingTalk's twenty a minute");
}

#[test]
fn all_errors_are_reported_at_once_with_line_and_column() {
    let text = r#"
[[rule]]
name = "Angry!"
severity = "dire"
when = { role = "boss", emotion = "furious", scor = 0.5 }

[[rule]]
name = "ok"
cooldown = "soon"
notify = ["nobody"]
when = { emotion = "angry", share = 40, in_a_row = 0 }
"#;
    let errors = errors(text);
    let expected = [
        ("3:8: ", "lower-case"),
        ("4:12: ", "info, warning or critical"),
        ("5:17: ", "`boss` is no role"),
        ("5:35: ", "`furious` is no emotion"),
        ("5:46: ", "unknown key `scor`"),
        ("7:1: ", "`nobody`, which is not a destination"),
        ("9:12: ", "\"1h\""),
        ("11:37: ", "from 0 to 1"),
        ("11:52: ", "from 1 to 1000"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (place, what)) in errors.iter().zip(expected) {
        assert!(error.starts_with(place) && error.contains(what), "{error} should be {place}{what}");
    }
}

#[test]
fn columns_count_characters() {
    assert!(errors("[[rule]]\nname = \"r\"\nwhen = { team = \"七队\", emotion = \"怒\" }")[0].starts_with("3:33: "));
}

#[test]
fn toml_errors_have_a_place_too() {
    let errors = errors("[[rule]]\nname = \"a\"\nwhen = {\n");
    assert!(errors[0].starts_with("3:") || errors[0].starts_with("4:"), "{errors:?}");
    assert!(errors[0].contains("not TOML"), "{errors:?}");
}

#[test]
fn conditions_that_make_no_sense_are_refused() {
    for (when, what) in [
        ("{}", "empty condition"),
        (r#"{ role = "customer" }"#, "`role` alone"),
        ("{ silence = false }", "can only be true"),
        (r#"{ silence = "yes" }"#, "must be true or false"),
        (r#"{ score = 0.5 }"#, "needs an emotion"),
        (r#"{ emotion = "angry", group = "negative" }"#, "use one of `emotion`"),
        (r#"{ emotion = "angry", share = 0.5, in_a_row = 2 }"#, "use one of `in_a_row`"),
        (r#"{ emotion = "angry", shift = 0.5, third = "last" }"#, "remove `third`"),
        (r#"{ emotion = "angry", third = "middle" }"#, "first"),
        (r#"{ group = "bad" }"#, "no group"),
        (r#"{ all = [] }"#, "at least one condition"),
        (r#"{ any = [{ }] }"#, "empty condition"),
        (r#"{ all = { emotion = "angry" } }"#, "list of tables"),
        (r#"{ not = [{ emotion = "angry" }] }"#, "must be a table"),
        (r#"{ team = 7 }"#, "string in quotes"),
        (r#"{ team = [] }"#, "at least one value"),
        (r#"{ emotions = ["angry", "angry"] }"#, "twice"),
        (r#"{ min_speech = 20 }"#, "a time in quotes"),
        (r#""angry""#, "must be a table"),
    ] {
        let errors = errors(&format!("[[rule]]\nname = \"r\"\nwhen = {when}"));
        assert!(errors.iter().any(|f| f.starts_with("3:") && f.contains(what)), "{when}: {errors:?}");
    }
}

#[test]
fn conditions_nested_too_deep_are_refused() {
    let when = "{ not = ".repeat(40) + "{ team = \"7\" }" + &" }".repeat(40);
    let errors = errors(&format!("[[rule]]\nname = \"r\"\nwhen = {when}"));
    assert!(errors[0].contains("nested deeper"), "{errors:?}");
}

#[test]
fn names_are_unique() {
    let rule = "[[rule]]\nname = \"r\"\nwhen = { team = \"7\" }\n";
    assert!(errors(&rule.repeat(2))[0].contains("two rules named `r`"));
    let destination = "[[destination]]\nname = \"d\"\nservice = \"slack\"\nurl_env = \"D_URL\"\n";
    assert!(errors(&destination.repeat(2))[0].contains("`d` is in use"));
    assert!(errors(&destination.replace("\"d\"", "\"amqp\""))[0].contains("`amqp` is in use"));
}

#[test]
fn urls_and_secrets_are_not_part_of_the_file() {
    let head = "[[destination]]\nname = \"d\"\n";
    for (rest, what) in [
        ("service = \"slack\"\nurl = \"https://hooks.slack.com/x\"", "environment variable"),
        ("service = \"slack\"\nurl_env = \"https://hooks.slack.com/x\"", "name of an environment variable"),
        ("service = \"dingtalk\"\nurl_env = \"U\"\nsecret = \"hunter2\"", "`secret_env`"),
        ("service = \"webhook\"\nurl_env = \"U\"", "`secret_env` is missing"),
        ("service = \"wecom\"\nurl_env = \"U\"\nsecret_env = \"S\"", "checks no signature"),
        ("service = \"teams\"\nurl_env = \"U\"", "webhook, slack, dingtalk"),
        ("service = \"slack\"\nurl_env = \"U\"\nper_minute = 0", "from 1 to 6000"),
    ] {
        let errors = errors(&format!("{head}{rest}"));
        assert!(errors.iter().any(|f| f.contains(what)), "{rest}: {errors:?}");
        assert!(!errors.iter().any(|f| f.contains("hunter2") || f.contains("hooks.slack")), "{errors:?}");
    }
}

const RULE: &str = "[[rule]]\nname = \"NAME\"\nwhen = { team = \"7\" }\n";

fn rule(name: &str) -> String {
    RULE.replace("NAME", name)
}

#[test]
fn an_error_sets_aside_only_its_own_rule_or_destination() {
    let good = format!("{}{}", rule("a"), rule("z"));
    let destination = "[[destination]]\nname = \"chat\"\nservice = \"wecom\"\nurl_env = \"U\"\n";
    for (bad, others) in [
        // A wrong value, a wrong key, a name that is in use, a destination and a group that are not there
        ("[[rule]]\nname = \"b\"\nseverity = \"dire\"\nwhen = { team = \"7\" }\n", vec!["a", "z"]),
        ("[[rule]]\nname = \"b\"\nwen = 1\n", vec!["a", "z"]),
        (&rule("a"), vec!["a", "z"]),
        ("[[rule]]\nname = \"b\"\nnotify = [\"nobody\"]\nwhen = { team = \"7\" }\n", vec!["a", "z"]),
        ("[[rule]]\nname = \"b\"\nwhen = { role = \"customer\", emotion = \"upset\", share = 0.4 }\n", vec!["a", "z"]),
        ("[groups]\nupset = [\"angry\", \"furious\"]\n", vec!["a", "z"]),
        ("[[destination]]\nname = \"pigeons\"\nservice = \"pigeon\"\nurl_env = \"U\"\n", vec!["a", "z"]),
        // What is not even TOML
        ("[[rule]]\nname = \"b\nwhen = { team = \"7\" }\n", vec!["a", "z"]),
        ("[[rule]]\nname = \"b\"\nname = \"c\"\nwhen = { team = \"7\" }\n", vec!["a", "z"]),
        ("[[rule]\nname = \"b\"\nwhen = { team = \"7\" }\n", vec!["a", "z"]),
        ("[[rule]]\nname = \"b\"\nwhen = { team = \n", vec!["a", "z"]),
        ("[[rule]]\nname = \"\u{1f600}\nwhen = 1\n", vec!["a", "z"]),
    ] {
        // Before, between and behind the good ones
        for text in [
            format!("{bad}{destination}{good}"),
            format!("{destination}{}{bad}{}", rule("a"), rule("z")),
            format!("{destination}{good}{bad}"),
        ] {
            let reading = settings::alert_file::parse_valid(&text);
            let names: Vec<_> = reading.rulebook.rules.iter().map(|rule| rule.name.as_str()).collect();
            assert_eq!(names, others, "{text}\n{:?}", reading.errors);
            assert_eq!(reading.rulebook.destinations.len(), 1, "{text}");
            assert!(!reading.errors.is_empty() && settings::alert_file::parse(&text).is_err(), "{text}");
        }
    }
}

#[test]
fn a_rule_keeps_its_alerts_when_its_destination_is_set_aside() {
    let text = "[[destination]]\nname = \"chat\"\nservice = \"pigeon\"\nurl_env = \"U\"\n
        [[rule]]\nname = \"b\"\nnotify = [\"chat\"]\nwhen = { team = \"7\" }\n";
    let reading = settings::alert_file::parse_valid(text);
    assert_eq!(reading.rulebook.rules[0].notify, Some(Vec::new()));
    assert_eq!(reading.errors.len(), 1, "{:?}", reading.errors);
}

#[test]
fn a_file_with_errors_and_no_rule_to_use_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.toml");
    let mut alerts = settings::Settings::from_toml("").expect("defaults").alerts;
    alerts.rules.clone_from(&path);
    std::fs::write(&path, "[[rule]]\nwen = 1\n").expect("written");
    assert!(alerts.usable().expect_err("no rule").to_string().contains("mine.toml:2:1"));
    std::fs::write(&path, format!("[[rule]]\nwen = 1\n{}", rule("a"))).expect("written");
    let usable = alerts.usable().expect("one rule");
    assert!(
        usable.rulebook.rules.len() == 1 && usable.errors.iter().any(|e| e.contains("mine.toml:2:1")),
        "{:?}",
        usable.errors
    );
}

#[test]
fn a_condition_without_any_part_is_an_error_and_no_missing_rule() {
    for when in ["{ attributes = {} }", "{ not = { attributes = {} } }", "{ any = [{ attributes = {} }] }"] {
        let errors = errors(&format!("[[rule]]\nname = \"x\"\nwhen = {when}\n"));
        assert!(errors.iter().any(|error| error.contains("no condition is in here")), "{when}: {errors:?}");
    }
}
