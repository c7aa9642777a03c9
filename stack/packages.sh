# shellcheck shell=bash
# Programs from Debian's packages, installed only when they are missing. An install must leave the machine's
# own services as they were: nothing is started, enabled for the next boot, or given a database cluster.

APT_LOG="$STACK/log/apt.log"

as_root() { if ((EUID == 0)); then "$@"; else sudo -- "$@"; fi; }

# need PROGRAM PACKAGE... : make sure that PROGRAM can be run.
need() {
  local program="$1"
  shift
  command -v "$program" >/dev/null 2>&1 || install_packages "$program" "$@"
}

# install_packages WHAT PACKAGE... : WHAT is the thing missed, for the messages. In a shell of its own, whose end is
# certain to release the services, however the install ends.
install_packages() { (install_now "$@") || exit 1; }

install_now() {
  local what="$1" started
  shift
  command -v apt-get >/dev/null 2>&1 ||
    die "'$what' is missing and this is not a Debian system: install it with your own package manager (Debian calls it: $*)."
  ((EUID == 0)) || command -v sudo >/dev/null 2>&1 ||
    die "'$what' is missing. Installing it needs root: run 'apt-get install --no-install-recommends $*' as root, then try again."
  started="$(date +%s)"
  say "installing Debian's $* (for $what)"
  trap release_services EXIT
  hold_services || die "could not keep the new packages from starting services (no write to $POLICY); nothing was installed."
  if ! apt_install "$@"; then
    # New machines have no package lists, old ones have stale ones.
    as_root apt-get update >>"$APT_LOG" 2>&1 || note "the package lists could not be refreshed; see $APT_LOG"
    apt_install "$@" || die "apt-get could not install: $*." "$APT_LOG"
  fi
  note "installed in $(($(date +%s) - started)) s"
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "$@" >>"$APT_LOG" 2>&1
}

# While packages are being installed, forbid their scripts to start services: the one switch
# Debian has for that is the policy-rc.d program. Whatever was there comes back afterwards.
POLICY=/usr/sbin/policy-rc.d
POLICY_KEPT=/usr/sbin/policy-rc.d.emofleet-kept

hold_services() {
  if [[ ! -e "$POLICY_KEPT" ]]; then # else an interrupted install left it: keep the true original
    if [[ -e "$POLICY" ]]; then as_root mv "$POLICY" "$POLICY_KEPT"; else as_root touch "$POLICY_KEPT"; fi
  fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
}

release_services() {
  if [[ -s "$POLICY_KEPT" ]]; then
    as_root mv -f "$POLICY_KEPT" "$POLICY"
  elif [[ -e "$POLICY_KEPT" ]]; then
    as_root rm -f "$POLICY_KEPT" "$POLICY"
  fi
}

# keep_disabled UNIT... : not started at the next boot either. Only for packages that we have just installed.
keep_disabled() {
  command -v systemctl >/dev/null 2>&1 || return 0
  as_root systemctl disable "$@" >>"$APT_LOG" 2>&1 || true
}
