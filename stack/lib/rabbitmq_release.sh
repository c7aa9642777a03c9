# shellcheck shell=bash
# Which RabbitMQ the stack runs natively: Debian's package of this machine, or a newer release, unpacked beside it with the Erlang and
# the C library that it was built for. Nothing of it is installed, and no root is needed.
#
# EMOFLEET_RABBITMQ=4.0 (or 4.3, or 4 for the first) chooses one; `system` is the machine's own. A stack keeps its choice. Each release has
# data of its own, since one can't open another one's.

RELEASE_FILE="$STACK/rabbitmq-release"

# rabbitmq_release: prints the release; nothing for the machine's own.
rabbitmq_release() {
  local wanted="${EMOFLEET_RABBITMQ:-}"
  if [[ -z "$wanted" && -f "$RELEASE_FILE" ]]; then wanted="$(<"$RELEASE_FILE")"; fi
  case "$wanted" in
    "" | system) ;;
    4) printf 4.0 ;;
    4.0 | 4.3) printf '%s' "$wanted" ;;
    *) die "EMOFLEET_RABBITMQ must be system, 4, 4.0 or 4.3, not '$wanted'." ;;
  esac
}

RABBITMQ_RELEASE="$(rabbitmq_release)"
RELEASES="$(cd "$RUNTIME" && pwd -P)" # stacks that share their runtime files share the releases
RELEASE_ROOT="$RELEASES/rabbitmq-$RABBITMQ_RELEASE"

# Where Debian's packages are: the mirrors that apt is configured for, then the public ones.
debian_mirrors() {
  if [[ -n "${EMOFLEET_DEBIAN_MIRROR:-}" ]]; then printf '%s\n' "$EMOFLEET_DEBIAN_MIRROR"; fi
  # shellcheck disable=SC2016 # a field of apt's
  apt-get indextargets --format '$(SITE)' 2>/dev/null | sort -u | grep -vE 'security|updates' | grep -E '/debian/?$' || true
  printf '%s\n' http://deb.debian.org/debian https://snapshot.debian.org/archive/debian/20261126T000000Z
}

# Exit code of `rabbitmq.sh fetch`: the packages can't be fetched, so what asked for them may go without.
NOT_FETCHED=75

# fetch_release: unpacks the chosen release, unless it is there. Fails with $NOT_FETCHED when its packages can't be fetched.
fetch_release() {
  [[ -n "$RABBITMQ_RELEASE" ]] || return 0
  local pinned work log="$STACK/log/rabbitmq-release.log" status=0 package
  local -a mirrors
  # A release that was unpacked elsewhere, or from other packages, is unpacked again: its scripts contain its path.
  pinned="$RELEASE_ROOT $(sha256sum "$ROOT/stack/debs.lock")"
  if [[ "$(cat "$RELEASE_ROOT/unpacked" 2>/dev/null)" == "$pinned" ]]; then return; fi
  if ! command -v dpkg-deb >/dev/null 2>&1; then
    say "RabbitMQ $RABBITMQ_RELEASE is unpacked from Debian's packages, and dpkg-deb is missing."
    exit "$NOT_FETCHED"
  fi
  need python3 python3
  exec 8>"$RELEASES/.rabbitmq-lock"
  flock 8 # another stack may unpack the same
  if [[ "$(cat "$RELEASE_ROOT/unpacked" 2>/dev/null)" == "$pinned" ]]; then exec 8>&- && return; fi
  say "fetching RabbitMQ $RABBITMQ_RELEASE with its Erlang from Debian (45 MB; hashes are checked)"
  mapfile -t mirrors < <(debian_mirrors | awk '!seen[$0]++')
  work="$RELEASES/.debs-$RABBITMQ_RELEASE" # kept when it fails: the next run goes on
  mkdir -p "$work"
  python3 "$STACK_SCRIPTS/fetch_debs.py" "$ROOT/stack/debs.lock" "$RABBITMQ_RELEASE" "$MACHINE" "$work" "${mirrors[@]}" >"$log" 2>&1 || status=$?
  if ((status == NOT_FETCHED)); then
    say "RabbitMQ $RABBITMQ_RELEASE could not be fetched:"
    sed 's/^/        | /' "$log" >&2
    note "EMOFLEET_DEBIAN_MIRROR=http://HOST/debian names another mirror; when a version has gone, update stack/debs.lock"
    exit "$NOT_FETCHED"
  fi
  ((status == 0)) || die "the packages of RabbitMQ $RABBITMQ_RELEASE are not those of stack/debs.lock." "$log"
  rm -rf "$RELEASE_ROOT"
  mkdir -p "$RELEASE_ROOT"
  for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$RELEASE_ROOT" >>"$log" 2>&1 || die "$(basename "$package") could not be unpacked." "$log"
  done
  relocate_release
  rm -rf "$work"
  echo "$pinned" >"$RELEASE_ROOT/unpacked"
  exec 8>&-
}

# Erlang's programs are started by the loader of their own C library, and its scripts find them here.
relocate_release() {
  local libraries="$RELEASE_ROOT/usr/lib/$MACHINE-linux-gnu" loader file folder
  loader="$(find "$libraries" -maxdepth 1 -name 'ld-linux-*' | head -n 1)"
  [[ -n "$loader" ]] || die "the packages of RabbitMQ $RABBITMQ_RELEASE contain no loader of the C library."
  for file in "$RELEASE_ROOT"/usr/lib/erlang/{bin,erts-*/bin,lib/*/priv/bin}/*; do
    [[ -f "$file" && ! -L "$file" ]] || continue
    if [[ "$(head -c 4 "$file" | tail -c 3)" == ELF ]]; then
      folder="$(dirname "$file")/programs"
      mkdir -p "$folder"
      mv "$file" "$folder/"
      # shellcheck disable=SC2016 # $0 and $@ belong to the script that is written
      printf '#!/bin/sh\nexec "%s" --library-path "%s" --argv0 "$0" "%s" "$@"\n' \
        "$loader" "$libraries" "$folder/$(basename "$file")" >"$file"
      chmod 755 "$file"
    elif [[ "$(head -c 2 "$file")" == '#!' ]]; then
      sed -i "s#/usr/lib/erlang#$RELEASE_ROOT/usr/lib/erlang#g" "$file"
    fi
  done
}
