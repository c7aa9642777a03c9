//! Matroska and WebM. What the demuxer ignores is read here: where the file should end, which tracks are compressed
//! or encrypted. `matroska_blocks.rs` reads what is to be discarded of their packets.

use super::ebml::{Element, children, element, elements, float, number};
use super::{Container, Input, Layout, MAX_PARTS, Packing, TrackLayout, TrackTiming, matroska_blocks, tag};
use crate::audio::bytes::le16;
use crate::audio::codec::{self, Coding, OPUS_RATE};
use domain::Failure;
use std::ops::Range;
use symphonia::default::formats::MkvReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::codecs::audio::well_known::CODEC_ID_PCM_U8;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

pub(super) const EBML: u32 = 0x1a45_dfa3;
/// A header for a segment that follows another one without.
const EBML_HEADER: [u8; 16] = *b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska";
pub(super) const SEGMENT: u32 = 0x1853_8067;
/// A segment without a size.
const ENDLESS_SEGMENT: [u8; 12] = [0x18, 0x53, 0x80, 0x67, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const SEEK_HEAD: u32 = 0x114d_9b74;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
pub(super) const CLUSTER: u32 = 0x1f43_b675;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const TRACK_TYPE: u32 = 0x83;
const CODEC_ID: u32 = 0x86;
const CODEC_PRIVATE: u32 = 0x63a2;
const AUDIO_SETTINGS: u32 = 0xe1;
const SAMPLING_FREQUENCY: u32 = 0xb5;
const CHANNELS: u32 = 0x9f;
const BIT_DEPTH: u32 = 0x6264;
const CONTENT_ENCODINGS: u32 = 0x6d80;
const CONTENT_ENCODING: u32 = 0x6240;
const CONTENT_ENCODING_SCOPE: u32 = 0x5032;
const CONTENT_ENCODING_TYPE: u32 = 0x5033;
const CONTENT_COMPRESSION: u32 = 0x5034;
const CONTENT_COMP_ALGO: u32 = 0x4254;
const CONTENT_COMP_SETTINGS: u32 = 0x4255;
const CONTENT_ENCRYPTION: u32 = 0x5035;
pub(super) const TIMESTAMP: u32 = 0xe7;
pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
pub(super) const BLOCK_GROUP: u32 = 0xa0;
pub(super) const BLOCK: u32 = 0xa1;
pub(super) const DISCARD_PADDING: u32 = 0x75a2;
/// Elements walked over at most: a day of clusters of a second.
const MAX_ELEMENTS: usize = 100_000;
/// Elements walked over in search of the next recording: a day of packets of 60 ms.
const MAX_WALKED: usize = 1_500_000;
/// Value of [`TRACK_TYPE`] for sound.
const AUDIO: u64 = 2;
/// Most bytes of the header before the segment.
const MAX_HEADER: u64 = 4_096;
/// Nanoseconds of a tick, where the segment's information doesn't say.
const TICK_NS: f64 = 1e6;
/// Most bytes of the segment's information that are read.
const MAX_INFO: u64 = 64 * 1024;
/// Most bytes of the tracks' description.
const MAX_TRACKS: u64 = 4 * 1024 * 1024;

pub(super) struct Matroska;

impl Container for Matroska {
    fn name(&self) -> &'static str {
        "matroska"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        input.has(0, b"\x1a\x45\xdf\xa3").then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let segment = read(input)?;
        let mut layout = Layout::new(&Matroska, input.start..input.length);
        layout.missing = segment.missing;
        if let Some(end) = segment.end {
            layout.range.end = end;
            layout.ignored = tag::unknown(input, end)?;
        }
        if input.has(0, &SEGMENT.to_be_bytes()) {
            layout.header = EBML_HEADER.to_vec();
        }
        if let Some((header, range)) = segment.sound {
            (layout.header, layout.range, layout.missing) = (header, range, 0);
        }
        layout.readable_in_part = false;
        layout.tracks = segment.tracks;
        Ok(layout)
    }

    /// Each segment is a recording, with a header of its own or without.
    fn parts(&self, input: &mut Input) -> Result<Vec<Range<u64>>, Failure> {
        let (mut parts, mut begin, mut at, mut has_segment) = (Vec::new(), input.start, input.start, false);
        for _ in 0..MAX_WALKED {
            let Some(element) = element(input, at)?.filter(|_| parts.len() < MAX_PARTS) else { break };
            if has_segment && matches!(element.id, EBML | SEGMENT) {
                parts.push(begin..at);
                (begin, has_segment) = (at, false);
            }
            has_segment |= element.id == SEGMENT;
            at = match (element.id, element.end) {
                (SEGMENT | CLUSTER, None) => element.body,
                (_, Some(end)) if end > at => end,
                _ => break,
            };
        }
        parts.push(begin..input.length);
        Ok(parts)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(MkvReader::try_new(stream, FormatOptions::default())?))
    }

    fn has_timestamps(&self) -> bool {
        true
    }

    /// The demuxer leaves Opus's pre-skip in.
    fn complete(&self, timing: TrackTiming, _: &Track, params: &AudioCodecParameters) -> TrackTiming {
        match params.extra_data.as_deref() {
            Some(head) if head.starts_with(b"OpusHead") => {
                timing.after(f64::from(le16(head, 10).unwrap_or(0)) / f64::from(OPUS_RATE))
            }
            _ => timing,
        }
    }
}

/// The outermost element, which holds all others.
#[derive(Debug, Default)]
struct EbmlSegment {
    /// Bytes by which it exceeds the end of the file.
    missing: u64,
    /// Where it ends, if other bytes are behind it.
    end: Option<u64>,
    /// Its audio tracks.
    tracks: Vec<TrackLayout>,
    /// A header, and where the elements are that have all of the sound, when what is missing has none.
    sound: Option<(Vec<u8>, Range<u64>)>,
}

/// Walks over the elements from `input.start` on.
fn read(input: &mut Input) -> Result<EbmlSegment, Failure> {
    let mut found = EbmlSegment::default();
    let Some(header) = element(input, input.start)? else { return Ok(found) };
    let has_header = header.id != SEGMENT;
    let segment = match header.end {
        _ if !has_header => element(input, input.start)?,
        Some(end) => element(input, end)?,
        None => None,
    };
    let Some(segment) = segment else { return Ok(found) };
    if segment.id != SEGMENT {
        return Ok(found);
    }
    let length = input.length;
    found.missing = segment.end.map_or(0, |end| end.saturating_sub(length));
    let end = segment.end.unwrap_or(length).min(length);
    let outermost = children(input, segment.body, end, MAX_ELEMENTS)?;
    let of = |id: u32| outermost.iter().filter(move |element| element.id == id);
    if let Some(tracks) = of(TRACKS).next() {
        let size = tracks.end.unwrap_or(end).min(end).saturating_sub(tracks.body).min(MAX_TRACKS);
        let bytes = input.read(tracks.body, size as usize)?;
        found.tracks =
            elements(&bytes).filter(|(id, _)| *id == TRACK_ENTRY).filter_map(|(_, e)| audio_track(e)).collect();
    }
    if found.missing > 0
        && let Some(range) = sound(&outermost, &segment, length)
    {
        // No more than a few dozen bytes, by the specification.
        let size = (header.end.unwrap_or(input.start) - input.start).min(MAX_HEADER);
        let ebml = if has_header { input.read(input.start, size as usize)? } else { EBML_HEADER.to_vec() };
        found.sound = Some(([&ebml[..], &ENDLESS_SEGMENT].concat(), range));
    }
    let Some(first) = of(CLUSTER).next() else { return Ok(found) };
    let tick_s = match of(INFO).next() {
        Some(info) => tick_s(input, info, end)?,
        None => TICK_NS / 1e9,
    };
    let numbers = found.tracks.iter().filter_map(|track| track.id).map(u64::from);
    let (mut blocks, others) = matroska_blocks::read(input, numbers, first, end)?;
    let goes_on = match segment.end.filter(|end| *end < length) {
        Some(end) => element(input, end)?.is_some_and(|element| element.id == CLUSTER),
        None => false,
    };
    found.end = if goes_on { None } else { segment.end.or(others).filter(|end| *end < length) };
    for track in &mut found.tracks {
        let Some(blocks) = track.id.and_then(|id| blocks.remove(&id.into())) else { continue };
        track.timing.decoded_s = blocks.ticks().map(|ticks| ticks as f64 * tick_s);
        track.discards = blocks.discards.into();
    }
    Ok(found)
}

/// Seconds of a tick, by the segment's information.
fn tick_s(input: &mut Input, info: &Element, end: u64) -> Result<f64, Failure> {
    let size = info.end.unwrap_or(end).min(end).saturating_sub(info.body).min(MAX_INFO);
    let bytes = input.read(info.body, size as usize)?;
    let scale = elements(&bytes).find(|(id, _)| *id == TIMESTAMP_SCALE).map(|(_, scale)| number(scale));
    Ok(scale.map_or(TICK_NS, |scale| scale as f64) / 1e9)
}

/// Where the elements with all of the sound are, if only an index or tags behind them are cut. What comes before them and
/// refers to positions is left out.
fn sound(outermost: &[Element], segment: &Element, length: u64) -> Option<Range<u64>> {
    let last = outermost.iter().rposition(|element| element.id == CLUSTER)?;
    let first = outermost.iter().position(|element| element.id == CLUSTER)?;
    let end = outermost[last].end.filter(|end| *end <= length)?;
    let described = [INFO, TRACKS].iter().all(|id| outermost[..first].iter().any(|element| element.id == *id));
    // Where nothing of what follows is left, it may have been sound.
    (described && outermost.len() > last + 1).then_some(())?;
    let positions = outermost.iter().take_while(|element| element.id == SEEK_HEAD).last();
    Some(positions.map_or(Some(segment.body), |element| element.end)?..end)
}

/// The audio track that a track's entry describes; `None` when it is no sound.
fn audio_track(entry: &[u8]) -> Option<TrackLayout> {
    let find = |id: u32| elements(entry).find(|(found, _)| *found == id).map(|(_, body)| body);
    if find(TRACK_TYPE).map(number) != Some(AUDIO) {
        return None;
    }
    let id = find(CODEC_ID).map(|id| String::from_utf8_lossy(id).trim_end_matches('\0').to_owned());
    let name = id.as_deref().map(|id| id.strip_prefix("A_").unwrap_or(id).to_owned());
    let (packing, packed) = match find(CONTENT_ENCODINGS).map_or(Ok(None), packing) {
        Ok(packing) => (packing, None),
        Err(name) => (None, Some(name)),
    };
    let (coding, unknown) = match id.as_deref().and_then(|id| coding(id, entry)).transpose() {
        Ok(coding) => (coding, None),
        Err(name) => (None, Some(name)),
    };
    Some(TrackLayout {
        id: find(TRACK_NUMBER).and_then(|id| u32::try_from(number(id)).ok()),
        refused: packed.or(unknown),
        codec: name,
        blocks: coding.as_ref().and_then(|coding| coding.blocks),
        params: coding.map(|coding| coding.params),
        packing,
        ..TrackLayout::default()
    })
}

/// The codec of a track's entry whose name the demuxer does not know; the codec's own name if it can't be decoded.
fn coding(id: &str, entry: &[u8]) -> Option<Result<Coding, String>> {
    let find = |id: u32| elements(entry).find(|(found, _)| *found == id).map(|(_, body)| body);
    match id {
        "A_MS/ACM" => Some(codec::of_wave_format(find(CODEC_PRIVATE).unwrap_or_default())),
        "A_PCM/INT/LIT" | "A_PCM/INT/BIG" => {
            let settings = find(AUDIO_SETTINGS)?;
            let setting = |id: u32| elements(settings).find(|(found, _)| *found == id).map(|(_, body)| body);
            let rate = setting(SAMPLING_FREQUENCY).and_then(float).unwrap_or(8_000.0).round() as u32;
            let channels = setting(CHANNELS).map_or(1, number);
            // Eight bits are unsigned, whatever the order of the bytes would be.
            (setting(BIT_DEPTH).map(number) == Some(8))
                .then(|| Ok(codec::plain(CODEC_ID_PCM_U8, rate, u16::try_from(channels).unwrap_or(u16::MAX))))
        }
        _ => None,
    }
}

/// What was done to a track's packets after coding; its name if it can't be undone.
fn packing(encodings: &[u8]) -> Result<Option<Packing>, String> {
    let mut all = elements(encodings).filter(|(id, _)| *id == CONTENT_ENCODING).map(|(_, body)| body);
    let Some(encoding) = all.next() else { return Ok(None) };
    let find = |id: u32| elements(encoding).find(|(found, _)| *found == id).map(|(_, body)| body);
    if find(CONTENT_ENCODING_TYPE).map_or(0, number) == 1 || find(CONTENT_ENCRYPTION).is_some() {
        return Err("an encrypted Matroska track".into());
    }
    let packed = |how: &str| format!("a Matroska track with compressed packets ({how})");
    if all.next().is_some() {
        return Err(packed("several times"));
    }
    let compression = find(CONTENT_COMPRESSION).unwrap_or_default();
    let setting = |id: u32| elements(compression).find(|(found, _)| *found == id).map(|(_, body)| body);
    match (find(CONTENT_ENCODING_SCOPE).map_or(1, number), setting(CONTENT_COMP_ALGO).map_or(0, number)) {
        (scope, _) if scope & 6 != 0 => Err(packed("the codec's description too")),
        (scope, _) if scope & 1 == 0 => Ok(None),
        (_, 0) => Ok(Some(Packing::Zlib)),
        (_, 1) => Err(packed("bzlib")),
        (_, 2) => Err(packed("LZO")),
        (_, 3) => Ok(Some(Packing::Stripped(setting(CONTENT_COMP_SETTINGS).unwrap_or_default().to_vec()))),
        _ => Err(packed("an unknown algorithm")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;

    fn read_bytes(bytes: &[u8]) -> EbmlSegment {
        read(&mut input(bytes)).expect("read")
    }

    #[test]
    fn the_tracks_their_encoding_and_the_padding_of_their_last_packets_are_found() {
        let mut bytes = b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\xff".to_vec();
        // Video, and two tracks of sound; the second's packets are compressed by bzlib.
        bytes.extend(b"\x16\x54\xae\x6b\xac\xae\x86\xd7\x81\x01\x83\x81\x01\xae\x8a\xd7\x81\x02\x83\x81\x02\x86\x82A_");
        bytes.extend(
            b"\xae\x96\xd7\x81\x03\x83\x81\x02\x6d\x80\x8d\x62\x40\x8a\x50\x34\x87\x42\x54\x81\x01\xec\x81\x00",
        );
        bytes.extend(b"\x1f\x43\xb6\x75\x83old");
        // The second track ends before the first does.
        bytes.extend(b"\x1f\x43\xb6\x75\x92\xa0\x90\xa1\x85\x83\0\0\0l\x75\xa2\x82\x4e\x20\xec\x82\x00\x00");
        bytes.extend(
            b"\x1f\x43\xb6\x75\x99\xa3\x85\x82\0\0\0n\xa0\x90\xa1\x85\x82\0\0\0l\x75\xa2\x82\x27\x10\xec\x82\x00\x00",
        );
        let found = read_bytes(&bytes);
        let [first, second] = &found.tracks[..] else { panic!("{found:?}") };
        let discarded = |track: &TrackLayout| track.discards.iter().map(|of| of.padding_ns).collect::<Vec<_>>();
        assert_eq!((first.id, discarded(first), &first.refused), (Some(2), vec![10_000], &None));
        assert_eq!((second.id, discarded(second)), (Some(3), vec![20_000]));
        assert!(second.refused.as_deref().is_some_and(|name| name.contains("bzlib")), "{second:?}");
    }

    #[test]
    fn missing_bytes_of_the_segment_are_counted() {
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\x41\x00body").missing, 252);
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3\x82xx\x18\x53\x80\x67\xff").missing, 0);
        assert_eq!(read_bytes(b"\x1a\x45\xdf\xa3").missing, 0);
    }
}
