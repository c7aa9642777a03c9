#!/usr/bin/env bash
# Images that stand in for those of docker-compose.yml and Dockerfile, from Debian's packages:  standins.sh WORK WEED
#
# For machines that reach no image registry. They have names of their own, so that nobody takes them for the real ones;
# names.env tells compose and the build to use them. WEED is SeaweedFS's program, as stack/s3.sh fetches it.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
work="$1" weed="$2"

missing() { ! docker image inspect "emofleet-test/$1" >/dev/null 2>&1; }

# build NAME: from the folder NAME.
build() {
  missing "$1" || return 0
  docker build --quiet --tag "emofleet-test/$1" "${2:-$here/standins/$1}" >/dev/null
}

"$here/base-images.sh" "$work"
build rabbitmq
build postgres
if missing s3; then
  rm -rf "$work/s3-context"
  cp -r "$here/standins/s3" "$work/s3-context"
  cp "$weed" "$work/s3-context/weed"
  chmod 755 "$work/s3-context/weed"
  build s3 "$work/s3-context"
  rm -rf "$work/s3-context"
fi
if missing rust; then
  toolchain="$(rustc --print sysroot)"
  tar -c -C "$here/standins/rust" Dockerfile -C "$toolchain" bin lib | docker build --quiet --tag emofleet-test/rust - >/dev/null
fi

cat <<'ENV'
EMOFLEET_IMAGE_RABBITMQ=emofleet-test/rabbitmq
EMOFLEET_IMAGE_POSTGRES=emofleet-test/postgres
EMOFLEET_IMAGE_S3=emofleet-test/s3
EMOFLEET_IMAGE_DEBIAN=emofleet-test/debian:bookworm-slim
EMOFLEET_IMAGE_RUST=emofleet-test/rust
ENV
