#!/usr/bin/env bash
# Worker number N in the background:  stack/worker.sh start|stop|status N
#
# Its log is .stack/log/worker-N.log. A worker that already runs is kept, unless its program, model or settings have changed.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$STACK_SCRIPTS/lib/program.sh"

number="${2:-1}"
DEFAULT_PORT["worker_$number"]=$((27480 + number))

model_files() { stat -L -c '%i %s %Y' "$EMOFLEET__MODEL__DIR"/model.*; }

# SIGTERM drains: running jobs finish, for up to worker.drain_timeout_s; the others return to the queue. The program has a
# quarter of a minute more to end.
grace_s=$(($(drain_timeout_s) + 15))
program "${1:-}" "worker-$number" EMOFLEET__WORKER__HEALTH_ADDR "$grace_s" model_files "$BUILT/worker" run
