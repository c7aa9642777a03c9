#!/usr/bin/env bash
# Exports an emotion2vec+ checkpoint: ./export.sh iic/emotion2vec_plus_large --out DIR   (--help for the rest)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$VENV/bin/python" -m exporter.export "$@"
