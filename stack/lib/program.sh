# shellcheck shell=bash
# A program of the fleet in the background, for worker.sh and dispatcher.sh.

# Where the programs are built: run.sh names this folder to Cargo, whose own configuration may name another. A relative one is
# below the checkout, in which Cargo runs.
# shellcheck disable=SC2034 # used by the scripts that source this file
BUILT="${CARGO_TARGET_DIR:-target}/release"
case "$BUILT" in /*) ;; *) BUILT="$ROOT/$BUILT" ;; esac

# drain_timeout_s: worker.drain_timeout_s of the environment, else of the file that EMOFLEET_CONFIG names, else the default (45).
drain_timeout_s() {
  local value="${EMOFLEET__WORKER__DRAIN_TIMEOUT_S:-}"
  if [[ -z "$value" && -r "${EMOFLEET_CONFIG:-}" ]]; then
    value="$(awk '/^[[:space:]]*\[/ { table = $0; gsub(/[][:space:][]|#.*/, "", table); next }
      { key = (table == "" ? "" : table ".") $0; gsub(/[[:space:]]|#.*/, "", key) }
      sub(/^worker\.drain_timeout_s=/, "", key) { print key; exit }' "$EMOFLEET_CONFIG")"
  fi
  value="${value//_/}"
  # The program itself says what is wrong with other values.
  if [[ "$value" =~ ^[0-9]{1,5}$ ]]; then printf '%s' "$((10#$value))"; else printf 45; fi
}

# program VERB NAME HEALTH_SETTING GRACE_S INPUTS COMMAND... : start, stop or status of the program NAME.
#
#   NAME            of its log, pid file and port (with _ for -)
#   HEALTH_SETTING  the environment variable that takes the address of /ready
#   GRACE_S         seconds that it may take to stop after SIGTERM
#   INPUTS          a function that prints what the program depends on besides its binary, rules and settings
#   COMMAND         the binary and its arguments
#
# A program that already runs is kept, unless its binary, inputs, rules or settings have changed since it started.
program() {
  local verb="$1" name="$2"
  case "$verb" in
    start) start_program "${@:2}" ;;
    stop) stop_program "$name" "$4" ;;
    status) running "$name" && program_ready "$name" ;;
    *) die "usage: ${0##*/} start|stop|status" ;;
  esac
}

# start_program NAME HEALTH_SETTING GRACE_S INPUTS COMMAND...
start_program() {
  local name="$1" health_setting="$2" grace_s="$3" inputs="$4" port_name="${1//-/_}" fingerprint address
  shift 4
  [[ -x "$1" ]] || die "$1 is missing: ./run.sh builds it."
  load_environment
  fingerprint="$(fingerprint_of "$inputs" "$1")"
  if running "$name"; then
    if [[ "$(cat "$STACK/run/$name.fingerprint" 2>/dev/null)" == "$fingerprint" ]]; then
      wait_until "$name" 120 program_ready "$name"
      return
    fi
    say "restarting $name: its program, rules or settings have changed"
    stop_program "$name" "$grace_s"
  fi
  choose_port "$port_name"
  echo "$fingerprint" >"$STACK/run/$name.fingerprint"
  address="127.0.0.1:$(port "$port_name")"
  export "$health_setting=$address"
  export NO_COLOR=1 # the log is a file
  launch "$name" "$@"
  wait_until "$name" 120 program_ready "$name"
  say "$name is ready (pid $(pid_of "$name"), http://$address/ready, log $STACK/log/$name.log)"
}

# stop_program NAME GRACE_S
stop_program() {
  end "$1" TERM "$2"
  rm -f "$STACK/run/$1.fingerprint"
}

# program_ready NAME
program_ready() { [[ "$(http_status "$(port "${1//-/_}")" /ready)" == 200 ]]; }

# fingerprint_of INPUTS BINARY: changes with the binary, the inputs, the rules and every setting, also those of a file.
fingerprint_of() {
  {
    stat -L -c '%i %s %Y' "$2"
    "$1"
    if [[ -n "${EMOFLEET__ALERTS__RULES:-}" ]]; then cat "$EMOFLEET__ALERTS__RULES" || true; fi # the program reports what is wrong with it
    if [[ -n "${EMOFLEET_CONFIG:-}" ]]; then cat "$EMOFLEET_CONFIG" || true; fi
    env | grep '^EMOFLEET_' | grep -v '^EMOFLEET_STARTED' | sort
  } 2>/dev/null | cksum
}
