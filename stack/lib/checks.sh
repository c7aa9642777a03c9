# shellcheck shell=bash
# The checks of the source for test.sh, in the order of their cost: what fails within seconds comes first.

# not_checked WHAT WHY: a note on a developer's machine; a failure in CI, where the note would not be read.
not_checked() {
  [[ -z "${CI:-}" ]] || die "$1 was not checked: $2"
  note "NOT CHECKED: $1: $2"
}

# Spelling, shell and Python: about ten seconds, most of them shellcheck's.
check_scripts() {
  local -a shell python
  if ! (need_lint_tools); then
    not_checked "spelling, shell and Python" "the tools could not be fetched"
    return
  fi
  need_lint_tools
  mapfile -t shell < <(git ls-files '*.sh' .ci/run)
  python=(models stack tests/containers tests/scripts)
  say "spelling, shell, Python"
  typos || die "typos found misspelt words: correct them, or add a word that is right to typos.toml."
  shfmt --diff "${shell[@]}" || die "run 'shfmt -w $(printf '%s ' "${shell[@]}")'."
  shellcheck "${shell[@]}" || die "shellcheck reports problems: see above."
  ruff check --quiet "${python[@]}" || die "ruff reports problems: see above; 'ruff check --fix' corrects some."
  ruff format --quiet --diff "${python[@]}" || die "run 'ruff format ${python[*]}'."
}

# Formatting, dependencies, lints and documentation of the Rust code.
check_rust() {
  say "Rust: formatting"
  if cargo fmt --version >/dev/null 2>&1; then
    cargo fmt --all --check || die "run 'cargo fmt --all'."
  else
    not_checked "formatting" "rustfmt is missing"
  fi
  check_dependencies
  say "Rust: lints"
  if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy "${LOCKED[@]}" --quiet --workspace --all-targets -- -D warnings || die "clippy reports problems: see above."
  else
    not_checked "lints" "clippy is missing"
  fi
  say "Rust: documentation"
  RUSTDOCFLAGS="-D warnings" cargo doc "${LOCKED[@]}" --quiet --workspace --no-deps || die "rustdoc reports problems: see above."
}

# cargo-deny has no prebuilt package, and building it takes minutes: it runs where it is installed. What must hold everywhere
# (allowed licences, banned crates, the registry) is read from deny.toml by tests/tests/architecture.rs as well.
check_dependencies() {
  if ! cargo deny --version >/dev/null 2>&1; then
    note "NOT CHECKED: security advisories of the dependencies: cargo-deny is missing ('cargo install --locked cargo-deny')"
    return
  fi
  say "dependencies: licences, bans, sources"
  cargo deny --log-level error check --hide-inclusion-graph bans licenses sources || die "cargo deny reports problems: see above."
  if timeout 120 cargo deny --log-level error fetch db >"$STACK/log/advisories.log" 2>&1; then
    say "dependencies: security advisories"
    cargo deny --log-level error check --hide-inclusion-graph advisories || die "a dependency has a security advisory: see above."
  else
    note "NOT CHECKED: security advisories of the dependencies: their database could not be fetched"
  fi
}
