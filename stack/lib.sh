# shellcheck shell=bash
# Everything that the scripts share. The first line of each script sources this file; each file of lib/ says what it holds.
set -euo pipefail

STACK_SCRIPTS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)" # the folder stack/
export STACK_SCRIPTS
. "$STACK_SCRIPTS/lib/place.sh" # first: the others use the paths that it sets
. "$STACK_SCRIPTS/lib/messages.sh"
. "$STACK_SCRIPTS/lib/ports.sh"
. "$STACK_SCRIPTS/lib/secrets.sh"
. "$STACK_SCRIPTS/lib/processes.sh"
. "$STACK_SCRIPTS/lib/packages.sh"
. "$STACK_SCRIPTS/lib/wheels.sh"
. "$STACK_SCRIPTS/lib/compose.sh"
. "$STACK_SCRIPTS/lib/kinds.sh"
. "$STACK_SCRIPTS/lib/model.sh"
. "$STACK_SCRIPTS/lib/environment.sh"
. "$STACK_SCRIPTS/lib/rust.sh"
