# shellcheck shell=bash
# What the tests and checks need besides services and Rust.

# Programs, with the Debian package of each: synthetic speech, and decoders to compare ours with.
need_test_programs() {
  need ffmpeg ffmpeg
  need espeak-ng espeak-ng
  need sox sox
  need openssl openssl
}

# need_lint_tools: ruff, shellcheck, shfmt and typos, pinned in wheels.lock; puts them on PATH.
need_lint_tools() {
  local folder="$STACK/tools" tool
  mkdir -p "$folder"
  for tool in ruff shellcheck shfmt typos; do
    if [[ "$tool" == shellcheck && "$MACHINE" != x86_64 ]]; then
      need shellcheck shellcheck
    else
      unpack_wheel "$tool" "$folder/$tool"
    fi
  done
  PATH="$folder:$PATH"
}

# Packages for the model's contract test and for the containers' static test in Python, in a folder of their own: no Python installation is changed.
PYTHON_PACKAGES=(pytest==9.2.0 "numpy>=1.26" onnxruntime==1.31.1 docker==7.2.0 check-jsonschema==0.39.0)
PYTHON_FOLDER="$STACK/python"

need_python_packages() {
  local wanted
  wanted="${PYTHON_PACKAGES[*]} $(python3 -V 2>&1)"
  if [[ "$(cat "$PYTHON_FOLDER/wanted" 2>/dev/null)" == "$wanted" ]]; then return; fi
  need_pip
  say "fetching Python packages for tests"
  rm -rf "$PYTHON_FOLDER"
  # shellcheck disable=SC2086 # a command and its arguments
  $PIP install --quiet --only-binary=:all: --target "$PYTHON_FOLDER" "${PYTHON_PACKAGES[@]}" >"$STACK/log/pip.log" 2>&1 ||
    die "pip could not install ${PYTHON_PACKAGES[*]}." "$STACK/log/pip.log"
  echo "$wanted" >"$PYTHON_FOLDER/wanted"
}

# The exporter's tests create their own Python environment, for which Debian's Python needs python3-venv.
need_python_venv() {
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || install_packages "Python's venv" python3-venv
}
