#!/usr/bin/env bash
# Worker number N in the background:  stack/worker.sh start|stop|status N
#
# Its log is .stack/log/worker-N.log. One that runs already is kept, unless its program or settings have changed since.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/program.sh"

number="${2:-1}"
name="worker-$number"
port_name="worker_$number"
DEFAULT_PORT[$port_name]=$((27480 + number))
health=EMOFLEET__WORKER__HEALTH_ADDR
program=("$built/worker" run)
# SIGTERM drains: jobs in hand are finished, for up to worker.drain_timeout_s (45 s), the others handed back.
grace=60
made_of() { stat -L -c '%i %s %Y' "$EMOFLEET__MODEL__DIR"/model.*; }

carry_out "${1:-}"
