# shellcheck shell=bash
# What the tests need beyond services and Rust: the one list of it.

# Programs, with Debian's package for each: speech to test with, and decoders to compare ours with.
need_test_programs() {
  need ffmpeg ffmpeg
  need espeak-ng espeak-ng
  need sox sox
  need openssl openssl
}

# Packages for the model's contract test in Python, in a folder of their own: no Python installation is touched.
PYTHON_PACKAGES=(pytest==9.2.0 "numpy>=1.26" onnxruntime==1.31.1)
PYTHON_FOLDER="$STACK/python"

need_python_packages() {
  local wanted
  wanted="${PYTHON_PACKAGES[*]} $(python3 -V 2>&1)"
  if [[ "$(cat "$PYTHON_FOLDER/wanted" 2>/dev/null)" == "$wanted" ]]; then return; fi
  need_pip
  say "fetching Python packages for the model's contract test"
  rm -rf "$PYTHON_FOLDER"
  # shellcheck disable=SC2086 # a command and its arguments
  $PIP install --quiet --only-binary=:all: --target "$PYTHON_FOLDER" "${PYTHON_PACKAGES[@]}" >"$STACK/log/pip.log" 2>&1 ||
    die "pip could not install ${PYTHON_PACKAGES[*]}." "$STACK/log/pip.log"
  echo "$wanted" >"$PYTHON_FOLDER/wanted"
}

# The exporter's tests bring their own Python environment; only the means to make one can be missing.
need_python_venv() {
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || install_packages "Python's venv" python3-venv
}
