#!/usr/bin/env bash
# A Docker engine for tests on a machine that has none:  engine.sh start|stop|env WORK
#
# From Debian's packages, unpacked under WORK and not installed: the machine's own programs and services stay as they are.
# The engine listens on WORK/docker.sock only, so no other program takes it for the machine's engine. Needs root.
# `env` prints the export lines for a shell that is to use it.
set -euo pipefail

verb="${1:-}" work="${2:-}"
[[ -n "$work" ]] || { echo "usage: engine.sh start|stop|env WORK" >&2 && exit 2; }
mkdir -p "$work"
work="$(cd "$work" && pwd -P)"
engine="$work/engine"

# Debian's compose and buildx plug-ins are single programs without dependencies; the release after bookworm is the first that has them.
PLUGIN_SUITE=trixie
PACKAGES=(docker.io containerd runc tini iptables libip4tc2 libip6tc2 libxtables12 libnftnl11 libmnl0 libnetfilter-conntrack3
  libnfnetlink0 libdevmapper1.02.1 libseccomp2 debootstrap)

# shellcheck disable=SC2016 # for apt-get to expand
mirror() { apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1; }

unpack() {
  local apt deb
  [[ ! -e "$work/unpacked" ]] || return 0
  mkdir -p "$work/packages" "$work/plugins/lists/partial" "$work/plugins/cache/archives/partial" "$engine" "$work/config/cli-plugins"
  apt-get indextargets | grep -q . || apt-get update -qq
  (cd "$work/packages" && apt-get download -qq "${PACKAGES[@]}")
  for deb in "$work"/packages/*.deb; do dpkg-deb -x "$deb" "$engine"; done
  mkdir -p "$engine/bin"
  # The kernel decides which of the two kinds of iptables works.
  local multi=xtables-nft-multi name
  if ! with_libraries "$engine/usr/sbin/$multi" iptables -t nat -L >/dev/null 2>&1; then multi=xtables-legacy-multi; fi
  for name in iptables ip6tables iptables-save ip6tables-save iptables-restore ip6tables-restore; do
    ln -sf "../usr/sbin/$multi" "$engine/bin/$name"
  done
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $PLUGIN_SUITE main" >"$work/plugins/sources.list"
  apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/plugins/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$work/plugins/lists" -o Dir::Cache="$work/plugins/cache")
  "${apt[@]}" update
  (cd "$work/plugins" && "${apt[@]}" download docker-compose docker-buildx && for deb in *.deb; do dpkg-deb -x "$deb" unpacked; done)
  find "$work/plugins/unpacked" -path '*cli-plugins*' -type f -exec cp {} "$work/config/cli-plugins/" \;
  rm -rf "$work/packages" "$work/plugins/lists" "$work/plugins/unpacked"
  touch "$work/unpacked"
}

with_libraries() {
  env PATH="$engine/bin:$engine/usr/bin:$engine/usr/sbin:$PATH" XTABLES_LIBDIR="$engine/usr/lib/$(uname -m)-linux-gnu/xtables" \
    LD_LIBRARY_PATH="$engine/usr/lib/$(uname -m)-linux-gnu:$engine/lib/$(uname -m)-linux-gnu" "$@"
}

answers() { DOCKER_HOST="unix://$work/docker.sock" "$engine/usr/bin/docker" version >/dev/null 2>&1; }

start() {
  unpack
  if answers; then return; fi
  with_libraries iptables-save >"$work/iptables"
  with_libraries setsid dockerd -H "unix://$work/docker.sock" --data-root "$work/data" --exec-root "$work/exec" \
    --pidfile "$work/pid" </dev/null >"$work/log" 2>&1 &
  for _ in {1..120}; do
    if answers; then return; fi
    sleep 0.5
  done
  tail -n 20 "$work/log" >&2
  echo "the engine did not start: $work/log" >&2
  exit 1
}

stop() {
  local pid
  [[ -s "$work/pid" ]] || return 0
  pid="$(cat "$work/pid")"
  [[ "$(cat "/proc/$pid/comm" 2>/dev/null)" == dockerd ]] || return 0
  kill "$pid"
  for _ in {1..240}; do
    if [[ ! -e "/proc/$pid" ]]; then
      with_libraries iptables-restore <"$work/iptables" # the engine leaves its rules behind
      return
    fi
    sleep 0.5
  done
  echo "the engine (pid $pid) did not end" >&2
  exit 1
}

case "$verb" in
  start) start ;;
  stop) stop ;;
  env)
    printf 'export DOCKER_HOST=unix://%s/docker.sock DOCKER_CONFIG=%s/config\n' "$work" "$work"
    # shellcheck disable=SC2016 # for the shell that reads it
    command -v docker >/dev/null || printf 'export PATH=%s/usr/bin:$PATH\n' "$engine"
    ;;
  *) echo "usage: engine.sh start|stop|env WORK" >&2 && exit 2 ;;
esac
