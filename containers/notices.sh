#!/bin/sh
# Licences of all crates that are linked into the programs, with their texts:  notices.sh INTO
#
# Needs the sources of the crates, so it runs after a build. Equal texts are printed once, below the crates that they belong to.
set -eu
into="$1"
host="$(rustc -vV | sed -n 's/^host: //p')"
sources="${CARGO_HOME:-$HOME/.cargo}/registry/src"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

for program in worker producer dispatcher console; do
  cargo tree --locked --offline --target "$host" --edges normal --prefix none --format '{p}|{l}' -p "emofleet-$program"
done | sed 's/ (proc-macro)//; s/ (\*)//' | grep -v '^emofleet-' | sed 's/^\([^ ]*\) v\([^| ]*\)[^|]*|/\1-\2|/' | sort -u >"$work/crates"

mkdir "$work/texts"
while IFS='|' read -r crate licence; do
  found=
  for folder in "$sources"/*/"$crate"; do
    for text in "$folder"/LICEN[CS]E* "$folder"/license* "$folder"/COPYING* "$folder"/COPYRIGHT* "$folder"/NOTICE* "$folder"/UNLICENSE*; do
      [ -f "$text" ] || continue
      found=yes
      name="$(sha256sum <"$text" | cut -c1-16)"
      [ -e "$work/texts/$name" ] || cp "$text" "$work/texts/$name"
      echo "$crate" >>"$work/texts/$name.crates"
    done
  done
  [ -n "$found" ] || echo "$crate ($licence)" >>"$work/without"
done <"$work/crates"

{
  echo 'Software of others that is linked into the programs of this image.'
  echo
  echo 'Crate and version                                  Licence'
  while IFS='|' read -r crate licence; do printf '%-50s %s\n' "$crate" "$licence"; done <"$work/crates"
  if [ -s "$work/without" ]; then
    printf '\nTheir packages hold no text of the licence named above:\n'
    sed 's/^/  /' "$work/without"
  fi
  for crates in "$work"/texts/*.crates; do
    printf '\n%s\n' '--------------------------------------------------------------------------------'
    sort -u "$crates" | tr '\n' ' ' | fold -s -w 118
    printf '\n\n'
    cat "${crates%.crates}"
  done
} >"$into"
