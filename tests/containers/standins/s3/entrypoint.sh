#!/bin/sh
set -e
if [ "$(id -u)" = 0 ]; then
  chown -R seaweed /data
  exec gosu seaweed "$0" "$@"
fi
exec /usr/bin/weed "$@"
