#!/usr/bin/env bash
# A published model by its name, down to a folder that workers load, which is printed: ./use.sh emotion2vec+large --models DIR
# (`./run.sh model use` calls it; --help for the rest)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$VENV/bin/python" -m exporter.use "$@"
