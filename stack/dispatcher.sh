#!/usr/bin/env bash
# The dispatcher in the background:  stack/dispatcher.sh start|stop|status
#
# Its log is .stack/log/dispatcher.log. One that runs already is kept, unless its program, rules or settings have changed since.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/program.sh"

name=dispatcher
port_name=dispatcher
health=EMOFLEET__DISPATCHER__HEALTH_ADDR
program=("$built/dispatcher" run)
# SIGTERM lets the request in hand end, for up to dispatcher.timeout_s (10 s), and notes its outcome.
grace=45

# Addresses and secrets of the destinations, by the names that the rules' file gives them.
made_of() {
  local variable
  [[ -n "${EMOFLEET__ALERTS__RULES:-}" ]] || return 0
  for variable in $(sed -nE 's/^[[:space:]]*(url_env|secret_env)[[:space:]]*=[[:space:]]*"([A-Za-z_][A-Za-z0-9_]*)".*/\2/p' "$EMOFLEET__ALERTS__RULES" || true); do
    printf '%s=%s\n' "$variable" "${!variable:-}"
  done
}

carry_out "${1:-}"
