#!/usr/bin/env bash
# Sets up what the tests need and runs everything: checks of the source, the model's contract, the exporter's tests, then the
# Rust tests on real services. The last output is the summary of the test runner. Services that ran before keep running; those
# that this script started are stopped.
#
#   ./test.sh                  everything
#   ./test.sh --checks         only the checks of the source: spelling, formatting, lints, documentation; no services
#   EMOFLEET_TEST_CONTAINERS=1 ./test.sh   everything, and fleets of containers (tests/containers.sh): half an hour more
#   ./test.sh NAME...          only Rust tests whose names contain NAME, without the checks
. "$(dirname "${BASH_SOURCE[0]}")/stack/lib.sh"
. "$STACK_SCRIPTS/lib/test_tools.sh"
. "$STACK_SCRIPTS/lib/checks.sh"
cd "$ROOT"
umask "$USERS_UMASK" # builds and tests are the user's; the stack's scripts set their own

started="$(mktemp)"

# Runs on every exit. Its output goes to a log, so that the summary of the test runner stays the last on the screen.
# shellcheck disable=SC2317,SC2329 # called by the trap
stop_what_we_started() {
  local name
  while read -r name; do
    case "$name" in
      rabbitmq | postgres | s3) "$STACK_SCRIPTS/$name.sh" stop ;;
    esac
  done <"$started" >>"$STACK/log/test-stop.log" 2>&1
  rm -f "$started"
}

# On copies of the scripts, without services.
check_stack() {
  need_python_packages
  say "the scripts"
  PYTHONPATH="$PYTHON_FOLDER" python3 -m pytest -q -p no:cacheprovider tests/scripts || die "the scripts do not do what they say: see above."
}

check_model() {
  need_python_packages
  say "the default model's contract"
  PYTHONPATH="$PYTHON_FOLDER" python3 -m pytest -q -p no:cacheprovider models/default/tests models/tests || die "the model breaks its contract."
  say "the voice activity network, against Silero's own"
  unpack_wheel silero_vad.onnx "$STACK/tools/silero_vad.onnx"
  EMOFLEET_SILERO="$STACK/tools/silero_vad.onnx" PYTHONPATH="$PYTHON_FOLDER" \
    python3 -m pytest -q -p no:cacheprovider models/vad/tests || die "the voice activity network differs from Silero's."
}

# The images and the compose file, without a Docker engine; with EMOFLEET_TEST_CONTAINERS set, two fleets of containers too.
check_containers() {
  say "images and compose file"
  PYTHONPATH="$PYTHON_FOLDER" python3 -m pytest -q -p no:cacheprovider tests/containers || die "the containers' files are wrong: see above."
  [[ -z "${EMOFLEET_TEST_CONTAINERS:-}" ]] || tests/containers.sh || die "the containers do not work: see above."
}

# From recordings to a model file, with few steps and random weights to begin with; in the exporter's environment, which has torch.
check_trainer() {
  say "training of the default model, from nothing to the file"
  EMOFLEET_SILERO="$STACK/tools/silero_vad.onnx" PYTHONDONTWRITEBYTECODE=1 \
    "${EMOFLEET_EXPORT_VENV:-$STACK/exporter}/bin/python" -m pytest -q -p no:cacheprovider models/default/training_tests ||
    die "train.sh does not get to a model: see above."
}

# Compares the exporter with FunASR itself, on narrow networks: no download of weights.
check_exporter() {
  need_python_venv
  say "the emotion2vec+ exporter, against FunASR"
  EMOFLEET_EXPORT_VENV="${EMOFLEET_EXPORT_VENV:-$STACK/exporter}" models/emotion2vec/test.sh || die "the exporter's tests fail."
}

need_rust
LOCKED=()
if [[ -n "${CI:-}" ]]; then
  LOCKED=(--locked)
  export CARGO_INCREMENTAL=0 # CI builds once: incremental data would only take gigabytes
fi
case "${1:-}" in
  "" | --checks)
    check_scripts
    check_rust
    [[ $# -eq 0 ]] || exit 0
    ;;
  -*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

need_test_programs
need_console_clients
need_browser
trap stop_what_we_started EXIT
EMOFLEET_STARTED_LIST="$started" "$STACK_SCRIPTS/up.sh" # not exported: a service that a test restarts must not be listed
load_environment
# Whatever model this stack runs: the tests know what the default model predicts.
export EMOFLEET__MODEL__DIR="$DEFAULT_MODEL"
unset EMOFLEET__MODEL__NAME
if [[ $# -eq 0 ]]; then
  check_stack
  check_model
  check_containers
  check_exporter
  check_trainer
fi

status=0 newer=0
if [[ $# -eq 0 ]]; then
  tests/rabbitmq4.sh "${LOCKED[@]}" || newer=$?
  ((newer == 0 || newer == 75)) || status=$newer
fi
say "building and running the tests on: $EMOFLEET_STACK_KINDS"
if cargo nextest --version >/dev/null 2>&1; then
  if [[ $# -eq 0 ]]; then cargo test "${LOCKED[@]}" --quiet --workspace --doc || die "an example in the documentation fails."; fi
  cargo nextest run "${LOCKED[@]}" --workspace --no-fail-fast "$@" || status=$?
else
  cargo test "${LOCKED[@]}" --workspace --no-fail-fast "$@" || status=$?
fi
if ((newer == 75)); then
  say "NOT TESTED on RabbitMQ 4: its packages could not be fetched; the reasons are above. Everything else was tested."
elif ((newer != 0)); then
  say "FAILED on RabbitMQ 4 (tests/rabbitmq4.sh): see above."
fi
exit "$status"
