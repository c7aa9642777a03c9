#!/usr/bin/env bash
# Real human speech to run on: telephone prompts from Debian's asterisk-core-sounds-en-wav (8 kHz, one woman's voice,
# CC-BY-SA-3.0, so they are not kept in this repository). Copies a few into the folder named; says so when it can't.
#
#   samples/prompts.sh FOLDER
set -euo pipefail
stack="$(dirname "${BASH_SOURCE[0]}")/../stack"
. "$stack/place.sh"
. "$stack/messages.sh"
. "$stack/packages.sh"

into="${1:?usage: samples/prompts.sh FOLDER}"
package=asterisk-core-sounds-en-wav
sounds=/usr/share/asterisk/sounds/en_US_f_Allison
prompts=(demo-congrats tt-allbusy queue-periodic-announce queue-youarenext vm-newuser agent-incorrect)

complete() {
  local name
  for name in "${prompts[@]}"; do [[ -s "$1/$name.wav" ]] || return 1; done
}

complete "$into" && exit
if ! complete "$sounds"; then
  if ! command -v apt-get >/dev/null 2>&1; then
    note "no apt here: going on without the human telephone prompts of Debian's $package"
    exit
  fi
  # They are an extra: without them the made samples still go through.
  (install_packages "human telephone prompts" "$package") || exit 0
fi
mkdir -p "$into"
for name in "${prompts[@]}"; do
  if [[ -s "$sounds/$name.wav" ]]; then cp "$sounds/$name.wav" "$into/"; else note "$package has no $name.wav"; fi
done
