#!/usr/bin/env bash
# The model that the workers run:  ./run.sh model list | use NAME [options]
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$STACK_SCRIPTS/lib/program.sh"

usage() {
  cat <<'TEXT'
./run.sh model list                     the models there are; * marks the one that workers run
./run.sh model use emotion2vec+large    the published model: downloads it, exports it to ONNX, checks it against FunASR, measures
                                        fp32 and int8 here, takes one, and switches the workers over (also +base, +seed)
./run.sh model use default              back to the small model of the repository
./run.sh model use FOLDER               a folder with model.onnx and model.json, such as an export from another machine

Options of `use`
  --from ms|hf|FOLDER      ModelScope, Hugging Face, or a folder into which the model's files were copied. Without it, whichever
                           hub answers, ModelScope first. A mirror is named by MODELSCOPE_ENDPOINT or HF_ENDPOINT
  --precision fp32|int8|bf16   instead of the one that the measurement takes. bf16 needs a processor with AVX512-BF16, here and
                           where workers run, and Cargo to measure it
  --int8-bits auto|7|8     bits of int8's weights. 8 is closer to fp32, but needs a processor with VNNI here and where workers run;
                           auto: the fastest form that runs here, which may need AVX512-VNNI and AVX512-BF16 where workers run
  --speech FOLDER          recordings to measure on, best of your own calls; without it the samples
  --now                    does not wait until the open jobs for the old model are done: they stay in its queue until a worker has it
  --timeout TIME           longest wait for them (2h); then nothing is changed

A download goes on where it was interrupted. Everything is kept in .stack/models; 5 GB more are taken by the Python packages
of the export (.stack/exporter). A folder is named with a slash (./large), so that it is not taken for a model's name.
TEXT
}

# folder_of NAME: where the repository of a published model is kept, like emotion2vec_plus_large.
folder_of() { printf '%s' "$MODELS/${1/+/_plus_}"; }

# row NAME FOLDER TEXT: one line of the list.
row() {
  local mark=' '
  [[ "$(model_dir)" != "$2" ]] || mark='*'
  printf '%s %-20s %s\n' "$mark" "$1" "$3"
}

list() {
  local name exported
  row default "$DEFAULT_MODEL" "part of the repository, for trying out"
  for name in "${MODEL_NAMES[@]}"; do
    exported="$(folder_of "$name")/exported"
    if [[ ! -f "$exported/choice.json" ]]; then
      row "$name" - "not here yet: ./run.sh model use $name"
    else
      row "$name" "$exported" "fp32, $(du -sLh "$exported/model.onnx" | cut -f1), $exported"
      row "$name" "$exported/int8" "int8, $(du -sLh "$exported/int8/model.onnx" | cut -f1), $exported/int8"
      if [[ -f "$exported/bf16/model.json" ]]; then
        row "$name" "$exported/bf16" "bf16, $(du -sLh "$exported/bf16/model.onnx" | cut -f1), $exported/bf16"
      fi
    fi
  done
  case "$(model_dir)" in
    "$DEFAULT_MODEL" | "$MODELS"/*) ;;
    *) row "$(chosen NAME)" "$(model_dir)" "$(model_dir)" ;;
  esac
}

# prepare NAME OPTIONS... : downloads, exports and measures a published model; prints its folder.
prepare() {
  need python3 python3
  need_python_venv
  mkdir -p "$MODELS" || die "$MODELS can't be made: change the permissions of $STACK, or name another folder with EMOFLEET_STACK_DIR."
  EMOFLEET_STACK_DIR="$STACK" "$ROOT/models/emotion2vec/use.sh" "$@" --models "$MODELS"
}

# workers: the numbers of those that run.
workers() {
  local record
  for record in "$STACK"/run/worker-*.pid; do
    [[ -e "$record" ]] || continue
    record="${record##*/worker-}" record="${record%.pid}"
    if running "worker-$record"; then printf '%s\n' "$record"; fi
  done
}

# shorter TIME OTHER: the shorter of two times like 90s, 30m or 2h; OTHER where TIME is written otherwise.
shorter() {
  if [[ "$1" =~ ^[0-9]{1,6}[smh]$ ]] && (($(seconds "$1") < $(seconds "$2"))); then echo "$1"; else echo "$2"; fi
}

seconds() {
  local number=$((10#${1%[smh]}))
  case "$1" in
    *h) echo $((number * 3600)) ;;
    *m) echo $((number * 60)) ;;
    *) echo "$number" ;;
  esac
}

# wait_for_jobs MODEL AT_MOST TIME: false when more are open after that time.
wait_for_jobs() { "$BUILT/producer" --no-wait-for-services wait --model "$1" --at-most "$2" --timeout "$3" >/dev/null; }

# For the jobs that are left once the console has stopped. Longer would not help where a watcher goes on making new ones, and
# the console is away meanwhile.
LAST_JOBS=2m

# Jobs carry the name of their model, and a worker does only those for its own. So the old workers do theirs first; the
# console, which makes new ones, stops for the last few.
finish_jobs() {
  local old="$1" time="$2" limit status=0 last=0
  trap 'give_up "interrupted; nothing was changed"' INT TERM
  say "waiting until the open jobs for $old are done"
  wait_for_jobs "$old" 20 "$time" || status=$?
  if ((status == 0)) && running console; then "$STACK_SCRIPTS/console.sh" stop; fi
  if ((status == 0)); then
    limit="$(shorter "$time" "$LAST_JOBS")"
    wait_for_jobs "$old" 0 "$limit" || last=$?
    case "$last:$limit" in
      0:*) ;;
      4:"$LAST_JOBS") give_up "jobs for $old are still open $LAST_JOBS after the console stopped: does something else make new ones? Stop those
        that do (\`./run.sh producer watch\`) and try again, or use --now. Nothing was changed" ;;
      *) status=$last ;;
    esac
  fi
  case "$status" in
    0) ;;
    4) give_up "jobs for $old are still open after $time. Try again later, with a longer --timeout, or with --now: then those
        jobs wait in their queue until a worker with $old runs again (\`producer status\` counts them). Nothing was changed" ;;
    *) give_up "the open jobs for $old could not be counted (producer's exit code $status): are the services running? Nothing was changed" ;;
  esac
  trap - INT TERM
}

# give_up SENTENCE: the console goes on as it was.
give_up() {
  if ((console)); then "$STACK_SCRIPTS/console.sh" start; fi
  die "$1."
}

# switch_to FOLDER: every running program of this stack. SIGTERM drains a worker: what it has is finished or requeued.
switch_to() {
  local number failed=0
  remember_model "$1"
  load_environment
  for number in $(workers); do
    "$STACK_SCRIPTS/worker.sh" start "$number" || failed=1
    ((failed == 0)) || return 1
  done
  if ((console)); then "$STACK_SCRIPTS/console.sh" start || return 1; fi
}

console=0 # whether it ran when we came

# use_folder FOLDER NOW TIME
use_folder() {
  local new="$1" now="$2" time="$3" old old_name name
  old="$(model_dir)" old_name="$(model_name "$(model_dir)")" name="$(model_name "$new")"
  [[ -n "$name" ]] || die "$new/model.json names no model: is it complete?"
  [[ "$name" =~ ^[[:alnum:]_.+-]+$ ]] ||
    die "$new/model.json names the model '$name': a name has letters, digits and _ . + - only. Change it there."
  if [[ ! -f "$ENV_FILE" ]]; then
    remember_model "$new"
    say "the next ./run.sh starts with $name"
    return
  fi
  load_environment
  [[ -x "$BUILT/worker" && -x "$BUILT/producer" ]] || die "the programs are not built yet: ./run.sh model use builds them."
  "$BUILT/worker" model check "$new" >&2 || die "the fleet can't run $new: see above. Nothing was changed."
  if running console; then console=1; fi
  if [[ "$name" != "$old_name" && "$now" == 0 && -n "$(workers)" ]]; then finish_jobs "$old_name" "$time" 8>&-; fi
  # 8 is the lock of this script; programs that keep running must not inherit it.
  if ! (switch_to "$new") 8>&-; then
    say "going back to $old_name"
    (switch_to "$old") 8>&- || die "neither model starts: see above. ./run.sh tries $old_name again."
    die "a worker did not start with $name (see above); $old_name is in use again."
  fi
  if [[ -n "$(workers)" ]]; then say "workers run $name, from $new"; else say "the next ./run.sh starts workers with $name, from $new"; fi
  note "restart what you started yourself (./run.sh producer watch). On other machines, producers and consoles need"
  note "EMOFLEET__MODEL__NAME=$name, and workers EMOFLEET__MODEL__DIR too"
}

use() {
  local name="${1:-}" folder now=0 time=2h
  local -a options=()
  [[ -n "$name" ]] || { usage >&2 && die "which model?"; }
  shift
  while (($#)); do
    case "$1" in
      --now) now=1 ;;
      --timeout | --from | --precision | --int8-bits | --speech)
        (($# > 1)) || die "$1 needs a value."
        if [[ "$1" == --timeout ]]; then time="$2"; else options+=("$1" "$2"); fi
        shift
        ;;
      *) die "'$1' is not an option of ./run.sh model use; ./run.sh model --help lists them." ;;
    esac
    shift
  done
  forget_own_model
  [[ -z "${EMOFLEET__MODEL__DIR:-}" ]] ||
    die "EMOFLEET__MODEL__DIR is set to $EMOFLEET__MODEL__DIR in this shell, and would win over the chosen model: unset it first."
  exec 8>"$STACK/model.lock"
  flock -n 8 || die "another ./run.sh model is at work."
  case "$name" in
    default) folder="$DEFAULT_MODEL" ;;
    emotion2vec+large | emotion2vec+base | emotion2vec+seed) folder="$(prepare "$name" "${options[@]}")" || exit 1 ;;
    */*)
      [[ -f "$name/model.json" && -f "$name/model.onnx" ]] || die "$name holds no model.onnx and model.json."
      folder="$(realpath "$name")"
      ;;
    *) die "there is no model '$name': default, ${MODEL_NAMES[*]}, or a folder with model.onnx and model.json (with a slash, like ./$name)." ;;
  esac
  [[ "$name" == emotion2vec+* || ${#options[@]} == 0 ]] || die "${options[0]} is for published models; $name is here already."
  use_folder "$folder" "$now" "$time"
}

case "${1:-}" in
  list) list ;;
  use)
    shift
    use "$@"
    ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    die "'./run.sh model ${1:-}' is not a command: list and use are."
    ;;
esac
