#!/usr/bin/env bash
# Debian's base image by debootstrap, reduced as the official slim images are:  base-images.sh WORK
#
# For machines that reach Debian's packages but no image registry. Needs root and an engine (engine.sh). The host's own
# certificate authorities go along: a package mirror behind one of them stays reachable from a build.
set -euo pipefail
work="$1"
# shellcheck disable=SC2016 # for apt-get to expand
mirror="$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)"

for suite in bookworm trixie; do
  image="emofleet-test/debian:$suite-slim"
  if docker image inspect "$image" >/dev/null 2>&1; then continue; fi
  root="$work/$suite"
  if [[ ! -e "$root/etc/debian_version" ]]; then
    PATH="$work/engine/usr/sbin:$PATH" DEBOOTSTRAP_DIR="$work/engine/usr/share/debootstrap" \
      debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$work/debootstrap-$suite.log" 2>&1 ||
      { tail "$work/debootstrap-$suite.log" >&2 && exit 1; }
  fi
  printf 'deb %s %s main\n' "$mirror" "$suite" >"$root/etc/apt/sources.list"
  mkdir -p "$root/usr/local/share/ca-certificates"
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  # As in the official images: apt keeps no archives and no binary caches.
  printf '%s\n' 'APT::Keep-Downloaded-Packages "false";' 'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' \
    'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };' >"$root/etc/apt/apt.conf.d/docker-clean"
  tar -C "$root" -c --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' --exclude='./var/cache/apt/*' \
    --exclude='./var/lib/apt/lists/*' --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
    --exclude='./var/log/*.log' . | docker import --change 'CMD ["bash"]' - "$image" >/dev/null
  rm -rf "$root"
done
