#!/usr/bin/env bash
# The private RabbitMQ: start | stop | restart | status | kill (SIGKILL, for fault tests) | fetch (a newer release, before it starts).
#
# EMOFLEET_RABBITMQ=4.0 or 4.3 runs a newer release than Debian's package of this machine (lib/rabbitmq_release.sh).
# One node and its own epmd, on loopback. The vhost and the only user are `emofleet`; there is no user `guest`.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$STACK_SCRIPTS/lib/rabbitmq_release.sh"
. "$STACK_SCRIPTS/lib/rabbitmq_node.sh"

install_server() {
  install_packages RabbitMQ rabbitmq-server
  keep_disabled rabbitmq-server.service epmd.socket epmd.service
}

write_settings() {
  mkdir -p "$NODE_HOME/data" "$NODE_HOME/log" "$NODE_HOME/generated"
  chmod 700 "$NODE_HOME"
  (
    umask 077
    # default_* apply to an empty node only: the node starts with this user, and never has the user guest.
    cat >"$NODE_HOME/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$(port amqp)
default_vhost = emofleet
default_user = emofleet
default_pass = $(secret AMQP_PASSWORD)
default_user_tags.administrator = true
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 200MB
# Memory for the write-ahead log of the quorum queues; the default is 512 MB.
raft.wal_max_size_bytes = 33554432
log.console = true
log.console.level = info
log.file = false
CONF
    echo '[].' >"$NODE_HOME/advanced.config"
    echo '[].' >"$NODE_HOME/enabled_plugins"
    if [[ ! -f "$NODE_HOME/.erlang.cookie" ]]; then
      secret ERLANG_COOKIE >"$NODE_HOME/.erlang.cookie"
      chmod 400 "$NODE_HOME/.erlang.cookie"
    fi
  )
}

# The AMQP port opens last in the boot, after vhosts and queues. Either line says that the boot is over: of the log, which drops
# lines when many queues recover at once, or of the banner, which is printed without it.
answers() { port_taken "$(port amqp)" && grep -qE 'Server startup complete|completed with [0-9]+ plugins' "$STACK/log/rabbitmq.log"; }

epmd_program() { if [[ -n "$RABBITMQ_RELEASE" ]]; then printf '%s' "$RELEASE_ROOT/usr/lib/erlang/bin/epmd"; else printf epmd; fi; }

start_epmd() {
  running epmd && return 0
  choose_port epmd
  launch epmd "$(epmd_program)" -address 127.0.0.1 -port "$(port epmd)"
}

# A node of another release keeps neither its place nor its port.
change_release() {
  local before=''
  if [[ -f "$RELEASE_FILE" ]]; then before="$(<"$RELEASE_FILE")"; fi
  if [[ "$before" != "$RABBITMQ_RELEASE" ]] && running rabbitmq; then
    say "RabbitMQ was ${before:-of this machine} and becomes ${RABBITMQ_RELEASE:-that of this machine}, with other data"
    stop
  fi
  printf '%s' "$RABBITMQ_RELEASE" >"$RELEASE_FILE"
}

boot() {
  if [[ -n "$RABBITMQ_RELEASE" ]]; then fetch_release; fi
  change_release
  running rabbitmq && return
  rabbitmq_program rabbitmq-server >/dev/null || install_server
  choose_port amqp
  choose_port amqp_dist
  start_epmd
  say "starting RabbitMQ${RABBITMQ_RELEASE:+ $RABBITMQ_RELEASE} on 127.0.0.1:$(port amqp) (about ten seconds)"
  write_settings
  local server
  server="$(rabbitmq_program rabbitmq-server)" || die "rabbitmq-server was not found after installing it." "$APT_LOG"
  (
    rabbitmq_environment
    # With this, the script execs the Erlang VM instead of supervising it: one process with a known pid.
    export RUNNING_UNDER_SYSTEMD=true
    launch rabbitmq "$server"
  )
}

start() {
  boot
  wait_until rabbitmq 90 answers
}

stop() {
  end rabbitmq TERM 40
  end epmd TERM 5
}

if delegated AMQP rabbitmq "${1:-}"; then exit; fi
case "${1:-}" in
  launch) boot ;; # without waiting: up.sh starts the other services in the meantime
  fetch) fetch_release ;;
  start) start ;;
  stop) stop ;;
  restart) end rabbitmq TERM 40 && start ;;
  kill) end rabbitmq KILL 10 ;;
  status) running rabbitmq && answers ;;
  *) die "usage: stack/rabbitmq.sh start|stop|restart|kill|status|fetch" ;;
esac
