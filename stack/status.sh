#!/usr/bin/env bash
# One line for each service, each worker, the dispatcher and the console. Exit code 1 when one that was started is not ready.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

wrong=0
# row NAME KIND PORT COMMAND...
row() {
  local name="$1" kind="$2" port="$3" state=ready pid
  shift 3
  if ! "$@" >/dev/null 2>&1; then
    state="NOT RUNNING"
    wrong=1
  fi
  pid="$(pid_of "$name" || true)"
  printf '%-10s %-9s %-12s %-18s %s\n' "$name" "$kind" "$state" "127.0.0.1:$port" "${pid:+pid $pid}"
}

if [[ ! -s "$KINDS_FILE" ]]; then
  echo "no stack yet: ./run.sh creates one"
  exit 1
fi
while read -r kind name port_name; do
  if [[ "$(kind_of "$kind")" == external ]]; then
    printf '%-10s %-9s %s\n' "$name" external "(named in the environment)"
  else
    row "$name" "$(kind_of "$kind")" "$(port "$port_name")" "$STACK_SCRIPTS/$name.sh" status
  fi
done <<<'AMQP rabbitmq amqp
POSTGRES postgres postgres
S3 s3 s3'
for record in "$STACK"/run/worker-*.pid; do
  [[ -e "$record" ]] || continue
  name="$(basename "$record" .pid)"
  row "$name" native "$(port "worker_${name#worker-}")" "$STACK_SCRIPTS/worker.sh" status "${name#worker-}"
done
if [[ -e "$STACK/run/console.pid" ]]; then row console native "$(port console)" "$STACK_SCRIPTS/console.sh" status; fi
if [[ -e "$STACK/run/dispatcher.pid" ]]; then row dispatcher native "$(port dispatcher)" "$STACK_SCRIPTS/dispatcher.sh" status; fi
exit "$wrong"
