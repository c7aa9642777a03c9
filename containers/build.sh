#!/bin/sh
# Compiles the programs from what .dockerignore lets through. Runs in the Dockerfile's build stage, and in the tests:
#   build.sh build OUT   release build; programs and the licences of all that is linked into them go to OUT
#   build.sh check       cargo check
set -eu
cd "$(dirname "$0")/.."
programs="worker producer dispatcher console"

# `tests` is a member of the workspace, which Cargo.lock names, but only its manifest is here.
mkdir -p tests/src
: >tests/src/lib.rs
sed -n '/^\[\[bench/,/^name/s/^name = "\(.*\)"/\1/p' tests/Cargo.toml | while read -r bench; do
  mkdir -p "tests/benches/$bench"
  : >"tests/benches/$bench/main.rs"
done

flags=
for program in $programs; do flags="$flags --bin $program"; done
case "${1:-}" in
  build)
    out="$2"
    # The target folder is a cache that builds of other checkouts use too, and Cargo compares times only: files older
    # than the last build would leave that checkout's program in place.
    find . -type f -exec touch {} +
    # shellcheck disable=SC2086 # a list
    cargo build --locked --release $flags
    mkdir -p "$out"
    for program in $programs; do cp "${CARGO_TARGET_DIR:-target}/release/$program" "$out/"; done
    containers/notices.sh "$out/THIRD-PARTY.txt"
    ;;
  check)
    # shellcheck disable=SC2086 # a list
    cargo check --locked --quiet $flags
    ;;
  *) echo "usage: build.sh build OUT | check" >&2 && exit 2 ;;
esac
