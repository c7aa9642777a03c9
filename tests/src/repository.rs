//! The files of this repository, for tests that check its structure and its documentation.

use std::path::{Path, PathBuf};

/// The root of the checkout.
///
/// # Panics
/// Never: the tests are a folder of it.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository").to_owned()
}

/// Every source and text file below `folder`, without hidden folders, build output and the corpus of the fuzzers.
///
/// # Panics
/// When a folder cannot be read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy();
        if name.starts_with('.') || ["target", "outputs", "corpus", "__pycache__"].contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The files below `folder` whose extension is one of `extensions`.
pub fn files_with(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let wanted = |path: &PathBuf| path.extension().is_some_and(|end| extensions.iter().any(|wanted| end == *wanted));
    files(folder).into_iter().filter(wanted).collect()
}

/// The inline code of a Markdown page: what is between single backticks, outside of code blocks.
pub fn inline_code(page: &str) -> Vec<&str> {
    page.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}
