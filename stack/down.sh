#!/usr/bin/env bash
# Stops what up.sh and run.sh started: by recorded pid and start time, or by docker compose. Keeps the data.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

exec 9>"$STACK/lock"
flock -n 9 || { say "waiting for another run of the stack's scripts" && flock 9; }

for record in "$STACK"/run/worker-*.pid; do
  [[ -e "$record" ]] || continue
  name="$(basename "$record" .pid)"
  "$STACK_SCRIPTS/worker.sh" stop "${name#worker-}" &
done
wait # workers drain while their services still run
# After the workers: the dispatcher sends the alerts that they still raise.
"$STACK_SCRIPTS/dispatcher.sh" stop
# The services stop independently of each other.
"$STACK_SCRIPTS/s3.sh" stop &
"$STACK_SCRIPTS/postgres.sh" stop &
"$STACK_SCRIPTS/rabbitmq.sh" stop &
wait
say "stopped; the data are kept in $STACK"
