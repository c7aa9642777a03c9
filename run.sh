#!/usr/bin/env bash
# Starts the fleet and prints its predictions for samples/. `./run.sh --help` lists the commands.
. "$(dirname "${BASH_SOURCE[0]}")/stack/lib.sh"
. "$STACK_SCRIPTS/lib/program.sh"

usage() {
  cat <<'TEXT'
./run.sh                     start services, build, create tables, start worker(s), dispatcher and console, score the
                             samples and print the predictions; everything keeps running
./run.sh stop                stop what was started (workers drain first); the data are kept in .stack/
./run.sh status              services, workers, dispatcher, console and the latest batch
./run.sh logs [NAME]         follow the logs: worker-1, dispatcher, console, rabbitmq, postgres, s3; without a name, all workers
./run.sh env                 export lines of every setting, for  eval "$(./run.sh env)"  (they contain passwords)
./run.sh model list          the models there are, and which one the workers run
./run.sh model use NAME      emotion2vec+large, emotion2vec+base or emotion2vec+seed: downloads, exports, checks and measures it,
                             then switches the workers over; `./run.sh model --help` has the options
./run.sh worker ARGS...      the worker program with these settings, e.g.  ./run.sh worker analyze call.wav
./run.sh producer ARGS...    the producer program, e.g.  ./run.sh producer enqueue ~/calls --wait
./run.sh dispatcher ARGS...  the dispatcher program, e.g.  ./run.sh dispatcher status
./run.sh console ARGS...     the console program, e.g.  ./run.sh console user add lin --role reviewer

Environment
  WORKERS=2                  number of workers (1)
  EMOFLEET__AMQP__URL, EMOFLEET__POSTGRES__URL, EMOFLEET__S3__ENDPOINT (with __BUCKET, __ACCESS_KEY, __SECRET_KEY):
                             your own services; those that are not named are started here
  EMOFLEET_SERVICES=KIND     native: private services under .stack/; compose: containers. Without it, what an earlier run
                             used; at the first run, containers when a Docker engine answers
  EMOFLEET_STACK_DIR=DIR     another folder than .stack/: a new or empty one, or an earlier stack's
TEXT
}

build() {
  need_rust
  say "building worker, producer, dispatcher and console (the first time takes minutes)"
  (umask "$USERS_UMASK" && cd "$ROOT" && cargo build --release --target-dir "${BUILT%/release}" \
    --bin worker --bin producer --bin dispatcher --bin console) || die "the build failed: see above."
}

start_workers() {
  local count="${WORKERS:-1}" record number
  [[ "$count" =~ ^[0-9]+$ ]] || die "WORKERS must be a number, not '$count'."
  for ((number = 1; number <= count; number++)); do "$STACK_SCRIPTS/worker.sh" start "$number"; done
  for record in "$STACK"/run/worker-*.pid; do
    [[ -e "$record" ]] || continue
    number="${record##*/worker-}" number="${number%.pid}"
    if ((number > count)); then "$STACK_SCRIPTS/worker.sh" stop "$number"; fi
  done
}

# All samples as one batch. Another run creates no new jobs for the same recordings.
run_samples() {
  local status=0
  "$ROOT/samples/prompts.sh" "$STACK/samples/prompts"
  say "scoring samples/"
  if [[ -d "$STACK/samples/prompts" ]]; then
    "$BUILT/producer" enqueue "$STACK/samples/prompts" --prefix prompts/ --batch samples
  fi
  "$BUILT/producer" enqueue "$ROOT/samples" --manifest "$ROOT/samples/manifest.csv" \
    --prefix samples/ --batch samples --wait --timeout 10m || status=$?
  "$BUILT/producer" results --batch samples
  # 3: a recording failed; the table shows which and why.
  ((status == 0 || status == 3)) || die "the samples could not be scored (producer's exit code $status): see ./run.sh logs."
}

start() {
  "$STACK_SCRIPTS/up.sh"
  build
  load_environment
  say "creating the tables"
  "$BUILT/producer" migrate
  start_workers
  "$STACK_SCRIPTS/dispatcher.sh" start
  "$STACK_SCRIPTS/console.sh" start
  run_samples
  cat <<TEXT

The fleet is running and keeps running. Next:
  ./run.sh producer enqueue ~/my-recordings --wait     score your own (a folder, a file, or s3://BUCKET/PREFIX)
  ./run.sh producer results                            print the table again; --format csv for a spreadsheet
  ./run.sh worker analyze FILE...                      score a file directly, without the queue
  eval "\$(./run.sh env)" && psql "\$EMOFLEET__POSTGRES__URL"    ask in SQL
  ./run.sh status | logs | stop

The console, for recordings in the browser and for programs: http://localhost:$(port console)
TEXT
}

# with_program NAME ARGS... : runs a program with the stack's settings, in the current folder.
with_program() {
  local name="$1"
  shift
  [[ -x "$BUILT/$name" ]] || build
  if [[ -f "$ENV_FILE" ]]; then
    load_environment
  else # no services yet: `worker analyze` needs none
    "$STACK_SCRIPTS/runtime.sh"
    export EMOFLEET__RUNTIME__ONNXRUNTIME="${EMOFLEET__RUNTIME__ONNXRUNTIME:-$RUNTIME/libonnxruntime.so}"
    eval "$(model_settings)"
  fi
  umask "$USERS_UMASK"
  exec "$BUILT/$name" "$@"
}

case "${1:-start}" in
  start | up) start ;;
  stop | down) "$STACK_SCRIPTS/down.sh" ;;
  status)
    healthy=0
    "$STACK_SCRIPTS/status.sh" || healthy=1
    if [[ -x "$BUILT/producer" && -f "$ENV_FILE" && "$healthy" == 0 ]]; then
      load_environment
      echo
      "$BUILT/producer" --no-wait-for-services status
    fi
    exit "$healthy"
    ;;
  logs)
    if [[ $# -gt 1 ]]; then
      for service in AMQP POSTGRES S3; do
        if [[ "${SCRIPT_OF[$service]}" == "$2" && "$(kind_of "$service")" == compose ]]; then
          compose logs --follow --tail 50 "$2"
          exit
        fi
      done
      [[ -e "$STACK/log/$2.log" ]] || die "there is no log of '$2'; there are: $(cd "$STACK/log" && printf '%s\n' *.log | sed 's/\.log$//' | xargs)."
      exec tail -n 50 -F "$STACK/log/$2.log"
    fi
    compgen -G "$STACK/log/worker-*.log" >/dev/null || die "no worker has run yet."
    exec tail -n 50 -F "$STACK"/log/worker-*.log
    ;;
  env)
    load_environment
    for name in $(compgen -e EMOFLEET | grep -v '^EMOFLEET_STARTED'); do printf 'export %s=%q\n' "$name" "${!name}"; done
    ;;
  model)
    shift
    if [[ "${1:-}" == use && -f "$ENV_FILE" ]]; then build; fi
    exec "$STACK_SCRIPTS/model.sh" "$@"
    ;;
  worker | producer | dispatcher | console) with_program "$@" ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    die "'$1' is not a command of run.sh."
    ;;
esac
