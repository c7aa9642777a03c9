#!/bin/sh
set -e
[ "$1" = rabbitmq-server ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
  chown -R rabbitmq /var/lib/rabbitmq
  exec gosu rabbitmq "$0" "$@"
fi
# Not Debian's wrapper of the same name, which would not pass SIGTERM on.
exec /usr/lib/rabbitmq/bin/rabbitmq-server
