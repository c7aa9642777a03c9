#!/usr/bin/env bash
# Samples of human speech: telephone prompts from Debian's asterisk-core-sounds-en-wav (8 kHz, one female speaker,
# CC-BY-SA-3.0, so they are not part of this repository). Copies a few into FOLDER; prints a note when it can't.
#
#   samples/prompts.sh FOLDER
. "$(dirname "${BASH_SOURCE[0]}")/../stack/lib.sh"

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
    note "skipping the human telephone prompts: they come from Debian's $package, and this machine has no apt"
    exit
  fi
  # They are optional: the synthetic samples do without them.
  (install_packages "human telephone prompts" "$package") || exit 0
fi
mkdir -p "$into"
for name in "${prompts[@]}"; do
  if [[ -s "$sounds/$name.wav" ]]; then cp "$sounds/$name.wav" "$into/"; else note "$package has no $name.wav"; fi
done
