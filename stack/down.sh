#!/usr/bin/env bash
# End exactly what up.sh (and run.sh) started: by recorded pid and start time, or by docker compose. Data stay.
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/place.sh"
. "$here/messages.sh"

exec 9>"$STACK/lock"
flock -n 9 || { say "waiting for another run of the stack's scripts" && flock 9; }

for record in "$STACK"/run/worker-*.pid; do
  [[ -e "$record" ]] || continue
  name="$(basename "$record" .pid)"
  "$here/worker.sh" stop "${name#worker-}" &
done
wait # workers drain while their services are still there
"$here/dispatcher.sh" stop # after them: what they still raise is sent
# They do not need one another to end.
"$here/s3.sh" stop &
"$here/postgres.sh" stop &
"$here/rabbitmq.sh" stop &
wait
say "stopped; data stay in $STACK"
