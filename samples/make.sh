#!/usr/bin/env bash
# Generates the recordings of this folder: synthetic speech, to try a fleet without data of one's own.
# Needs espeak-ng, sox and ffmpeg (Debian packages of the same names). The results are committed: run it only to change them.
#
#   samples/make.sh [FOLDER]     default: the folder of this script
set -euo pipefail
into="$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")}" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# speak FILE VOICE PITCH(0-99) WORDS_PER_MINUTE LOUDNESS(0-200) TEXT: a 22.05 kHz mono WAV
speak() { espeak-ng -v "$2" -p "$3" -s "$4" -a "$5" -w "$work/$1" -- "$6"; }

# encode SOURCE TARGET OPTIONS... : the output is reproducible, so that another run changes nothing in git
encode() {
  local source="$work/$1" target="$into/$2"
  shift 2
  ffmpeg -v error -y -i "$source" -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@" "$target"
}

speak complaint_en.wav en-us+f3 70 210 180 "I have called three times this week, and nobody has called me back! This is not acceptable."
encode complaint_en.wav complaint_en.wav -ac 1 -ar 16000 -c:a pcm_s16le

speak thanks_en.wav en-gb+m3 55 165 110 "Thank you so much, that was quick. You have made my day."
encode thanks_en.wav thanks_en.mp3 -ac 1 -ar 44100 -c:a libmp3lame -b:a 64k

speak enquiry_zh.wav cmn+f2 50 160 110 "你好，我想查一下我的订单什么时候能送到。"
encode enquiry_zh.wav enquiry_zh.m4a -ac 1 -ar 48000 -c:a aac -b:a 64k

speak complaint_zh.wav cmn+m1 65 200 180 "我已经等了两个星期了，你们到底什么时候给我退款？"
encode complaint_zh.wav complaint_zh.flac -ac 1 -ar 22050 -c:a flac -compression_level 8

speak voicemail_en.wav en-us+m7 30 120 80 "Hello. I am sorry, I will not be able to come on Thursday. My father is in hospital. Please call me when you can."
encode voicemail_en.wav voicemail_en.opus -ac 1 -ar 48000 -c:a libopus -b:a 24k -serial_offset 0

# The call: two speakers in turn, each on a channel of their own, as call centres record.
turns=()
# turn CHANNEL VOICE PITCH RATE LOUDNESS PAUSE TEXT: the other channel is silent; PAUSE is in seconds, after the text
turn() {
  local number="${#turns[@]}" sides="1 0"
  [[ "$1" == left ]] || sides="0 1"
  speak said.wav "$2" "$3" "$4" "$5" "$7"
  # shellcheck disable=SC2086 # two words: left and right
  sox -D "$work/said.wav" -r 8000 "$work/turn$number.wav" gain -4 highpass 300 lowpass 3400 remix $sides pad 0 "$6"
  turns+=("$work/turn$number.wav")
}
agent() { turn left en-gb+m1 45 165 110 "$@"; }
turn right en-us+f4 50 150 90 0.6 "Hello?"
agent 0.5 "Good morning, this is customer service. How can I help?"
turn right en-us+f4 60 185 140 0.4 "My washing machine was meant to come on Monday. It is Friday now."
agent 0.7 "I am sorry about that. May I have your order number?"
turn right en-us+f4 75 215 190 0.4 "I gave it to your colleague twice! Why does nobody write anything down?"
agent 1.0 "I understand. I can see the order. It will be with you tomorrow before noon."
turn right en-us+f4 55 160 110 0.4 "Tomorrow? Really? Well, thank you."
agent 0.3 "You are welcome. Goodbye."
sox -D "${turns[@]}" "$work/call.wav"
encode call.wav support_call.wav -ar 8000 -c:a pcm_mulaw

ls -l "$into"
