//! Core Audio Format.

use super::{Container, Input, Layout, Part, TrackLayout, TrackTiming, codec_name, mpeg};
use crate::audio::bytes::{be32, be64};
use crate::audio::codec::{self, Blocks, Coding};
use crate::audio::errors;
use domain::Failure;
use symphonia::default::formats::CafReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::codecs::audio::well_known::{
    CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS, CODEC_ID_PCM_ALAW, CODEC_ID_PCM_MULAW, CODEC_ID_PCM_S8,
};
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

/// Bytes of the file's header and the audio description, which comes first.
const DESCRIPTION: usize = 52;
/// Where in it the codec's four characters are.
const CODEC: std::ops::Range<usize> = 28..32;
/// Codecs that the demuxer knows.
const KNOWN: [&[u8; 4]; 6] = [b"lpcm", b"ima4", b"aac ", b"ulaw", b"alaw", b"alac"];

/// Codecs that have a demuxer of their own.
const MPEG: [&[u8; 4]; 3] = [b".mp1", b".mp2", b".mp3"];
/// Packets that may be padding.
const PADDED_PACKETS: u64 = 3;
/// MPEG audio that is missing without a loss: one byte in so many.
const MISSING_SHARE: u64 = 1_000;
/// Chunks looked at before the audio must have begun, and most bytes of them.
const MAX_CHUNKS: usize = 512;
const MAX_HEADER: u64 = 1024 * 1024;
/// Most packets of a table: two days of AAC.
const MAX_PACKETS: u64 = 8_000_000;
/// Missing audio that is no loss, seconds.
const TOLERATED_S: f64 = 0.02;

pub(super) struct Caf;

impl Container for Caf {
    fn name(&self) -> &'static str {
        "caf"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        input.has(0, b"caff\x00\x01").then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let mut layout = Layout::new(&Caf, input.start..input.length);
        let Some(head) = input.head.get(..DESCRIPTION).filter(|head| &head[8..12] == b"desc") else {
            return Ok(layout);
        };
        // Where it is shorter, another chunk is read as part of it.
        if be64(head, 12).is_none_or(|bytes| bytes < (DESCRIPTION - 20) as u64) {
            return Err(errors::bad_header("the audio description of the CAF file is too short"));
        }
        let name = codec_name(&head[CODEC]);
        refuse_large_tables(input)?;
        let head = &input.head[..DESCRIPTION];
        if MPEG.iter().any(|codec| **codec == head[CODEC]) {
            return mpeg_layout(input);
        }
        match coding(head) {
            Ok(None) => layout.tracks.push(TrackLayout { codec: Some(name), ..TrackLayout::default() }),
            Ok(Some(Coding { params, blocks })) => {
                // The demuxer refuses the codec's name: under another one it leaves the packets as they are.
                layout.header = head.to_vec();
                layout.header[CODEC].copy_from_slice(b"alaw");
                layout.range.start += DESCRIPTION as u64;
                layout.tracks.push(TrackLayout {
                    codec: Some(name),
                    params: Some(params),
                    blocks,
                    ..TrackLayout::default()
                });
            }
            Err(name) => return Err(errors::unsupported(&name)),
        }
        correct_length(&mut layout, input)?;
        let most_s = longest_s(&input.head, input.length - input.start);
        layout.tracks.iter_mut().for_each(|track| track.timing.decoded_s = Some(most_s));
        Ok(layout)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(CafReader::try_new(stream, FormatOptions::default())?))
    }

    /// The demuxer counts the bits of a coded sample, the decoder those of a decoded one.
    fn correct(&self, params: &mut AudioCodecParameters) {
        if matches!(params.codec, CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW) {
            (params.bits_per_sample, params.bits_per_coded_sample) = (None, None);
        }
    }

    /// The demuxer reads the packet table, but leaves delay and padding in.
    fn complete(&self, timing: TrackTiming, track: &Track, params: &AudioCodecParameters) -> TrackTiming {
        let seconds = |frames: u64| params.sample_rate.map_or(0.0, |rate| frames as f64 / f64::from(rate.max(1)));
        let part = Part::Decoded {
            begin_s: seconds(track.delay.unwrap_or(0).into()),
            duration_s: track.num_frames.filter(|_| track.delay.is_some()).map(seconds),
        };
        // More packets than the file can have, each with a byte and an entry of the packet table, are not believed.
        let believed = |seconds: &f64| timing.decoded_s.is_some_and(|most_s| *seconds <= most_s);
        let decoded_s = track.num_frames.map(seconds).filter(believed);
        TrackTiming { parts: vec![part], sample_count: track.num_frames, decoded_s, ..timing }
    }
}

/// MPEG audio: its frames say themselves how long they are, whatever the description says of packets.
fn mpeg_layout(input: &mut Input) -> Result<Layout, Failure> {
    let rate = be64(&input.head, 20).map_or(0.0, f64::from_bits);
    let of_packet = be32(&input.head, 40).map_or(0, u64::from);
    let (mut position, mut frames, mut parts) = (input.start + 8, None, Vec::new());
    for _ in 0..MAX_CHUNKS {
        let chunk = input.read(position, 12)?;
        let Some(size) = be64(&chunk, 4).map(u64::cast_signed) else { break };
        let body = position + 12;
        let available = input.length.saturating_sub(body);
        let endless = size < 0 || size == 0 && available > 4 && !begins_chunk(&input.read(body, 4)?);
        let size = if endless { available } else { size.cast_unsigned() };
        match &chunk[..4] {
            // Four bytes count the edits.
            b"data" => {
                let held = size.min(available);
                frames = Some((body + held.min(4)..body + held, size - held));
            }
            b"pakt" => {
                let table = input.read(body, 24)?;
                let (packets, valid, delay) = (be64(&table, 0), be64(&table, 8), be32(&table, 16).map_or(0, u64::from));
                let all = packets.and_then(|packets| packets.checked_mul(of_packet));
                let valid = valid.unwrap_or(0);
                // Some writers count the samples in another unit.
                let rest = all.zip(valid.checked_add(delay)).and_then(|(all, kept)| all.checked_sub(kept));
                if rate > 0.0 && rest.is_some_and(|rest| rest <= PADDED_PACKETS * of_packet) {
                    let (begin_s, duration_s) = (delay as f64 / rate, Some(valid as f64 / rate));
                    parts = vec![Part::Decoded { begin_s, duration_s }];
                }
            }
            _ => {}
        }
        position = body.saturating_add(size);
    }
    let Some((range, missing)) = frames else {
        return Err(errors::truncated("the CAF file ends before its audio begins"));
    };
    let length = range.end - range.start;
    let mut layout = mpeg::layout(input, range)?;
    // Less than a frame or two is no loss.
    layout.missing = if missing * MISSING_SHARE > length { missing } else { 0 };
    layout.tracks.iter_mut().for_each(|track| track.timing.parts.clone_from(&parts));
    Ok(layout)
}

/// The demuxer keeps an entry in memory for each packet that a table states, whatever the size of its chunk.
fn refuse_large_tables(input: &mut Input) -> Result<(), Failure> {
    let mut position = input.start + 8;
    for _ in 0..MAX_CHUNKS {
        let chunk = input.read(position, 20)?;
        let Some(size) = be64(&chunk, 4).map(u64::cast_signed).filter(|size| *size >= 0) else { return Ok(()) };
        let packets = be64(&chunk, 12).filter(|_| chunk.starts_with(b"pakt")).unwrap_or(0);
        if packets > MAX_PACKETS {
            let what =
                format!("the packet table of the CAF file states {packets} packets; at most {MAX_PACKETS} are read");
            return Err(errors::bad_header(what));
        }
        position = (position + 12).saturating_add(size.cast_unsigned());
        if position >= input.length {
            return Ok(());
        }
    }
    Err(errors::bad_header(format!("the CAF file has more than {MAX_CHUNKS} chunks")))
}

/// Seconds that so many bytes can hold at most by an audio description, seconds; 0 where it doesn't say.
fn longest_s(head: &[u8], bytes: u64) -> f64 {
    let field = |at| f64::from(be32(head, at).unwrap_or(0));
    let (packet_bytes, packet_frames) = (field(36), field(40));
    // Of packets of any size, each has a byte and an entry of a byte in the packet table.
    let packets = bytes as f64 / if packet_bytes > 0.0 { packet_bytes } else { 2.0 };
    let rate = be64(head, 20).map_or(0.0, f64::from_bits);
    if rate > 0.0 { packets * packet_frames / rate } else { 0.0 }
}

/// Puts the length that the audio has into its chunk's header, where recorders could not know it or a little is missing.
fn correct_length(layout: &mut Layout, input: &mut Input) -> Result<(), Failure> {
    let mut position = input.start + 8;
    for _ in 0..MAX_CHUNKS {
        let chunk = input.read(position, 12)?;
        let Some(size) = be64(&chunk, 4).map(u64::cast_signed) else { break };
        let body = position + 12;
        if !chunk.starts_with(b"data") {
            position = body.saturating_add(size.max(0).cast_unsigned());
            continue;
        }
        let available = input.length.saturating_sub(body);
        let missing = size.max(0).cast_unsigned().saturating_sub(available);
        // Writers to a pipe put 0 for a length that they don't know yet.
        let endless = size < 0 || size == 0 && available > 4 && !begins_chunk(&input.read(body, 4)?);
        if !endless && missing == 0 || body - input.start > MAX_HEADER {
            break;
        }
        let field = |at| f64::from(be32(&input.head, at).unwrap_or(0));
        let rate = be64(&input.head, 20).map_or(0.0, f64::from_bits);
        let tolerated = rate * field(36) / field(40).max(1.0) * TOLERATED_S;
        if missing as f64 > tolerated {
            (layout.missing, layout.readable_in_part) = (missing, false);
            break;
        }
        let begin = layout.header.len() as u64;
        let Some(between) = (body - input.start).checked_sub(begin) else { break };
        layout.header.extend(input.read(input.start + begin, between as usize)?);
        let at = layout.header.len() - 8;
        layout.header[at..].copy_from_slice(&available.to_be_bytes());
        layout.range = body..input.length;
        break;
    }
    Ok(())
}

/// Whether these are the four characters of a chunk that may follow the audio.
fn begins_chunk(bytes: &[u8]) -> bool {
    const CHUNKS: [&[u8; 4]; 15] = [
        b"chan", b"free", b"info", b"inst", b"kuki", b"mark", b"midi", b"ovvw", b"pakt", b"peak", b"regn", b"strg",
        b"umid", b"uuid", b"edct",
    ];
    CHUNKS.iter().any(|name| bytes.starts_with(*name))
}

/// The codec of an audio description that the demuxer refuses, though it can be decoded.
///
/// # Errors
/// The codec's name, if it can't be decoded.
fn coding(head: &[u8]) -> Result<Option<Coding>, String> {
    let field = |at| be32(head, at).unwrap_or(0);
    let (bytes, channels, bits) = (field(36), field(44), field(48));
    let rate = be64(head, 20).map_or(0.0, f64::from_bits).round() as u32;
    let channels_16 = u16::try_from(channels).unwrap_or(u16::MAX);
    let adpcm = |codec, header: u32, first: u32| {
        let per_channel = bytes.checked_div(channels).and_then(|bytes| bytes.checked_sub(header));
        let frames = per_channel.filter(|bytes| (1..1 << 16).contains(bytes)).map(|bytes| bytes * 2 + first);
        let frames = frames.ok_or_else(|| format!("ADPCM in blocks of {bytes} bytes"))?;
        Ok(Some(codec::in_blocks(codec, rate, channels_16, Blocks { bytes, frames })))
    };
    match &head[CODEC] {
        b"ms\0\x02" => adpcm(CODEC_ID_ADPCM_MS, 7, 2),
        b"ms\0\x11" => adpcm(CODEC_ID_ADPCM_IMA_WAV, 4, 1),
        b"lpcm" if bits == 8 && field(32) & 1 == 0 && bytes == channels => {
            Ok(Some(codec::plain(CODEC_ID_PCM_S8, rate, channels_16)))
        }
        b"lpcm" if !matches!(bits, 16 | 24 | 32 | 64) => Err(format!("PCM of {bits} bits")),
        b"lpcm" if u64::from(bytes) != u64::from(bits / 8) * u64::from(channels) && bytes != 0 => {
            Err(format!("PCM of {bits} bits in blocks of {bytes} bytes"))
        }
        b"flac" | b"opus" => Ok(None),
        known if KNOWN.iter().any(|name| *name == known) => Ok(None),
        other => Err(codec_name(other)),
    }
}

/// A header in this format of Apple's ADPCM, for packets of `length` bytes that follow it.
pub(super) fn ima4_header(rate: u32, channels: u16, length: u64) -> Vec<u8> {
    let numbers = [0, 34 * u32::from(channels), 64, channels.into(), 0].map(u32::to_be_bytes).concat();
    [
        &b"caff\x00\x01\x00\x00desc\x00\x00\x00\x00\x00\x00\x00\x20"[..],
        &f64::from(rate).to_be_bytes(),
        b"ima4",
        &numbers,
        b"data",
        &(length + 4).to_be_bytes(),
        &[0; 4],
    ]
    .concat()
}
