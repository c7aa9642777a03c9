#!/usr/bin/env bash
# Brings the fleet up and shows what it hears in samples/. `./run.sh --help` tells the rest.
set -euo pipefail
stack="$(dirname "${BASH_SOURCE[0]}")/stack"
. "$stack/place.sh"
. "$stack/messages.sh"
. "$stack/ports.sh"
. "$stack/secrets.sh"
. "$stack/packages.sh"
. "$stack/compose.sh"
. "$stack/environment.sh"
. "$stack/rust.sh"

usage() {
  cat <<'TEXT'
./run.sh                  services, build, tables, worker(s), dispatcher, the samples; prints the predictions and stays up
./run.sh stop             end what was started (workers drain first); data stay in .stack/
./run.sh status           services, workers, dispatcher and the latest batch
./run.sh logs [NAME]      follow the logs: worker-1, dispatcher, rabbitmq, postgres, s3; without a name, all workers'
./run.sh env              export lines of every setting, for  eval "$(./run.sh env)"  (they hold passwords)
./run.sh worker ARGS...   the worker program with these settings, e.g.  ./run.sh worker analyze call.wav
./run.sh producer ARGS... the producer program, e.g.  ./run.sh producer enqueue ~/calls --wait
./run.sh dispatcher ARGS... the dispatcher program, e.g.  ./run.sh dispatcher status

Environment
  WORKERS=2               how many workers to run (1)
  EMOFLEET__AMQP__URL, EMOFLEET__POSTGRES__URL, EMOFLEET__S3__ENDPOINT (with __BUCKET, __ACCESS_KEY, __SECRET_KEY):
                          services of your own, each for itself; the others are brought up here
  EMOFLEET_SERVICES=native  private services under .stack/ even where Docker is
  EMOFLEET_STACK_DIR=DIR  somewhere else than .stack/
TEXT
}

target="${CARGO_TARGET_DIR:-$ROOT/target}/release"

build() {
  need_rust
  say "building worker, producer and dispatcher (the first time takes minutes)"
  (cd "$ROOT" && cargo build --release --bin worker --bin producer --bin dispatcher) || die "the build failed: see above."
}

start_workers() {
  local count="${WORKERS:-1}" record number
  [[ "$count" =~ ^[0-9]+$ ]] || die "WORKERS must be a number, not '$count'."
  for ((number = 1; number <= count; number++)); do "$stack/worker.sh" start "$number"; done
  for record in "$STACK"/run/worker-*.pid; do
    [[ -e "$record" ]] || continue
    number="${record##*/worker-}" number="${number%.pid}"
    if ((number > count)); then "$stack/worker.sh" stop "$number"; fi
  done
}

# One batch of everything there is to try; the same recordings again are no new jobs.
run_samples() {
  local status=0
  "$ROOT/samples/prompts.sh" "$STACK/samples/prompts"
  say "putting samples/ through the fleet"
  if [[ -d "$STACK/samples/prompts" ]]; then
    "$target/producer" enqueue "$STACK/samples/prompts" --prefix prompts/ --batch samples
  fi
  "$target/producer" enqueue "$ROOT/samples" --manifest "$ROOT/samples/manifest.csv" \
    --prefix samples/ --batch samples --wait --timeout 10m || status=$?
  "$target/producer" results --batch samples
  # 3: a recording failed; the table says which and why.
  ((status == 0 || status == 3)) || die "the samples did not get through (producer's exit code $status); ./run.sh logs tells more."
}

start() {
  "$stack/up.sh"
  build
  load_environment
  say "making the tables"
  "$target/producer" migrate
  start_workers
  "$stack/dispatcher.sh" start
  run_samples
  cat <<TEXT

The fleet is up and stays up. Next:
  ./run.sh producer enqueue ~/my-recordings --wait     score your own (a folder, a file, or s3://BUCKET/PREFIX)
  ./run.sh producer results                            the table again; --format csv for a spreadsheet
  ./run.sh worker analyze FILE...                      hear a file here and now, without the queue
  eval "\$(./run.sh env)" && psql "\$EMOFLEET__POSTGRES__URL"    ask in SQL
  ./run.sh status | logs | stop
TEXT
}

# with_program NAME ARGS... : as a person at the prompt would run it, in the folder they are in.
with_program() {
  local name="$1"
  shift
  [[ -x "$target/$name" ]] || build
  if [[ -f "$ENV_FILE" ]]; then
    load_environment
  else # no services yet; `worker analyze` needs none
    "$stack/runtime.sh"
    export EMOFLEET__RUNTIME__ONNXRUNTIME="${EMOFLEET__RUNTIME__ONNXRUNTIME:-$RUNTIME/libonnxruntime.so}"
    export EMOFLEET__RUNTIME__VAD="${EMOFLEET__RUNTIME__VAD:-$RUNTIME/silero_vad.onnx}"
    export EMOFLEET__MODEL__DIR="${EMOFLEET__MODEL__DIR:-$ROOT/models/default}"
  fi
  exec "$target/$name" "$@"
}

case "${1:-start}" in
  start | up) start ;;
  stop | down) "$stack/down.sh" ;;
  status)
    healthy=0
    "$stack/status.sh" || healthy=1
    if [[ -x "$target/producer" && -f "$ENV_FILE" && "$healthy" == 0 ]]; then
      load_environment
      echo
      "$target/producer" --no-wait-for-services status
    fi
    exit "$healthy"
    ;;
  logs)
    if [[ $# -gt 1 ]]; then exec tail -n 50 -F "$STACK/log/$2.log"; fi
    compgen -G "$STACK/log/worker-*.log" >/dev/null || die "no worker has run yet."
    exec tail -n 50 -F "$STACK"/log/worker-*.log
    ;;
  env)
    load_environment
    for name in $(compgen -e EMOFLEET | grep -v '^EMOFLEET_STARTED'); do printf 'export %s=%q\n' "$name" "${!name}"; done
    ;;
  worker | producer | dispatcher) with_program "$@" ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    die "'$1' is no command of run.sh."
    ;;
esac
