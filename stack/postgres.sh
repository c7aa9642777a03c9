#!/usr/bin/env bash
# The private PostgreSQL: start | stop | restart | kill | status.
#
# Own data folder, own port, loopback and TCP only (a socket's path would be too long in a deep checkout).
# Debian's programs, but none of Debian's clusters.
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/place.sh"
. "$here/messages.sh"
. "$here/ports.sh"
. "$here/secrets.sh"
. "$here/processes.sh"
. "$here/packages.sh"
. "$here/compose.sh"

DATA="$STACK/postgres"
LOG="$STACK/log/postgres.log"

# The newest server on the machine, or the one that made the data folder.
find_server() {
  local version="" candidate
  [[ -f "$DATA/PG_VERSION" ]] && version="$(cat "$DATA/PG_VERSION")"
  BIN=
  for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) "$(dirname "$(command -v initdb || echo /none/initdb)")"; do
    [[ -x "$candidate/postgres" && -x "$candidate/initdb" ]] || continue
    [[ -z "$version" || "$("$candidate/postgres" -V)" == *" $version"* ]] || continue
    BIN="$candidate"
    return 0
  done
  if [[ -n "$version" ]]; then die "$DATA was made by PostgreSQL $version, which is not on this machine: install postgresql-$version, or remove $DATA to start afresh."; fi
  return 1
}

# postgresql-common alone comes first, so that its switch for the automatic cluster can be off when the server arrives.
install_server() {
  local switch=/etc/postgresql-common/createcluster.conf kept=
  install_packages PostgreSQL postgresql-common
  kept="$(mktemp "$STACK/createcluster.XXXXXX")"
  cp "$switch" "$kept"
  echo 'create_main_cluster = false' | as_root tee -a "$switch" >/dev/null # the last word counts
  (install_packages PostgreSQL postgresql) || { as_root tee "$switch" <"$kept" >/dev/null && exit 1; }
  as_root tee "$switch" <"$kept" >/dev/null
  rm -f "$kept"
  keep_disabled postgresql.service
}

# PostgreSQL refuses to run as root: then it runs as the account Debian made for it, or as nobody.
# Where that account can't reach the stack (a checkout under /root), the data lie under /var/lib instead.
choose_account() {
  AS=()
  ((EUID == 0)) || return 0
  local account=postgres elsewhere
  id "$account" >/dev/null 2>&1 || account=nobody
  AS=(setpriv --reuid "$account" --regid "$(id -g "$account")" --clear-groups --)
  if ! "${AS[@]}" test -x "$STACK"; then
    elsewhere="/var/lib/emofleet-$(printf '%s' "$STACK" | cksum | cut -d' ' -f1)"
    mkdir -p "$elsewhere"
    if [[ ! -e "$DATA" ]]; then
      note "the account '$account' can't enter $STACK: PostgreSQL's data go to $elsewhere"
      ln -sfn "$elsewhere/postgres" "$DATA"
    fi
    DATA="$elsewhere/postgres"
  fi
  mkdir -p "$DATA"
  chown "$account" "$DATA"
  chmod 700 "$DATA"
}

make_data() {
  local password
  password="$(mktemp "${TMPDIR:-/tmp}/emofleet.XXXXXX")"
  secret POSTGRES_ADMIN_PASSWORD >"$password"
  ((EUID != 0)) || chown "$(stat -c %U "$DATA")" "$password"
  rm -rf "${DATA:?}"/* # what a broken first try left: there is no PG_VERSION, so no data
  "${AS[@]}" "$BIN/initdb" -D "$DATA" -U postgres --pwfile="$password" -E UTF8 --locale=C.UTF-8 -A scram-sha-256 \
    >"$STACK/log/initdb.log" 2>&1 || { rm -f "$password"; die "initdb failed." "$STACK/log/initdb.log"; }
  rm -f "$password"
}

answers() { "$BIN/pg_isready" -q -h 127.0.0.1 -p "$(port postgres)" -t 2; }

# SQL as the superuser. The password travels by the environment, which only the same account can read.
sql() {
  PGPASSWORD="$(secret POSTGRES_ADMIN_PASSWORD)" "$BIN/psql" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(port postgres)" -U postgres "$@" 2>>"$LOG"
}

# Role and database of the programs; repeatable. The password is part of the text on stdin.
make_database() {
  local exists
  exists="$(sql -d postgres -Atc "SELECT 1 FROM pg_database WHERE datname = 'emofleet'")" || die "PostgreSQL refuses its own superuser." "$LOG"
  [[ -z "$exists" ]] || return 0
  sql -d postgres <<SQL || die "could not create the database emofleet." "$LOG"
DO \$\$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'emofleet') THEN CREATE ROLE emofleet LOGIN; END IF;
END \$\$;
ALTER ROLE emofleet PASSWORD '$(secret POSTGRES_PASSWORD)';
CREATE DATABASE emofleet OWNER emofleet;
SQL
}

start() {
  if running postgres; then
    find_server
    choose_account
    wait_until postgres 60 answers
    make_database
    return
  fi
  find_server || { install_server; find_server || die "PostgreSQL's server programs were not found after installing them." "$APT_LOG"; }
  choose_account
  # A server that outlived its record (or was started by hand) still owns the folder: say so before starting beside it.
  choose_port postgres
  say "starting PostgreSQL on 127.0.0.1:$(port postgres)"
  [[ -f "$DATA/PG_VERSION" ]] || make_data
  launch postgres "${AS[@]}" "$BIN/postgres" -D "$DATA" \
    -c "listen_addresses=127.0.0.1" -c "port=$(port postgres)" -c "unix_socket_directories=" \
    -c "max_connections=200" -c "shared_buffers=128MB" -c "timezone=UTC" -c "log_min_duration_statement=2000"
  wait_until postgres 60 answers
  make_database
}

# SIGINT is PostgreSQL's "fast" shutdown: clients are cut off, data are flushed.
stop() { end postgres INT 60; }

if delegated_to_compose POSTGRES postgres "${1:-}"; then exit; fi
case "${1:-}" in
  start) start ;;
  stop) stop ;;
  restart) stop && start ;;
  kill) end postgres QUIT 10 ;; # for fault tests: no flush, no goodbye, recovery at the next start
  status) running postgres && find_server && answers ;;
  *) die "usage: stack/postgres.sh start|stop|restart|kill|status" ;;
esac
