#!/usr/bin/env bash
# Models with random weights in each precision, to measure with: ./random_models.sh OUT [--size narrow]   (--help for the rest)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$VENV/bin/python" -m measure.random_models "$@"
