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

# Packages for the tests in Python: the model's contract, the scripts, the containers' static test. In a folder of their own: no
# Python installation is changed.
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

# Clients of other projects that the console is tested with, each in a folder of its own.
CLIENTS_FOLDER="$STACK/clients"
GRADIO_CLIENTS=(0.6.1 1.3.0 2.7.2)
NPM_PACKAGES=(@gradio/client@2.7.0 playwright-core@1.65.1 axe-core@4.14.0)
SCHEMATHESIS=4.32.0
NUMPY=2.4.6

need_console_clients() {
  local version folder wanted
  for version in "${GRADIO_CLIENTS[@]}"; do
    python_folder "$CLIENTS_FOLDER/gradio_client-$version" "gradio_client==$version"
  done
  python_folder "$CLIENTS_FOLDER/schemathesis" "schemathesis==$SCHEMATHESIS"
  python_folder "$CLIENTS_FOLDER/numpy" "numpy==$NUMPY"
  need node nodejs
  need npm npm
  folder="$CLIENTS_FOLDER/js" wanted="${NPM_PACKAGES[*]}"
  if [[ "$(cat "$folder/wanted" 2>/dev/null)" == "$wanted" ]]; then return; fi
  say "fetching npm packages for the console's tests"
  mkdir -p "$folder"
  (cd "$folder" && echo '{"private":true}' >package.json && npm install --silent --no-audit --no-fund "${NPM_PACKAGES[@]}") \
    >"$STACK/log/npm.log" 2>&1 || die "npm could not install $wanted." "$STACK/log/npm.log"
  echo "$wanted" >"$folder/wanted"
}

# python_folder FOLDER PACKAGE
python_folder() {
  local wanted
  wanted="$2 $(python3 -V 2>&1)"
  if [[ "$(cat "$1/wanted" 2>/dev/null)" == "$wanted" ]]; then return; fi
  need_pip
  say "fetching $2 for the console's tests"
  rm -rf "$1"
  # shellcheck disable=SC2086 # a command and its arguments
  $PIP install --quiet --only-binary=:all: --target "$1" "$2" >"$STACK/log/pip.log" 2>&1 || die "pip could not install $2." "$STACK/log/pip.log"
  echo "$wanted" >"$1/wanted"
}

# A browser, and fonts with Chinese and emoji.
need_browser() {
  command -v chromium >/dev/null 2>&1 || install_packages "a browser" chromium fonts-noto-cjk fonts-noto-color-emoji
}
