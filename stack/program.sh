# shellcheck shell=bash
# A program of the fleet in the background: worker.sh and dispatcher.sh say which one, by these variables, and source this.
#
#   name       of its log, pid and mark
#   port_name  under which the port of its health address is remembered
#   health     the setting that takes that address
#   program    the binary and its arguments
#   grace      seconds that it may take to end in order
#   made_of    a function: prints what makes another program of it beside the binary and the settings
# shellcheck disable=SC2154 # they are

here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/place.sh"
. "$here/messages.sh"
. "$here/ports.sh"
. "$here/secrets.sh"
. "$here/processes.sh"
. "$here/compose.sh"
. "$here/environment.sh"

# shellcheck disable=SC2034 # used by those who source this
built="${CARGO_TARGET_DIR:-$ROOT/target}/release"

# What a running program was made of: a rebuilt binary, other rules or another setting make another mark.
mark() {
  {
    stat -L -c '%i %s %Y' "${program[0]}"
    made_of
    if [[ -n "${EMOFLEET__ALERTS__RULES:-}" ]]; then cat "$EMOFLEET__ALERTS__RULES" || true; fi # the program says what is wrong with it
    env | grep '^EMOFLEET_' | grep -v '^EMOFLEET_STARTED' | sort
  } 2>/dev/null | cksum
}

ready() { [[ "$(http_status "$(port "$port_name")" /ready)" == 200 ]]; }

start() {
  [[ -x "${program[0]}" ]] || die "${program[0]} is missing: ./run.sh builds it."
  load_environment
  if running "$name"; then
    if [[ "$(cat "$STACK/run/$name.mark" 2>/dev/null)" == "$(mark)" ]]; then
      wait_until "$name" 120 ready
      return
    fi
    say "$name: program or settings have changed; it ends in order and is started anew"
    stop
  fi
  choose_port "$port_name"
  mark >"$STACK/run/$name.mark"
  export "$health=127.0.0.1:$(port "$port_name")"
  export NO_COLOR=1 # the log is a file
  launch "$name" "${program[@]}"
  wait_until "$name" 120 ready
  say "$name is ready (pid $(pid_of "$name"), http://${!health}/ready, log $STACK/log/$name.log)"
}

stop() {
  end "$name" TERM "$grace"
  rm -f "$STACK/run/$name.mark"
}

# carry_out VERB
carry_out() {
  case "$1" in
    start) start ;;
    stop) stop ;;
    status) running "$name" && ready ;;
    *) die "usage: ${0##*/} start|stop|status" ;;
  esac
}
