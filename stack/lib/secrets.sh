# shellcheck shell=bash
# Passwords and keys of the private services: generated at first use, kept in a file that only its owner can read,
# never printed and never on a command line (which every user of the machine can list).

# secret NAME: prints its value; generates it when there is none. Letters and digits only, so that it needs no escaping in a URL.
secret() {
  local value=
  if [[ -f "$SECRETS_FILE" ]]; then value="$(sed -n "s/^$1=//p" "$SECRETS_FILE")"; fi
  if [[ -z "$value" ]]; then
    # `head` comes first: with an endless input, `tr` would be ended by SIGPIPE, an error under pipefail.
    value="$(head -c 96 /dev/urandom | base64 | tr -dc 'A-Za-z0-9')"
    value="${value:0:28}"
    (
      umask 077
      echo "$1=$value" >>"$SECRETS_FILE"
    )
  fi
  printf '%s' "$value"
}
