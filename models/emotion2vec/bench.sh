#!/usr/bin/env bash
# The exported models against FunASR on this machine, as workers run them: ./bench.sh   (--help for the rest)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$VENV/bin/python" -m measure.peer "$@"
