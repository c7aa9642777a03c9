# Sourced by export.sh and test.sh: the exporter's own Python environment, made once from requirements.txt.
# EMOFLEET_EXPORT_VENV puts it elsewhere. About 5 GB: PyTorch's package for Linux brings its GPU libraries along.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=${EMOFLEET_EXPORT_VENV:-$HERE/.venv}
STAMP=$VENV/requirements.sha256
WANTED=$(sha256sum "$HERE/requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$STAMP" 2>/dev/null)" != "$WANTED" ]; then
  echo "making the exporter's Python environment in $VENV (a few minutes)" >&2
  "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON to one" >&2; exit 1; }
  "${PYTHON:-python3}" -m venv "$VENV" || { echo "python3 -m venv failed: on Debian, install python3-venv" >&2; exit 1; }
  # --no-deps: requirements.txt lists everything that is used, and leaves out what FunASR needs for its other models only.
  "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$HERE/requirements.txt" || exit 1
  echo "$WANTED" >"$STAMP"
fi
export PYTHONPATH=$HERE PYTHONDONTWRITEBYTECODE=1
