#!/usr/bin/env bash
# The files that the worker loads at run time, into .stack/runtime/:
#   libonnxruntime.so   ONNX Runtime (MIT)
#   silero_vad.onnx     Silero voice activity detector, 8 and 16 kHz (MIT)
# A file that the environment already names (EMOFLEET__RUNTIME__ONNXRUNTIME, EMOFLEET__RUNTIME__VAD) is not fetched.
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
provide EMOFLEET__RUNTIME__VAD silero_vad.onnx
