#!/usr/bin/env bash
# The dispatcher in the background:  stack/dispatcher.sh start|stop|status
#
# Its log is .stack/log/dispatcher.log. A dispatcher that already runs is kept, unless its program, rules or settings have changed.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$STACK_SCRIPTS/lib/program.sh"

# Addresses and secrets of the destinations: the rules file names the variables that contain them.
destination_variables() {
  local variable
  [[ -n "${EMOFLEET__ALERTS__RULES:-}" ]] || return 0
  for variable in $(sed -nE 's/^[[:space:]]*(url_env|secret_env)[[:space:]]*=[[:space:]]*"([A-Za-z_][A-Za-z0-9_]*)".*/\2/p' "$EMOFLEET__ALERTS__RULES" || true); do
    printf '%s=%s\n' "$variable" "${!variable:-}"
  done
}

# SIGTERM lets the current request finish, for up to dispatcher.timeout_s (10 s), and records its outcome.
grace_s=45
program "${1:-}" dispatcher EMOFLEET__DISPATCHER__HEALTH_ADDR "$grace_s" destination_variables "$BUILT/dispatcher" run
