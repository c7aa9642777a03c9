# shellcheck shell=bash
# Sourced by export.sh, use.sh and test.sh: the exporter's own Python environment, created once from requirements.txt.
# EMOFLEET_EXPORT_VENV is its folder. About 5 GB: PyTorch's package for Linux contains its GPU libraries.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=${EMOFLEET_EXPORT_VENV:-${EMOFLEET_STACK_DIR:-$(cd "$HERE/../.." && pwd)/.stack}/exporter}
case "$VENV" in /*) ;; *) VENV=$PWD/$VENV ;; esac
STAMP=$VENV/requirements.sha256
WANTED=$(sha256sum "$HERE/requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$STAMP" 2>/dev/null)" != "$WANTED" ]; then
  fail() { echo "$1" >&2 && exit 1; }
  echo "creating the exporter's Python environment in $VENV: 5 GB, a few minutes, once" >&2
  "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed; set PYTHON to one"
  "${PYTHON:-python3}" -m venv "$VENV" || fail "python3 -m venv failed: on Debian, install python3-venv"
  # --no-deps: requirements.txt lists all that is used, and leaves out what FunASR needs for its other models only, and what
  # PyTorch loads for a GPU only. Of pip's output, only the large downloads and the start of the unpacking are shown.
  (
    set -o pipefail
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --progress-bar off --no-deps -r "$HERE/requirements.txt" |
      sed -u -n 's/^ *Downloading \(.*\/\)\?\([^ /]* ([0-9.]* [MG]B)\).*/  \2/p; s/^Installing.*/  unpacking/p'
  ) >&2 || fail "pip failed (is PyPI, or the index of your pip configuration, reachable?); run it again to continue. Without a
network: export on a machine that has one (models/emotion2vec/README.md), copy the exported folder (model.onnx, model.json)
to this one, and run: ./run.sh model use FOLDER"
  echo "$WANTED" >"$STAMP"
fi
export PYTHONPATH=$HERE PYTHONDONTWRITEBYTECODE=1
