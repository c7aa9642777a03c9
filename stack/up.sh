#!/usr/bin/env bash
# Starts RabbitMQ, PostgreSQL and S3, fetches the runtime files, and writes their addresses to .stack/env.
#
# Each service is, in this order: the one named in the environment (EMOFLEET__AMQP__URL, EMOFLEET__POSTGRES__URL,
# EMOFLEET__S3__ENDPOINT with its keys); a container, when a Docker engine answers; a private process under .stack/.
# The choice between the last two is kept; EMOFLEET_SERVICES=native or =compose changes it.
# Safe to run again: a running service is kept, an ended one is started.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# One run at a time: two at once could choose the same ports, or generate the passwords twice.
exec 9>"$STACK/lock"
flock -n 9 || { say "waiting for another run of the stack's scripts" && flock 9; }

forget_own_settings
bucket="${EMOFLEET__S3__BUCKET:-recordings}"

choose_kind
change_kinds

"$STACK_SCRIPTS/runtime.sh"

containers=()
for service in AMQP POSTGRES S3; do
  if [[ "$(kind_of "$service")" == compose ]]; then containers+=("${SCRIPT_OF[$service]}"); fi
done
if ((${#containers[@]})); then compose_start "$bucket" "${containers[@]}"; fi

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
