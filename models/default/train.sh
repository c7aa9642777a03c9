#!/usr/bin/env bash
# Trains, calibrates, exports and evaluates the default model: train.sh --data DIR --out DIR [--work DIR]
# Every stage keeps what it made under --work (default OUT/work), so that running it again goes on where it stopped.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${EMOFLEET_DATA:-} out="" work=""
while (($#)); do
  case $1 in
    --data) data=$2 ;;
    --out) out=$2 ;;
    --work) work=$2 ;;
    *) echo "unknown option $1; usage: train.sh --data DIR --out DIR [--work DIR]" >&2; exit 2 ;;
  esac
  shift 2
done
[[ -n $data ]] || { echo "give --data DIR (the folder with speech/manifest.tsv) or set EMOFLEET_DATA" >&2; exit 2; }
[[ -n $out ]] || { echo "give --out DIR: where model.onnx, model.json and metrics.json go" >&2; exit 2; }
data=$(realpath "$data") out=$(realpath -m "$out") work=$(realpath -m "${work:-$out/work}")
mkdir -p "$out" "$work"

python=${PYTHON:-python3.11}
venv=$work/venv
if ! cmp -s "$here/requirements.lock" "$venv/installed.lock"; then
  echo "installing the locked packages into $venv (about 5 GB once unpacked)"
  "$python" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --no-deps --require-hashes -r "$here/requirements.lock"
  cp "$here/requirements.lock" "$venv/installed.lock"
fi

# Threads that wait without spinning leave the cores to whoever else needs them.
export OMP_WAIT_POLICY=passive PYTHONPATH=$here
stage() { echo "== $1"; nice -n 19 "$venv/bin/python" -m "trainer.$1" --data "$data" --work "$work" "${@:2}"; }
stage audio
stage teacher
stage features
stage train
stage calibrate --out "$out"
stage evaluate --out "$out"
echo "model.onnx, model.json and metrics.json are in $out"
