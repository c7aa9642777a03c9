#!/usr/bin/env bash
# Starts RabbitMQ, PostgreSQL and S3, fetches the runtime files, and writes their addresses to .stack/env.
#
# Each service is, in this order: the one named in the environment (EMOFLEET__AMQP__URL, EMOFLEET__POSTGRES__URL,
# EMOFLEET__S3__ENDPOINT with its keys); a container, when a Docker engine answers; a private process under .stack/.
# EMOFLEET_SERVICES=native does without Docker. Safe to run again: a running service is kept, an ended one is started.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# One run at a time: two at once could choose the same ports, or generate the passwords twice.
exec 9>"$STACK/lock"
flock -n 9 || { say "waiting for another run of the stack's scripts" && flock 9; }

forget_own_settings
bucket="${EMOFLEET__S3__BUCKET:-recordings}"

ours=native
external=0
if [[ -n "${EMOFLEET__AMQP__URL:-}" ]]; then external=$((external + 1)); fi
if [[ -n "${EMOFLEET__POSTGRES__URL:-}" ]]; then external=$((external + 1)); fi
if [[ -n "${EMOFLEET__S3__ENDPOINT:-}" ]]; then external=$((external + 1)); fi
if ((external < 3)) && [[ "${EMOFLEET_SERVICES:-}" != native ]] && compose_available; then ours=compose; fi

# kind NAME VARIABLE: one line of the file of kinds
kind() {
  if [[ -n "${!2:-}" ]]; then
    note "$1: external, named by $2"
    echo "$1=external"
  else
    echo "$1=$ours"
  fi
}
{
  kind AMQP EMOFLEET__AMQP__URL
  kind POSTGRES EMOFLEET__POSTGRES__URL
  kind S3 EMOFLEET__S3__ENDPOINT
} >"$KINDS_FILE"

"$STACK_SCRIPTS/runtime.sh"

if [[ "$ours" == compose ]]; then
  services=()
  if [[ "$(kind_of AMQP)" == compose ]]; then services+=(rabbitmq); fi
  if [[ "$(kind_of POSTGRES)" == compose ]]; then services+=(postgres); fi
  if [[ "$(kind_of S3)" == compose ]]; then services+=(minio); fi
  compose_start "$bucket" "${services[@]}"
fi

is_native() { [[ "$(kind_of "$1")" == native ]]; }

# RabbitMQ takes longest to boot, so it boots while the others start.
if is_native AMQP; then "$STACK_SCRIPTS/rabbitmq.sh" launch; fi
if is_native POSTGRES; then "$STACK_SCRIPTS/postgres.sh" start; fi
if is_native S3; then "$STACK_SCRIPTS/s3.sh" start; fi
if is_native AMQP; then "$STACK_SCRIPTS/rabbitmq.sh" start; fi

write_environment "$bucket"
load_environment
if [[ "$(kind_of S3)" != external ]]; then
  need python3 python3
  python3 "$STACK_SCRIPTS/bucket.py" 60 2>"$STACK/log/bucket.log" || die "the S3 server answers but does not accept a write." "$STACK/log/bucket.log"
fi
say "services are ready: $EMOFLEET_STACK_KINDS"
