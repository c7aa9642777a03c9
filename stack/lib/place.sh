# shellcheck shell=bash
# Paths of the private stack. The other files of lib/ use them, so this one is sourced first.
#
# EMOFLEET_STACK_DIR puts the whole stack into another folder (a second checkout, a faster disk).

# The user's locale must not change what programs print or how names are sorted.
export LC_ALL=C.UTF-8

ROOT="$(cd "$STACK_SCRIPTS/.." && pwd -P)"
STACK="${EMOFLEET_STACK_DIR:-$ROOT/.stack}"
case "$STACK" in /*) ;; *) STACK="$PWD/$STACK" ;; esac
if [[ -n "${EMOFLEET_STACK_DIR:-}" ]]; then export EMOFLEET_STACK_DIR="$STACK"; fi # scripts below may be in another folder

# The machine may have other users: queues, objects, rows, logs and passwords are for this account alone.
: "${USERS_UMASK:=$(umask)}" # for what belongs to the user and not to the stack: builds, installed packages, results
umask 077
# A folder with other files in it belongs to somebody else: its permissions must not be changed. A stack has runtime/; what may
# be there before it: environments of Python, and files that a test prepares.
if [[ -d "$STACK" && ! -e "$STACK/runtime" && ! -L "$STACK/runtime" && "$STACK" != "$ROOT/.stack" ]] &&
  [[ -n "$(find "$STACK/" -mindepth 1 -maxdepth 1 -regextype posix-extended \
    ! -regex '.*/(exporter|peer_fleet|kinds|ports)' -print -quit)" ]]; then
  printf 'EMOFLEET_STACK_DIR: %s holds other files: name a new or empty folder, like %s/emofleet.\n' "$STACK" "${STACK%/}" >&2
  exit 1
fi
mkdir -p "$STACK/log" "$STACK/run" "$STACK/runtime"
# Made by an earlier version, or by hand. A Postgres that runs in it would end: its folder is closed once it is stopped.
if [[ "$(stat -c %a "$STACK")" != 700 ]] && { [[ -L "$STACK/postgres" ]] || [[ ! -e "$STACK/postgres/postmaster.pid" ]]; }; then
  chmod 700 "$STACK" 2>/dev/null || true
  for place in "$STACK"/*; do
    # Links lead elsewhere, and Postgres has its folder's rights in hand. Files of running services come and go meanwhile.
    if [[ ! -L "$place" && "$place" != "$STACK/postgres" ]]; then chmod -R go= "$place" 2>/dev/null || true; fi
  done
  unset place
fi

ENV_FILE="$STACK/env"         # export lines for the programs; contains passwords, mode 600
SECRETS_FILE="$STACK/secrets" # NAME=value, generated at first use, mode 600
PORTS_FILE="$STACK/ports"     # NAME=port, remembered between runs
RUNTIME="$STACK/runtime"      # files unpacked from wheels; may be a link to another stack's folder, to fetch them once

MACHINE="$(uname -m)"

export USERS_UMASK ROOT STACK ENV_FILE SECRETS_FILE PORTS_FILE RUNTIME MACHINE
