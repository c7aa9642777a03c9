#!/usr/bin/env bash
# The console in the background:  stack/console.sh start|stop|status
#
# Its log is .stack/log/console.log. A console that already runs is kept, unless its program or settings have changed.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$STACK_SCRIPTS/lib/program.sh"

# SIGTERM lets current requests finish, for up to ten seconds.
grace_s=30
program "${1:-}" console EMOFLEET__CONSOLE__ADDR "$grace_s" : "$BUILT/console" serve
