# shellcheck shell=bash
# The private RabbitMQ node, for the server and rabbitmqctl: its own name, cookie, epmd and folders, and none of the
# machine's settings from /etc/rabbitmq.

NODE_HOME="$STACK/rabbitmq${RABBITMQ_RELEASE:+-$RABBITMQ_RELEASE}"

rabbitmq_environment() {
  export HOME="$NODE_HOME"
  if [[ -n "$RABBITMQ_RELEASE" ]]; then PATH="$RELEASE_ROOT/usr/lib/erlang/bin:$PATH"; fi
  export RABBITMQ_NODENAME="emofleet@localhost"
  export RABBITMQ_CONF_ENV_FILE=/dev/null
  export RABBITMQ_BASE="$NODE_HOME"
  export RABBITMQ_MNESIA_BASE="$NODE_HOME/data"
  export RABBITMQ_LOG_BASE="$NODE_HOME/log"
  export RABBITMQ_LOGS=- # to stdout, hence to .stack/log/rabbitmq.log
  export RABBITMQ_CONFIG_FILE="$NODE_HOME/rabbitmq.conf"
  export RABBITMQ_ADVANCED_CONFIG_FILE="$NODE_HOME/advanced.config"
  export RABBITMQ_ENABLED_PLUGINS_FILE="$NODE_HOME/enabled_plugins"
  export RABBITMQ_GENERATED_CONFIG_DIR="$NODE_HOME/generated"
  export RABBITMQ_PID_FILE="$NODE_HOME/node.pid"
  export ERL_CRASH_DUMP="$NODE_HOME/log/erl_crash.dump"
  RABBITMQ_DIST_PORT="$(port amqp_dist)"
  ERL_EPMD_PORT="$(port epmd)"
  export RABBITMQ_DIST_PORT ERL_EPMD_PORT
  export ERL_EPMD_ADDRESS=127.0.0.1
  # Distribution on loopback only; idle schedulers sleep instead of spinning (small machines).
  export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
  export RABBITMQ_CTL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
  unset RABBITMQ_NODE_PORT RABBITMQ_NODE_IP_ADDRESS RABBITMQ_USE_LONGNAME ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS NOTIFY_SOCKET
}

# rabbitmq_program NAME: prints its path. Debian's wrapper in /usr/sbin requires the account rabbitmq; the program behind it does not.
rabbitmq_program() {
  local candidate
  if [[ -n "$RABBITMQ_RELEASE" ]]; then
    candidate="$RELEASE_ROOT/usr/lib/rabbitmq/bin/$1"
    [[ -x "$candidate" ]] && printf '%s' "$candidate"
    return
  fi
  for candidate in "/usr/lib/rabbitmq/bin/$1" "$(command -v "$1" 2>/dev/null)"; do
    if [[ -n "$candidate" && -x "$candidate" ]]; then printf '%s' "$candidate" && return; fi
  done
  return 1
}
