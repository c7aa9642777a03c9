#!/usr/bin/env bash
# emofleet against Celery + FunASR on the same RabbitMQ, S3 and Postgres: ./bench.sh --size narrow   (--help for the rest)
set -euo pipefail
FOLDER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$FOLDER/../environment.sh"

# On top of the exporter's environment, which has FunASR: the packages of requirements.lock. EMOFLEET_PEER_VENV is its folder.
PEER_VENV=${EMOFLEET_PEER_VENV:-${EMOFLEET_STACK_DIR:-$(cd "$FOLDER/../../.." && pwd)/.stack}/peer_fleet}
WANTED=$(cat "$FOLDER/requirements.lock" "$HERE/requirements.txt" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$PEER_VENV/requirements.sha256" 2>/dev/null)" != "$WANTED" ]; then
  echo "creating the peer fleet's Python environment in $PEER_VENV" >&2
  "$VENV/bin/python" -m venv --clear "$PEER_VENV"
  "$PEER_VENV/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --progress-bar off --quiet \
    --no-deps --require-hashes -r "$FOLDER/requirements.lock" >&2
  "$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    >"$("$PEER_VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/exporter.pth"
  echo "$WANTED" >"$PEER_VENV/requirements.sha256"
fi
exec "$PEER_VENV/bin/python" -m peer_fleet.bench "$@"
