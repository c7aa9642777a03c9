#!/usr/bin/env bash
# Tests the exporter against FunASR on a narrow network; --full adds the full width (6 GB of memory, minutes).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$HERE/tests"
exec "$VENV/bin/python" -m pytest -q -p no:cacheprovider "$@"
