# shellcheck shell=bash
# What the person at the terminal reads: one line per step, with the time since the start.

: "${EMOFLEET_STARTED_AT:=$(date +%s)}"
export EMOFLEET_STARTED_AT # shared with child scripts, so that they all count from one start

elapsed() { printf '%4ds' "$(($(date +%s) - EMOFLEET_STARTED_AT))"; }

# A step that is being taken, and why when that is not plain.
say() { printf '[%s] %s\n' "$(elapsed)" "$*" >&2; }

# Detail under the step above it.
note() { printf '        %s\n' "$*" >&2; }

# The end: what failed and what to do, then the tail of the log that tells more.
#   die SENTENCE [LOG]
die() {
  printf '[%s] FAILED: %s\n' "$(elapsed)" "$1" >&2
  if [[ -n "${2:-}" && -s "$2" ]]; then
    printf '        last lines of %s:\n' "$2" >&2
    tail -n 15 "$2" | sed 's/^/        | /' >&2
  elif [[ -n "${2:-}" ]]; then
    printf '        see %s\n' "$2" >&2
  fi
  exit 1
}
