#!/usr/bin/env bash
# Trains, calibrates, exports and evaluates the default model:
#   train.sh --data DIR --out DIR [--work DIR] [--device cpu|cuda] [--share N | --trial] [--leave-one-out] [--previous DIR]
# Every stage keeps what it made under --work (default OUT/work), so that running it again goes on where it stopped.
# --share: percent of the recipe's steps (default 100), for a quicker and worse model. --leave-one-out: also the runs that
# calibration comes from (else its values are taken from metrics.json here). --previous: a model to be scored beside.
# --trial: three steps of a few seconds each, to see that all stages work on this machine: a whole model file that knows
# nothing. --python FILE: a Python that has the packages of requirements.lock; then nothing is installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${EMOFLEET_DATA:-} out="" work="" device=cpu share=100 leave="" previous=() python="" steps=() repeats=40 version=()
while (($#)); do
  case $1 in
    --data) data=$2 ;;
    --out) out=$2 ;;
    --work) work=$2 ;;
    --device) device=$2 ;;
    --share) share=$2 ;;
    --previous) previous=(--previous "$2") ;;
    --python) python=$2 ;;
    --trial)
      steps=(--steps 3 --seconds 8 --save-every 1) repeats=2 version=(--version trial)
      shift
      continue
      ;;
    --leave-one-out)
      leave="emodb banglaser"
      shift
      continue
      ;;
    *)
      echo "unknown option $1; see the head of train.sh" >&2
      exit 2
      ;;
  esac
  shift 2
done
[[ -n $data ]] || {
  echo "give --data DIR (the folder with speech/manifest.tsv) or set EMOFLEET_DATA" >&2
  exit 2
}
[[ -n $out ]] || {
  echo "give --out DIR: where model.onnx, model.json and metrics.json go" >&2
  exit 2
}
data=$(realpath "$data") out=$(realpath -m "$out") work=$(realpath -m "${work:-$out/work}")
mkdir -p "$out" "$work"

# --device cuda needs a torch of your own that sees the GPU: --python (or PYTHON) names it, and nothing is installed.
if [[ -n $python ]]; then
  PYTHON=$python
elif [[ $device == cpu ]]; then
  venv=$work/venv
  if ! cmp -s "$here/requirements.lock" "$venv/installed.lock"; then
    echo "installing the locked packages into $venv (about 5 GB once unpacked)"
    "${PYTHON:-python3.11}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --no-deps --require-hashes -r "$here/requirements.lock"
    cp "$here/requirements.lock" "$venv/installed.lock"
  fi
  PYTHON=$venv/bin/python
fi

# Threads that wait without spinning leave the cores to whoever else needs them.
export OMP_WAIT_POLICY=passive PYTHONPATH=$here
stage() {
  echo "== $1 ${*:2}"
  nice -n 19 "${PYTHON:-python3}" -m "trainer.$1" --data "$data" --work "$work" "${@:2}"
}
learn() {
  local few=(--steps $(($3 * share / 100)))
  if ((${#steps[@]})); then few=("${steps[@]}"); fi
  stage train --device "$device" --name "$1" --recipe "$2" "${few[@]}" "${@:4}"
}
stage audio
stage codecs
learn teacher teacher 900
learn first first 4000 --teacher "$work/teacher.pt"
learn student second 3300 --teacher "$work/teacher.pt" --start "$work/first.pt"
for corpus in $leave; do
  learn "teacher-$corpus" teacher 500 --leave-out "$corpus"
  learn "first-$corpus" first 1200 --leave-out "$corpus" --teacher "$work/teacher-$corpus.pt"
  learn "loco-$corpus" second 1500 --leave-out "$corpus" --teacher "$work/teacher-$corpus.pt" --start "$work/first-$corpus.pt"
  stage judge --device "$device" --names "loco-$corpus"
done
stage judge --device "$device" --names student
stage calibrate --out "$out" "${version[@]}"
stage advise --out "$out"
stage evaluate --out "$out" --repeats "$repeats" "${previous[@]}"
echo "model.onnx, model.json and metrics.json are in $out"
