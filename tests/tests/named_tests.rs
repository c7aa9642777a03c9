//! A promise names the test that would fail: `docs/delivery.md` names none that isn't there.

use std::path::{Path, PathBuf};

/// Files with this ending below `folder`, without what cargo built.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable")) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                files(&path, ending, found);
            }
        } else if name.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_test_that_delivery_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/delivery.md")).expect("readable");
    let prose: String = page.split("```").step_by(2).collect();
    let mut sources = Vec::new();
    for room in ["crates", "worker", "producer", "dispatcher", "tests"] {
        files(&root.join(room), ".rs", &mut sources);
    }
    let code: Vec<String> = sources.iter().map(|path| std::fs::read_to_string(path).expect("readable")).collect();
    // Names of tests are sentences; no setting or column has as many words.
    let named: Vec<&str> = quoted(&prose)
        .filter(|word| word.matches('_').count() > 3)
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .collect();
    assert!(named.len() > 25, "{} tests are named", named.len());
    let absent = |name: &&str| !code.iter().any(|text| text.contains(&format!("fn {name}(")));
    let missing: Vec<&str> = named.into_iter().filter(absent).collect();
    assert!(missing.is_empty(), "docs/delivery.md names tests that don't exist: {missing:?}");
    let gone: Vec<&str> = quoted(&prose)
        .filter(|word| word.contains('/') && [".rs", ".sh"].iter().any(|end| word.ends_with(end)))
        .filter(|path| !root.join(path).is_file())
        .collect();
    assert!(gone.is_empty(), "docs/delivery.md names files that don't exist: {gone:?}");
}
