# shellcheck shell=bash
# Messages on the terminal: one line per step, with the time since the start.

: "${EMOFLEET_STARTED_AT:=$(date +%s)}"
export EMOFLEET_STARTED_AT # shared with child scripts, so that all count from the same start

elapsed() { printf '%4ds' "$(($(date +%s) - EMOFLEET_STARTED_AT))"; }

# say TEXT: a step that begins, with the reason where it is not obvious.
say() { printf '[%s] %s\n' "$(elapsed)" "$*" >&2; }

# note TEXT: a detail of the step above it.
note() { printf '        %s\n' "$*" >&2; }

# die SENTENCE [LOG]: prints what failed and what to do, then the last lines of the log, and exits.
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
