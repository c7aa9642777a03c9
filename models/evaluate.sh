#!/usr/bin/env bash
# Scores a labelled folder through the worker's own pipeline: evaluate.sh MANIFEST [--worker PROGRAM] [--model DIR] [--json FILE]
# MANIFEST is a table with columns `path` and `emotion` (models/evaluation/README.md). Needs Python 3.11 and a worker, nothing else.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
exec "${PYTHON:-python3}" -m evaluation "$@"
