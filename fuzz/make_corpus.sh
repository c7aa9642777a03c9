#!/usr/bin/env bash
# Makes the seeds of corpus/ from samples/: a third of a second in every format that is read and in some that are not.
# Needs ffmpeg; the results are committed, so this is for changing them. What the fuzzers found is kept beside them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
voice=../samples/complaint_en.wav
call=../samples/support_call.wav
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p corpus/decode corpus/job_message

# seed NAME SOURCE OPTIONS... : the same bytes every time
seed() {
  local target="corpus/decode/$1" source="$2"
  shift 2
  ffmpeg -v error -y -ss 0.5 -t 0.33 -i "$source" -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@" "$target"
}

seed s16.wav "$voice" -ar 8000 -c:a pcm_s16le
seed s24_extensible.wav "$call" -t 0.1 -ar 8000 -c:a pcm_s24le
seed f64.wav "$voice" -t 0.05 -ar 16000 -c:a pcm_f64le
seed alaw.wav "$call" -ar 8000 -c:a pcm_alaw
seed rf64.wav "$voice" -t 0.1 -ar 8000 -c:a pcm_mulaw -rf64 always
seed ima_adpcm.wav "$call" -ar 8000 -c:a adpcm_ima_wav
seed ms_adpcm.wav "$voice" -ar 11025 -c:a adpcm_ms
seed mp3_inside.wav "$voice" -ar 22050 -c:a libmp3lame -b:a 32k
seed s16.aiff "$voice" -ar 8000 -c:a pcm_s16be
seed s16.caf "$voice" -ar 8000 -c:a pcm_s16le
seed alac.caf "$voice" -ar 8000 -c:a alac
seed plain.flac "$call" -ar 8000 -c:a flac
seed inside.oga "$voice" -ar 8000 -c:a flac
seed lame.mp3 "$voice" -ar 44100 -c:a libmp3lame -b:a 48k
seed bare.mp3 "$call" -ar 16000 -c:a libmp3lame -b:a 32k -write_xing 0 -id3v2_version 0
seed layer2.mp2 "$voice" -ar 16000 -c:a mp2 -b:a 32k
seed aac.m4a "$voice" -ar 16000 -c:a aac -b:a 24k
seed alac.m4a "$voice" -ar 8000 -c:a alac
seed fragments.mp4 "$voice" -ar 16000 -c:a aac -b:a 24k -movflags frag_keyframe+empty_moov
seed adts.aac "$call" -ar 16000 -c:a aac -b:a 24k
seed aac.mka "$voice" -ar 16000 -c:a aac -b:a 24k
seed vorbis.ogg "$voice" -ar 16000 -c:a libvorbis -q:a 0 -serial_offset 0
seed vorbis.webm "$voice" -ar 16000 -c:a libvorbis -q:a 0
seed opus.opus "$call" -c:a libopus -b:a 16k -serial_offset 0
seed long_packets.opus "$voice" -ac 1 -c:a libopus -application voip -b:a 8k -frame_duration 60 -serial_offset 0
seed opus.webm "$voice" -c:a libopus -b:a 16k
seed opus.mp4 "$voice" -c:a libopus -b:a 16k
seed two_tracks.m4a "$voice" -map 0:a -map 0:a -ar:a:0 8000 -ar:a:1 16000 -c:a aac -b:a 24k
seed two_tracks.mka "$call" -map 0:a -map 0:a -ar:a:0 8000 -c:a:0 pcm_s16le -ar:a:1 16000 -c:a:1 libvorbis -q:a:1 0
seed two_tracks.ogg "$voice" -map 0:a -map 0:a -ar 16000 -c:a libvorbis -q:a 0 -serial_offset 0
cat corpus/decode/opus.opus corpus/decode/opus.opus >corpus/decode/chained.opus
cat corpus/decode/bare.mp3 corpus/decode/lame.mp3 >corpus/decode/joined.mp3
printf 'ID3\4\0\0\0\0\0\12xxxxxxxxxx' | cat - corpus/decode/plain.flac >corpus/decode/tagged.flac
printf '#!AMR\n\x3c\x91\x17\x16\xbe\x66\x78\0\0\1\xe7\xaf\0\0\0\x80' >corpus/decode/phone.amr
printf 'Dear customer, your call is important to us.\n' >corpus/decode/text.wav
: >corpus/decode/empty.wav

# message NAME BODY
message() { printf '%s' "$2" >"corpus/job_message/$1"; }
id='"job_id":"6f1c2d9e-7b0a-5c3d-8e4f-112233445566","batch_id":"0a1b2c3d-4e5f-5a6b-9c7d-8e9fa0b1c2d3"'
object='"object":{"bucket":"calls","key":"night/1.wav","etag":"abc"}'
rest='"model":"emofleet-default","submitted_at":"2026-11-02T08:15:30Z"'
message least.json "{\"v\":1,$id,\"object\":{\"bucket\":\"b\",\"key\":\"k\"},$rest}"
message full.json "{\"v\":1,$id,$object,\"call\":{\"call_id\":\"c-7\",\"agent\":\"a\",\"team\":\"七队\",\"customer\":\"8821\",\"started_at\":\"2026-11-02T08:15:30.25+08:00\",\"attributes\":{\"vip\":\"true\"}},\"channels\":[\"customer\",\"agent\"],\"granularity\":\"frame\",\"embedding\":false,$rest}"
message mix.json "{\"v\":1,$id,$object,\"channels\":\"mix\",$rest}"
message unknown_field.json "{\"v\":1,$id,$object,\"call\":{\"endpoint\":\"http://169.254.169.254/\"},$rest}"
message nul.json "{\"v\":1,$id,\"object\":{\"bucket\":\"b\",\"key\":\"a\\u0000b\"},$rest}"
message surrogate.json "{\"v\":1,$id,\"object\":{\"bucket\":\"b\",\"key\":\"\\ud800\"},$rest}"
message newer.json '{"v":2}'
message year_minus_9999.json "{\"v\":1,$id,$object,\"call\":{\"started_at\":\"-9999-01-01T00:00:00Z\"},$rest}"
message leap_second.json "{\"v\":1,$id,$object,\"call\":{\"started_at\":\"2016-12-31T23:59:60Z\"},$rest}"
message deep.json "$(printf '[%.0s' {1..400})"
message hello.json 'hello'
