#!/usr/bin/env bash
# The models against this processor's own limit: ./limits.sh   (--help for the rest)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$VENV/bin/python" -m measure.limits "$@"
