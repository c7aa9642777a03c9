#!/usr/bin/env bash
# The private PostgreSQL: start | stop | restart | kill | status.
#
# It has its own data folder and port, and listens on loopback by TCP only (the path of a socket would be too long in a
# deep checkout). It uses Debian's programs, but none of Debian's clusters.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$STACK_SCRIPTS/lib/postgres_server.sh"

DATA="$STACK/postgres"
LOG="$STACK/log/postgres.log"

# find_server: sets BIN to the newest server on the machine, or to the version that created the data folder.
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
  if [[ -n "$version" ]]; then die "$DATA was created by PostgreSQL $version, which is not installed: install postgresql-$version, or remove $DATA to start with an empty database."; fi
  return 1
}

# PostgreSQL refuses to run as root. As root, run it as Debian's account for it, or as nobody. That account can't enter the
# stack's folder, which is root's alone: the data are beside it, or under /var/lib in a checkout that it can't enter either.
choose_account() {
  AS=()
  ((EUID == 0)) || return 0
  local account=postgres elsewhere="$STACK.postgres" kept
  id "$account" >/dev/null 2>&1 || account=nobody
  AS=(setpriv --reuid "$account" --regid "$(id -g "$account")" --clear-groups --)
  if [[ -L "$DATA" ]]; then
    DATA="$(readlink -m "$DATA")"
  elif ! running postgres; then # one that runs was started before the folder was closed: its data move at the next start
    if ! "${AS[@]}" test -x "$(dirname "$STACK")"; then
      elsewhere="/var/lib/emofleet-$(printf '%s' "$STACK" | cksum | cut -d' ' -f1)/postgres"
      mkdir -p "$(dirname "$elsewhere")"
      chmod 711 "$(dirname "$elsewhere")"
    fi
    if [[ -e "$elsewhere" ]]; then # of a folder that was removed, with the passwords
      kept="$elsewhere.$(date +%Y%m%d-%H%M%S)"
      note "$elsewhere has data of an earlier stack: they are kept as $kept"
      mv "$elsewhere" "$kept"
    fi
    note "the account '$account' can't enter $STACK: PostgreSQL's data are in $elsewhere"
    if [[ -d "$DATA" ]]; then mv "$DATA" "$elsewhere"; fi
    ln -sfn "$elsewhere" "$DATA"
    DATA="$elsewhere"
  fi
  mkdir -p "$DATA"
  chown "$account" "$DATA"
  chmod 700 "$DATA"
}

answers() { "$BIN/pg_isready" -q -h 127.0.0.1 -p "$(port postgres)" -t 2; }

# sql ARGS... : psql as the superuser. The password is passed in the environment, which only the same account can read.
sql() {
  PGPASSWORD="$(secret POSTGRES_ADMIN_PASSWORD)" "$BIN/psql" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(port postgres)" -U postgres "$@" 2>>"$LOG"
}

# The programs' role and database; safe to repeat. The password is passed on stdin.
make_database() {
  local exists
  exists="$(sql -d postgres -Atc "SELECT 1 FROM pg_database WHERE datname = 'emofleet'")" || die "PostgreSQL refuses its superuser." "$LOG"
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
  find_server || {
    install_server
    find_server || die "PostgreSQL's server programs were not found after installing them." "$APT_LOG"
  }
  choose_account
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

if delegated POSTGRES postgres "${1:-}"; then exit; fi
case "${1:-}" in
  start) start ;;
  stop) stop ;;
  restart) stop && start ;;
  kill) end postgres QUIT 10 ;; # for fault tests: an immediate shutdown without a checkpoint, so that the next start recovers
  status) running postgres && find_server && answers ;;
  *) die "usage: stack/postgres.sh start|stop|restart|kill|status" ;;
esac
