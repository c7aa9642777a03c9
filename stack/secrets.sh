# shellcheck shell=bash
# Passwords and keys of the private services: made at first use, kept in a file only its owner
# reads, never printed and never on a command line (which every user of the machine can list).

# secret NAME: its value; made when there is none yet. Letters and digits only, so that it can stand in a URL.
secret() {
  local value=
  if [[ -f "$SECRETS_FILE" ]]; then value="$(sed -n "s/^$1=//p" "$SECRETS_FILE")"; fi
  if [[ -z "$value" ]]; then
    # `head` first: reading /dev/urandom without end would leave `tr` to die of SIGPIPE under pipefail.
    value="$(head -c 96 /dev/urandom | base64 | tr -dc 'A-Za-z0-9')"
    value="${value:0:28}"
    (
      umask 077
      echo "$1=$value" >>"$SECRETS_FILE"
    )
  fi
  printf '%s' "$value"
}
