//! The rules of the workspace that no compiler checks: which crate depends on which, what may become part of the binaries,
//! and how long a file may be.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::repository::{files_with, root};

/// domain <- {adapters, speech} <- settings <- programs. The tests may use everything.
const ARROWS: [(&str, &[&str]); 8] = [
    ("emofleet-domain", &[]),
    ("emofleet-adapters", &["emofleet-domain"]),
    ("emofleet-speech", &["emofleet-domain"]),
    ("emofleet-settings", &["emofleet-domain", "emofleet-adapters", "emofleet-speech"]),
    ("emofleet-worker", &["emofleet-domain", "emofleet-adapters", "emofleet-speech", "emofleet-settings"]),
    ("emofleet-producer", &["emofleet-domain", "emofleet-adapters", "emofleet-settings"]),
    ("emofleet-dispatcher", &["emofleet-domain", "emofleet-adapters", "emofleet-settings"]),
    ("emofleet-console", &["emofleet-domain", "emofleet-adapters", "emofleet-speech", "emofleet-settings"]),
];

/// Libraries that stay behind one crate, so that another one can take their place.
const BEHIND: [(&str, &str); 8] = [
    ("lapin", "emofleet-adapters"),
    ("sqlx", "emofleet-adapters"),
    ("aws-sdk-s3", "emofleet-adapters"),
    ("symphonia", "emofleet-speech"),
    ("flac-codec", "emofleet-speech"),
    ("rubato", "emofleet-speech"),
    ("ort", "emofleet-speech"),
    ("figment", "emofleet-settings"),
];

const MOST_LINES: usize = 500;

fn metadata(arguments: &[&str]) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline"])
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().expect("cargo's metadata has this list")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// What `package` needs at run time or build time: tests may reach further than the code that they test.
fn dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    list(package, "dependencies").iter().filter(|dependency| dependency["kind"] != "dev")
}

#[test]
fn arrows_between_crates_point_inward() {
    let workspace = metadata(&["--no-deps"]);
    for package in list(&workspace, "packages") {
        let name = text(package, "name");
        if name == "emofleet-tests" {
            continue;
        }
        let allowed = ARROWS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("{name} is a new crate: say in ARROWS what it may depend on"));
        for dependency in dependencies(package).filter(|dependency| dependency["path"].is_string()) {
            let other = text(dependency, "name");
            assert!(allowed.contains(&other), "{name} must not depend on {other}");
        }
    }
}

#[test]
fn libraries_of_brokers_stores_databases_and_models_stay_behind_one_crate() {
    let workspace = metadata(&["--no-deps"]);
    for package in list(&workspace, "packages") {
        let name = text(package, "name");
        for dependency in dependencies(package).filter(|_| name != "emofleet-tests") {
            let library = text(dependency, "name");
            let behind = BEHIND.iter().find(|(known, _)| *known == library);
            assert!(behind.is_none_or(|(_, home)| *home == name), "{name} must not depend on {library}");
        }
    }
}

/// The check of cargo-machete: a dependency that no source file of its crate names is not used.
#[test]
fn each_dependency_is_used() {
    let graph = metadata(&[]);
    let members = list(&graph, "workspace_members");
    let mut unused = Vec::new();
    for package in list(&graph, "packages").iter().filter(|package| members.contains(&package["id"])) {
        let folder = Path::new(text(package, "manifest_path")).parent().expect("a manifest is in a folder").to_owned();
        let sources: Vec<String> =
            files_with(&folder, &["rs"]).iter().map(|path| std::fs::read_to_string(path).expect("readable")).collect();
        let node = list(&graph["resolve"], "nodes").iter().find(|node| node["id"] == package["id"]);
        for dependency in list(node.expect("the graph has every member"), "deps") {
            let name = text(dependency, "name");
            if !sources.iter().any(|source| names(source, name)) {
                unused.push(format!("{}: {name}", text(package, "name")));
            }
        }
    }
    assert!(unused.is_empty(), "remove these dependencies:\n{}", unused.join("\n"));
}

/// Whether the word `name` is in `source`.
fn names(source: &str, name: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    source
        .match_indices(name)
        .any(|(at, _)| !source[..at].ends_with(part_of_word) && !source[at + name.len()..].starts_with(part_of_word))
}

/// What cargo-deny checks of deny.toml, for machines that do not have it.
#[test]
fn dependencies_keep_to_the_licences_bans_and_sources_of_deny_toml() {
    let policy: toml::Table =
        std::fs::read_to_string(root().join("deny.toml")).expect("readable").parse().expect("deny.toml is TOML");
    let words = |section: &str, key: &str| -> BTreeSet<String> {
        let words = policy[section][key].as_array().expect("a list");
        words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let (allowed, banned) = (words("licenses", "allow"), words("bans", "deny"));
    let graph = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    for package in list(&graph, "packages") {
        let (name, source) = (text(package, "name"), text(package, "source"));
        if source.is_empty() {
            continue; // a crate of this workspace
        }
        assert!(source.starts_with("registry+"), "{name} comes from {source}: use a registry");
        assert!(!banned.contains(name), "{name} is banned: see deny.toml");
        let licence = text(package, "license");
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{name} has the licence {licence:?}: {error}"));
        assert!(expression.evaluate(|need| allowed.contains(&need.to_string())), "{name} has the licence {licence:?}");
    }
}

/// What decision 0017 asks of `adapters`. A function with type parameters is compiled where it is called in any case.
#[test]
fn async_functions_between_crates_are_boxed() {
    let (mut boxed, mut missing) = (0, Vec::new());
    for path in files_with(&root().join("crates/adapters/src"), &["rs"]) {
        let source = std::fs::read_to_string(&path).expect("readable");
        for (at, declaration) in source.match_indices("pub async fn ") {
            let signature = source[at + declaration.len()..].split('{').next().expect("the first part");
            let (name, parameters) = signature.split_at(signature.find(['(', '<']).expect("a function has parameters"));
            if parameters.starts_with('<') || parameters.contains("impl ") {
                continue;
            }
            if source[..at].trim_end().lines().next_back().is_some_and(|line| line.trim().starts_with("#[boxed")) {
                boxed += 1;
            } else {
                missing.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "put #[boxed] before these functions:\n{}", missing.join("\n"));
    assert!(boxed > 100, "{boxed} functions are boxed: are there others left to look at?");
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let root = root();
    let long: Vec<String> = files_with(&root, &["rs", "py", "sh"])
        .into_iter()
        .map(|path| (std::fs::read_to_string(&path).expect("readable").lines().count(), path))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .map(|(lines, path)| format!("{}: {lines}", path.strip_prefix(&root).expect("below the root").display()))
        .collect();
    assert!(long.is_empty(), "split these files:\n{}", long.join("\n"));
}
