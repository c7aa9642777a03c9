#!/usr/bin/env bash
# rabbitmqctl for the stack's own node, native or in a container:  stack/rabbitmqctl.sh add_vhost trial
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$STACK_SCRIPTS/lib/rabbitmq_release.sh"
. "$STACK_SCRIPTS/lib/rabbitmq_node.sh"

case "$(kind_of AMQP)" in
  native)
    program="$(rabbitmq_program rabbitmqctl)" || die "rabbitmqctl is missing: stack/up.sh installs it."
    rabbitmq_environment
    exec "$program" "$@"
    ;;
  compose) exec_in_compose rabbitmq rabbitmqctl "$@" ;;
  external) die "RabbitMQ is external (EMOFLEET__AMQP__URL): run rabbitmqctl on that broker's machine." ;;
  *) die "there is no stack yet: run stack/up.sh." ;;
esac
