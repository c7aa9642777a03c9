# shellcheck shell=bash
# Debian packages, installed only when a program is missing. An installation must not change the machine's own services:
# nothing is started, enabled for the next boot, or given a database cluster.

APT_LOG="$STACK/log/apt.log"

as_root() { if ((EUID == 0)); then "$@"; else sudo -- "$@"; fi; }

# need PROGRAM PACKAGE... : installs the packages when PROGRAM is missing.
need() {
  local program="$1"
  shift
  command -v "$program" >/dev/null 2>&1 || install_packages "$program" "$@"
}

# install_packages WHAT PACKAGE... : WHAT is the missing program, for the messages. Runs in a subshell, whose exit trap
# allows services to start again however the installation ends.
install_packages() { (install_now "$@") || exit 1; }

install_now() {
  local what="$1" started
  shift
  umask 022 # what packages install is for every account
  command -v apt-get >/dev/null 2>&1 ||
    die "'$what' is missing and this is not a Debian system: install it with your own package manager (Debian calls it: $*)."
  ((EUID == 0)) || command -v sudo >/dev/null 2>&1 ||
    die "'$what' is missing. Installing it needs root: run 'apt-get install --no-install-recommends $*' as root, then try again."
  started="$(date +%s)"
  say "installing Debian's $* (for $what)"
  trap release_services EXIT
  hold_services || die "could not keep the new packages from starting services (no write to $POLICY); nothing was installed."
  if ! apt_install "$@"; then
    # The package lists may be missing (a new machine) or out of date.
    as_root apt-get update >>"$APT_LOG" 2>&1 || note "the package lists could not be refreshed; see $APT_LOG"
    apt_install "$@" || die "apt-get could not install: $*." "$APT_LOG"
  fi
  note "installed in $(($(date +%s) - started)) s"
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "$@" >>"$APT_LOG" 2>&1
}

# While packages are installed, their scripts must not start services. Debian's switch for this is the program
# policy-rc.d. The machine's own policy-rc.d is restored afterwards.
POLICY=/usr/sbin/policy-rc.d
POLICY_KEPT=/usr/sbin/policy-rc.d.emofleet-kept

hold_services() {
  if [[ ! -e "$POLICY_KEPT" ]]; then # else an interrupted installation left it: it is the original
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

# keep_disabled UNIT... : not started at the next boot either. Only for packages that were just installed.
keep_disabled() {
  command -v systemctl >/dev/null 2>&1 || return 0
  as_root systemctl disable "$@" >>"$APT_LOG" 2>&1 || true
}
