#!/usr/bin/env bash
# Sets up what the tests need and runs them all: formatting, lints, the model's contract, the exporter's tests, then the
# Rust tests on real services. Ends with the test runner's own summary. What ran before keeps running; what this started is stopped.
#
#   ./test.sh                  everything
#   ./test.sh NAME...          only Rust tests whose names contain NAME, without the checks before them
set -euo pipefail
stack="$(dirname "${BASH_SOURCE[0]}")/stack"
. "$stack/place.sh"
. "$stack/messages.sh"
. "$stack/ports.sh"
. "$stack/secrets.sh"
. "$stack/packages.sh"
. "$stack/wheels.sh"
. "$stack/compose.sh"
. "$stack/environment.sh"
. "$stack/rust.sh"
. "$stack/test_tools.sh"
cd "$ROOT"

started="$(mktemp)"

# On every way out, quietly: the runner's summary is to be the last thing on the screen.
# shellcheck disable=SC2317 # reached by the trap
stop_what_we_started() {
  local name
  while read -r name; do
    case "$name" in
      rabbitmq | postgres | s3) "$stack/$name.sh" stop ;;
      minio) "$stack/s3.sh" stop ;;
    esac
  done <"$started" >>"$STACK/log/test-stop.log" 2>&1
  rm -f "$started"
}

# A test that can't run here is said out loud on a person's machine, and is a failure where nobody reads along.
missing_tool() {
  [[ -z "${CI:-}" ]] || die "$1 is missing."
  note "NOT CHECKED: $1 is missing"
}

check_source() {
  say "formatting"
  if cargo fmt --version >/dev/null 2>&1; then
    cargo fmt --all --check || die "run 'cargo fmt --all'."
  else
    missing_tool rustfmt
  fi
  say "lints"
  if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy "${LOCKED[@]}" --quiet --workspace --all-targets -- -D warnings || die "clippy objects: see above."
  else
    missing_tool clippy
  fi
}

check_model() {
  need_python_packages
  say "the default model's contract"
  PYTHONPATH="$PYTHON_FOLDER" python3 -m pytest -q -p no:cacheprovider models/default/tests || die "the model breaks its contract."
}

# The exporter is proven against FunASR itself, on narrow networks: no download of weights.
check_exporter() {
  need_python_venv
  say "the emotion2vec+ exporter, against FunASR"
  EMOFLEET_EXPORT_VENV="${EMOFLEET_EXPORT_VENV:-$STACK/exporter}" models/emotion2vec/test.sh || die "the exporter's tests fail."
}

need_rust
need_test_programs
LOCKED=()
if [[ -n "${CI:-}" ]]; then
  LOCKED=(--locked)
  export CARGO_INCREMENTAL=0 # nobody builds here again: save the gigabytes
fi
trap stop_what_we_started EXIT

# What fails within seconds comes first; the services start while nothing else needs the cores.
if [[ $# -eq 0 ]]; then check_source; fi
EMOFLEET_STARTED_LIST="$started" "$stack/up.sh" # not exported: a service that a test restarts was not started by us
load_environment
if [[ $# -eq 0 ]]; then
  check_model
  check_exporter
fi

say "building the tests, then running them on: $EMOFLEET_STACK_KINDS"
status=0
if cargo nextest --version >/dev/null 2>&1; then
  if [[ $# -eq 0 ]]; then cargo test "${LOCKED[@]}" --quiet --workspace --doc || die "an example in the documentation fails."; fi
  cargo nextest run "${LOCKED[@]}" --workspace --no-fail-fast "$@" || status=$?
else
  cargo test "${LOCKED[@]}" --workspace --no-fail-fast "$@" || status=$?
fi
exit "$status"
