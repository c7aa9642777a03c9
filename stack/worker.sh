#!/usr/bin/env bash
# Worker number N in the background:  stack/worker.sh start|stop|status N
#
# Its log is .stack/log/worker-N.log. One that runs already is kept, unless its program or settings have changed since.
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/place.sh"
. "$here/messages.sh"
. "$here/ports.sh"
. "$here/secrets.sh"
. "$here/processes.sh"
. "$here/compose.sh"
. "$here/environment.sh"

verb="${1:-}" number="${2:-1}"
name="worker-$number"
port_name="worker_$number"
DEFAULT_PORT[$port_name]=$((27480 + number))
program="${CARGO_TARGET_DIR:-$ROOT/target}/release/worker"

# What a running worker was made of: a rebuilt program, another model or another setting makes another mark.
mark() {
  {
    stat -L -c '%i %s %Y' "$program" "$EMOFLEET__MODEL__DIR"/model.*
    env | grep '^EMOFLEET_' | grep -v '^EMOFLEET_STARTED' | sort
  } 2>/dev/null | cksum
}

ready() { [[ "$(http_status "$(port "$port_name")" /ready)" == 200 ]]; }

start() {
  [[ -x "$program" ]] || die "$program is missing: ./run.sh builds it."
  load_environment
  if running "$name"; then
    if [[ "$(cat "$STACK/run/$name.mark" 2>/dev/null)" == "$(mark)" ]]; then
      wait_until "$name" 120 ready
      return
    fi
    say "$name: program or settings have changed; it drains and is started anew"
    stop
  fi
  choose_port "$port_name"
  mark >"$STACK/run/$name.mark"
  EMOFLEET__WORKER__HEALTH_ADDR="127.0.0.1:$(port "$port_name")"
  export EMOFLEET__WORKER__HEALTH_ADDR
  export NO_COLOR=1 # the log is a file
  launch "$name" "$program" run
  wait_until "$name" 120 ready
  say "$name is ready (pid $(pid_of "$name"), http://$EMOFLEET__WORKER__HEALTH_ADDR/ready, log $STACK/log/$name.log)"
}

# SIGTERM drains: jobs in hand are finished, for up to worker.drain_timeout_s (45 s), the others handed back.
stop() {
  end "$name" TERM 60
  rm -f "$STACK/run/$name.mark"
}

case "$verb" in
  start) start ;;
  stop) stop ;;
  status) running "$name" && ready ;;
  *) die "usage: stack/worker.sh start|stop|status [NUMBER]" ;;
esac
