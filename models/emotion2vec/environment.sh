# Sourced by export.sh and test.sh: the exporter's own Python environment, made once from requirements.txt.
# EMOFLEET_EXPORT_VENV puts it elsewhere. About 5 GB: PyTorch's package for Linux brings its GPU libraries along.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=${EMOFLEET_EXPORT_VENV:-${EMOFLEET_STACK_DIR:-$(cd "$HERE/../.." && pwd)/.stack}/exporter}
case "$VENV" in /*) ;; *) VENV=$PWD/$VENV ;; esac
STAMP=$VENV/requirements.sha256
WANTED=$(sha256sum "$HERE/requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$STAMP" 2>/dev/null)" != "$WANTED" ]; then
  echo "making the exporter's Python environment in $VENV: 5 GB, a few minutes, once" >&2
  "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON to one" >&2; exit 1; }
  "${PYTHON:-python3}" -m venv "$VENV" || { echo "python3 -m venv failed: on Debian, install python3-venv" >&2; exit 1; }
  # --no-deps: requirements.txt lists everything that is used, and leaves out what FunASR needs for its other models only, and what
  # PyTorch loads for a GPU only. Of pip's many lines, the large downloads and the long unpacking are told.
  (set -o pipefail
   "$VENV/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --progress-bar off --no-deps -r "$HERE/requirements.txt" |
     sed -u -n 's/^ *Downloading \(.*\/\)\?\([^ /]* ([0-9.]* [MG]B)\).*/  \2/p; s/^Installing.*/  unpacking/p') >&2 ||
    { echo "pip failed (is PyPI, or the index of your pip configuration, reachable?); run it again to go on" >&2; exit 1; }
  echo "$WANTED" >"$STAMP"
fi
export PYTHONPATH=$HERE PYTHONDONTWRITEBYTECODE=1
