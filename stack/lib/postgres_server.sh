# shellcheck shell=bash
# PostgreSQL's programs and an empty data folder, for postgres.sh, which sets BIN (the programs' folder), DATA and AS.

CLUSTER_SWITCH=/etc/postgresql-common/createcluster.conf

# postgresql-common is installed first, so that its automatic cluster is switched off before the server is installed.
install_server() {
  install_packages PostgreSQL postgresql-common
  (install_without_cluster) || exit 1
  keep_disabled postgresql.service
}

# In a subshell, whose exit trap restores the machine's own configuration however the installation ends.
install_without_cluster() {
  KEPT_SWITCH="$(mktemp "$STACK/createcluster.XXXXXX")" || exit 1
  cp "$CLUSTER_SWITCH" "$KEPT_SWITCH" || exit 1
  trap restore_cluster_switch EXIT
  trap 'exit 130' INT TERM
  echo 'create_main_cluster = false' | as_root tee -a "$CLUSTER_SWITCH" >/dev/null || exit 1 # the last line wins
  install_packages PostgreSQL postgresql
}

restore_cluster_switch() { as_root tee "$CLUSTER_SWITCH" <"$KEPT_SWITCH" >/dev/null && rm -f "$KEPT_SWITCH"; }

# Without PG_VERSION there are no data: it comes last, so that an initdb which was interrupted is done again.
make_data() {
  local entry
  rm -rf "${DATA:?}"/*
  (init_data "$DATA/new") || die "initdb failed." "$STACK/log/initdb.log"
  for entry in "$DATA"/new/*; do
    [[ "$entry" == */PG_VERSION ]] || mv "$entry" "$DATA/"
  done
  mv "$DATA/new/PG_VERSION" "$DATA/"
  rmdir "$DATA/new"
}

# init_data FOLDER: in a subshell, whose exit trap removes the file with the password.
init_data() {
  PASSWORD_FILE="$(mktemp "${TMPDIR:-/tmp}/emofleet.XXXXXX")" || exit 1
  trap 'rm -f "$PASSWORD_FILE"' EXIT
  trap 'exit 130' INT TERM
  secret POSTGRES_ADMIN_PASSWORD >"$PASSWORD_FILE" || exit 1
  ((EUID != 0)) || chown "$(stat -c %U "$DATA")" "$PASSWORD_FILE" || exit 1
  "${AS[@]}" "$BIN/initdb" -D "$1" -U postgres --pwfile="$PASSWORD_FILE" -E UTF8 --locale=C.UTF-8 -A scram-sha-256 \
    >"$STACK/log/initdb.log" 2>&1
}
