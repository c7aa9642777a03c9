# shellcheck shell=bash
# Where the private stack lives. Sourced first by every script of stack/.
#
# EMOFLEET_STACK_DIR moves the whole stack elsewhere (two checkouts, a fast disk).

# Someone else's locale must not change what programs print or how names are sorted.
export LC_ALL=C.UTF-8

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
STACK="${EMOFLEET_STACK_DIR:-$ROOT/.stack}"
case "$STACK" in /*) ;; *) STACK="$PWD/$STACK" ;; esac

mkdir -p "$STACK/log" "$STACK/run" "$STACK/runtime"

ENV_FILE="$STACK/env"         # export lines for the programs; holds passwords, mode 600
SECRETS_FILE="$STACK/secrets" # NAME=value, made at first use, mode 600
PORTS_FILE="$STACK/ports"     # NAME=port, remembered between runs
RUNTIME="$STACK/runtime" # what came out of wheels; may be a link to another stack's, so that it is fetched once

MACHINE="$(uname -m)"

export ROOT STACK ENV_FILE SECRETS_FILE PORTS_FILE RUNTIME MACHINE
