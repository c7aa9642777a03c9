#!/usr/bin/env bash
# Delivery and faults on a newer RabbitMQ than Debian's: starts one natively beside the stack, runs the tests of delivery, of leases and
# of broken connections on it, and two of the fault tests on private stacks with it. Called by test.sh; the services of the stack
# and their settings are in the environment.
#
#   tests/rabbitmq4.sh            the newest release of stack/debs.lock that can be fetched
#   EMOFLEET_RABBITMQ=4.0 tests/rabbitmq4.sh
#
# Exit code 75, with the reason, when none can be fetched: NOTHING was tested then.
. "$(dirname "${BASH_SOURCE[0]}")/../stack/lib.sh"
cd "$ROOT"

NOT_FETCHED=75
trial="$STACK/rabbitmq4"

# fetched RELEASE: whether the release is there, or can be fetched; ends this script when it is not what was pinned.
fetched() {
  local status=0
  EMOFLEET_STACK_DIR="$trial" EMOFLEET_RABBITMQ="$1" "$STACK_SCRIPTS/rabbitmq.sh" fetch || status=$?
  ((status == 0)) && return
  ((status == NOT_FETCHED)) || exit "$status"
  return 1
}

mkdir -p "$trial"
ln -sfn "$RUNTIME" "$trial/runtime"
echo AMQP=native >"$trial/kinds"
release=''
for candidate in ${EMOFLEET_RABBITMQ:-4.3 4.0}; do
  if fetched "$candidate"; then release="$candidate" && break; fi
done
if [[ -z "$release" ]]; then
  say "NOT TESTED on RabbitMQ 4: its packages can't be fetched; see above."
  exit "$NOT_FETCHED"
fi
export EMOFLEET_RABBITMQ="$release"

broker() { EMOFLEET_STACK_DIR="$trial" "$STACK_SCRIPTS/rabbitmq.sh" "$@"; }
trap 'broker stop >>"$STACK/log/test-stop.log" 2>&1' EXIT
broker start
port="$(sed -n 's/^amqp=//p' "$trial/ports" | tail -n 1)"
password="$(sed -n 's/^AMQP_PASSWORD=//p' "$trial/secrets")"
export EMOFLEET__AMQP__URL="amqp://emofleet:$password@127.0.0.1:$port/emofleet"

say "delivery and faults on RabbitMQ $release"
tests=(--test amqp_delivery --test amqp_faults --test leases)
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run "$@" --workspace --no-fail-fast "${tests[@]}" --test faults \
    -E 'not binary(faults) | test(/^(killed_workers|a_killed_broker)/)'
else
  cargo test "$@" --workspace --no-fail-fast "${tests[@]}"
fi
