#!/usr/bin/env bash
# The file that the worker loads at run time, into .stack/runtime/: libonnxruntime.so, ONNX Runtime (MIT).
# It is not fetched when the environment names one already (EMOFLEET__RUNTIME__ONNXRUNTIME).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# provide VARIABLE FILE
provide() {
  local named="${!1:-}"
  if [[ -z "$named" || "$named" == "$RUNTIME/$2" ]]; then
    unpack_wheel "$2" "$RUNTIME/$2"
  else
    [[ -s "$named" ]] || die "$1 names $named, which does not exist: unset it to have the file fetched."
  fi
}

provide EMOFLEET__RUNTIME__ONNXRUNTIME libonnxruntime.so
