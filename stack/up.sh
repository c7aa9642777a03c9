#!/usr/bin/env bash
# Bring up RabbitMQ, PostgreSQL and S3 and fetch the runtime files; then .stack/env tells where everything is.
#
# Each service is, in this order: the one named in the environment (EMOFLEET__AMQP__URL, EMOFLEET__POSTGRES__URL,
# EMOFLEET__S3__ENDPOINT with its keys); a container, when a Docker engine answers; a private process under .stack/.
# EMOFLEET_SERVICES=native passes over Docker. Safe to run again: what runs is kept, what has died is started.
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/place.sh"
. "$here/messages.sh"
. "$here/ports.sh"
. "$here/secrets.sh"
. "$here/packages.sh"
. "$here/compose.sh"
. "$here/environment.sh"

# One at a time: two at once would choose the same ports and passwords twice.
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

# kind NAME VARIABLE
kind() {
  if [[ -n "${!2:-}" ]]; then
    note "$1: the one named by $2"
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

"$here/runtime.sh"

if [[ "$ours" == compose ]]; then
  services=()
  if [[ "$(kind_of AMQP)" == compose ]]; then services+=(rabbitmq); fi
  if [[ "$(kind_of POSTGRES)" == compose ]]; then services+=(postgres); fi
  if [[ "$(kind_of S3)" == compose ]]; then services+=(minio); fi
  compose_start "$bucket" "${services[@]}"
fi

is_native() { [[ "$(kind_of "$1")" == native ]]; }

# RabbitMQ takes longest to boot: it does so while the others start.
if is_native AMQP; then "$here/rabbitmq.sh" launch; fi
if is_native POSTGRES; then "$here/postgres.sh" start; fi
if is_native S3; then "$here/s3.sh" start; fi
if is_native AMQP; then "$here/rabbitmq.sh" start; fi

write_environment "$bucket"
load_environment
if [[ "$(kind_of S3)" != external ]]; then
  need python3 python3
  python3 "$here/bucket.py" 60 2>"$STACK/log/bucket.log" || die "the S3 server answers but does not take a write." "$STACK/log/bucket.log"
fi
say "services are ready: $EMOFLEET_STACK_KINDS"
