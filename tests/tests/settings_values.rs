//! Every setting, by file and by environment, with values that make no sense: each is refused by name, or works.

use adapters::amqp::{Publisher, Topology};
use adapters::postgres::Database;
use adapters::s3::Store;
use dispatcher::Dispatcher;
use settings::{DEFAULTS, Settings};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use tokio_util::sync::CancellationToken;
use worker::concurrency::Plan;

/// What the programs need to start at all, and what lets a console start beside others.
const BASE: [(&str, &str); 5] = [
    ("s3.access_key", "a"),
    ("s3.secret_key", "b"),
    // Without TLS, whose authorities take long to read.
    ("s3.endpoint", "http://127.0.0.1:1"),
    ("console.addr", "127.0.0.1:0"),
    ("console.login", "never"),
];

/// Values of TOML, of every type.
const VALUES: [&str; 27] = [
    "0",
    "1",
    "-1",
    "1024",
    "65536",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "-0.0",
    "1e-320",
    "1e308",
    "nan",
    "inf",
    "-inf",
    "true",
    "1979-05-27",
    "{ a = 1 }",
    "[]",
    "[[]]",
    "[4294967295]",
    "[1.5]",
    "[\"\"]",
    "[\"a\", 1]",
    "\"\"",
    "\" \"",
    "\"a\\u0000b\"",
    "\"\\u202e../..\"",
];

/// Values of variables.
const TEXTS: [&str; 22] = [
    "",
    "0",
    "-1",
    "65535",
    "65536",
    "9223372036854775807",
    "99999999999999999999999999999999999999999",
    "1e308",
    "NaN",
    "infinity",
    "1e5",
    "+5",
    " 7 ",
    "1,2,3",
    "[1,2",
    "[\"\"]",
    "true",
    "\t",
    "\u{7f}",
    "http://",
    "://",
    "amqp://[::1",
];

/// All keys, in the order of `config/default.toml`, with their defaults.
fn keys() -> Vec<(String, toml::Value)> {
    let defaults: toml::Table = DEFAULTS.parse().expect("valid");
    let section = |(section, keys): (String, toml::Value)| {
        let keys = keys.as_table().expect("a section").clone();
        keys.into_iter().map(move |(key, value)| (format!("{section}.{key}"), value)).collect::<Vec<_>>()
    };
    defaults.into_iter().flat_map(section).collect()
}

/// A file with these settings.
fn file(values: &[(&str, &str)]) -> String {
    let mut sections: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, value) in values {
        let (section, key) = key.split_once('.').expect("a section");
        sections.entry(section).or_default().push(format!("{key} = {value}\n"));
    }
    let sections = sections.into_iter().map(|(section, lines)| format!("[{section}]\n{}", lines.concat()));
    sections.collect::<Vec<_>>().concat()
}

/// Endless values: of one text, of one list, and of a nesting.
fn long() -> [String; 3] {
    ["x".repeat(20_000), format!("[{}1]", "1,".repeat(10_000)), "[".repeat(20_000)]
}

/// What each program builds of its settings before it connects to a service.
async fn build(settings: Settings) -> anyhow::Result<()> {
    let plan = Plan::of(&settings);
    anyhow::ensure!(plan.slots > 0 && plan.prefetch > 0 && plan.connections > 0, "a plan without slots");
    let mut of_worker = settings.postgres.clone();
    of_worker.max_connections = plan.connections;
    Database::lazy(&of_worker)?;
    Store::new(&settings.s3)?;
    let _ = (Publisher::new(&settings.amqp), Topology::new(&settings.amqp).dead());
    Dispatcher::open(&settings, |_| Some("https://hooks.example.org/x".into()))?;
    let stop = CancellationToken::new();
    let console = console::serve(settings, stop.clone()).await?;
    stop.cancel();
    console.ended().await
}

/// Refused by its name, or good enough for every program.
async fn refused_or_built(key: &str, value: &str, outcome: Result<Settings, settings::ConfigError>) -> bool {
    let shown: String = value.chars().take(60).collect();
    let last = key.rsplit('.').next().expect("a key");
    match outcome {
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(last), "{key} = {shown}: the message names another setting: {error}");
            assert!(error.len() < 2000, "{key} = {shown}: a message of {} bytes", error.len());
            false
        }
        Ok(settings) => {
            // Those that name a file, or take keys from elsewhere, are known to be wrong only when they are used.
            let names_itself = ["alerts.rules", "s3.access_key", "s3.secret_key"].contains(&key);
            if let Err(error) = Box::pin(build(settings)).await {
                assert!(names_itself, "{key} = {shown} is accepted, and then: {error:#}");
            }
            true
        }
    }
}

#[tokio::test]
async fn every_value_of_every_setting_is_refused_by_name_or_works() {
    let mut counts = [0_u32; 2];
    for (key, _) in keys() {
        let base: Vec<_> = BASE.into_iter().filter(|(name, _)| *name != key).collect();
        let quoted: Vec<_> = base.iter().map(|(name, value)| (*name, format!("{value:?}"))).collect();
        let [text, list, nesting] = long();
        let values = VALUES.iter().map(ToString::to_string).chain([format!("\"{text}\""), list.clone()]);
        for value in values {
            let all: Vec<_> =
                quoted.iter().map(|(name, v)| (*name, v.as_str())).chain([(key.as_str(), value.as_str())]).collect();
            let read = std::panic::catch_unwind(|| Settings::from_toml(&file(&all)));
            let read = read.unwrap_or_else(|_| panic!("{key} = {value} in a file panics"));
            counts[usize::from(refused_or_built(&key, &value, read).await)] += 1;
        }
        let variable = |key: &str| format!("EMOFLEET__{}", key.replace('.', "__").to_uppercase());
        for value in TEXTS.map(str::to_owned).into_iter().chain([text, list, nesting]) {
            let of_base = base.iter().map(|(name, value)| (variable(name).into(), (*value).into()));
            let all: Vec<_> = of_base.chain([(variable(&key).into(), value.clone().into())]).collect();
            let read = std::panic::catch_unwind(AssertUnwindSafe(|| Settings::load_from(all)));
            let read = read.unwrap_or_else(|_| panic!("{key} = {value} in the environment panics"));
            counts[usize::from(refused_or_built(&key, &value, read).await)] += 1;
        }
    }
    let [refused, built] = counts;
    println!("{refused} values refused, {built} built");
    assert!(refused > 1000 && built > 100, "{refused} refused, {built} built: the values are no test");
}

/// "must be 1 to 60 seconds" is "1 to 60" in the comment.
#[test]
fn every_number_has_a_range_with_its_unit_and_the_comments_say_it() {
    for (key, default) in keys() {
        let number = default.is_integer() || default.is_float();
        let numbers = default.as_array().is_some_and(|list| list.iter().any(toml::Value::is_integer));
        if !number && !numbers {
            continue;
        }
        for value in [i64::MAX.to_string(), "-1000".into(), "nan".into(), "inf".into()] {
            let value = if numbers { format!("[{value}]") } else { value };
            let error = Settings::from_toml(&file(&[(&key, &value)])).expect_err(&key).to_string();
            let (_, said) = error.split_once("must be ").unwrap_or_else(|| panic!("{key}: no range: {error}"));
            let mut words = said.split_whitespace();
            let (Some(from), Some("to"), Some(to), Some(_)) = (words.next(), words.next(), words.next(), words.next())
            else {
                panic!("{key}: no range with a unit: {error}");
            };
            let comment = comment_of(&key);
            assert!(
                comment.contains(&format!("{from} to {to}")),
                "{key}: {from} to {to} is not in its comment:\n{comment}"
            );
        }
    }
}

/// The comment above a key.
fn comment_of(key: &str) -> String {
    let (section, key) = key.split_once('.').expect("a section");
    let (_, text) = DEFAULTS.split_once(&format!("\n[{section}]\n")).expect("the section");
    let (above, _) = text.split_once(&format!("\n{key} = ")).expect("the key");
    let lines: Vec<_> = above.lines().rev().take_while(|line| line.starts_with('#')).collect();
    lines.into_iter().rev().map(|line| line.trim_start_matches('#')).collect()
}
