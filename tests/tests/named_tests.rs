//! The documentation names tests, files and pages: each of them exists.

use std::path::{Path, PathBuf};

use tests::repository::{files, files_with, inline_code, root};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("readable")
}

/// The path of a page, as messages show it.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

/// Every page of the repository: the documentation, and the pages beside the code.
fn pages() -> Vec<PathBuf> {
    files_with(&root(), &["md"])
}

#[test]
fn each_test_that_delivery_names_exists() {
    let root = root();
    let page = read(&root.join("docs/delivery.md"));
    let code: Vec<String> = files_with(&root, &["rs"]).iter().map(|path| read(path)).collect();
    // Names of tests are sentences; no setting or column has as many words, and metrics begin with the program's name.
    let named: Vec<&str> = inline_code(&page)
        .into_iter()
        .filter(|word| word.matches('_').count() > 3 && !word.starts_with("emofleet_"))
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .collect();
    assert!(named.len() > 25, "{} tests are named", named.len());
    let absent = |name: &&str| !code.iter().any(|text| text.contains(&format!("fn {name}(")));
    let missing: Vec<&str> = named.into_iter().filter(absent).collect();
    assert!(missing.is_empty(), "docs/delivery.md names tests that do not exist: {missing:?}");
}

/// A page may shorten a path from the left: `audio/decode.rs` for `crates/speech/src/audio/decode.rs`. A recipe names files that
/// the reader is to create; it marks their line with "(new)".
#[test]
fn each_source_file_that_a_page_names_exists() {
    let all = files(&root());
    let mut missing = Vec::new();
    for page in pages() {
        let text: String = read(&page)
            .lines()
            .filter(|line| !line.contains("(new)"))
            .fold(String::new(), |all, line| all + line + "\n");
        for word in inline_code(&text) {
            let source = [".rs", ".sh", ".py", ".sql"].iter().any(|end| word.ends_with(end));
            let path = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c));
            let exists = || all.iter().any(|file| file.ends_with(word.trim_start_matches(['.', '/'])));
            if source && path && word.contains('/') && !exists() {
                missing.push(format!("{}: {word}", shown(&page)));
            }
        }
    }
    assert!(missing.is_empty(), "pages name files that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn each_relative_link_of_a_page_leads_to_a_file() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = page.parent().expect("a page is in a folder");
        let text = read(&page);
        let prose: String = text.split("```").step_by(2).collect();
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains(':') && !folder.join(path).exists() {
                broken.push(format!("{}: {link}", shown(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "links lead to no file:\n{}", broken.join("\n"));
}
