#!/usr/bin/env bash
# rabbitmqctl against the stack's own node, wherever it runs:  stack/rabbitmqctl.sh add_vhost trial
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/place.sh"
. "$here/messages.sh"
. "$here/ports.sh"
. "$here/compose.sh"
. "$here/rabbitmq_node.sh"

case "$(kind_of AMQP)" in
  native)
    program="$(rabbitmq_program rabbitmqctl)" || die "rabbitmqctl is missing: stack/up.sh installs it."
    rabbitmq_environment
    exec "$program" "$@"
    ;;
  compose) exec_in_compose rabbitmq rabbitmqctl "$@" ;;
  external) die "RabbitMQ is external (EMOFLEET__AMQP__URL): run rabbitmqctl where that broker lives." ;;
  *) die "there is no stack yet: run stack/up.sh." ;;
esac
