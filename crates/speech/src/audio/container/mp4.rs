//! MP4, M4A and QuickTime. The boxes that the demuxer ignores are read here: the edit list, without which the
//! encoder's delay would be analysed, and whether the boxes are complete.

use super::{Container, Input, Layout, TrackLayout, TrackTiming};
use crate::audio::bytes::{be16, be32, be64};
use crate::audio::errors;
use domain::Failure;
use symphonia::default::formats::IsoMp4Reader;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader};
use symphonia_core::io::{MediaSourceStream, ReadBytes};

/// Most bytes of a `moov` box, which each track's demuxer reads into memory: the tables of a day of audio take a fifth of
/// this.
const MAX_MOOV: u64 = 64 * 1024 * 1024;

/// Outermost boxes walked over at most: a day of fragments of a second, two boxes each.
const MAX_BOXES: usize = 200_000;

pub(super) struct Mp4;

impl Container for Mp4 {
    fn name(&self) -> &'static str {
        "mp4"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        input.has(4, b"ftyp").then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let boxes = read(input)?;
        let Some(tracks) = boxes.tracks else {
            return Err(errors::truncated("the MP4 file ends before its index (moov), which recorders write last"));
        };
        let mut layout = Layout::new(&Mp4, input.start..input.length);
        layout.missing = boxes.missing;
        layout.readable_in_part = false;
        layout.tracks = tracks;
        Ok(layout)
    }

    fn demuxer(&self, mut stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        // This demuxer expects to be behind the first box's size, at its type.
        stream.read_quad_bytes()?;
        Ok(Box::new(IsoMp4Reader::try_new(stream, FormatOptions::default())?))
    }
}

/// The outermost boxes.
#[derive(Debug, Default, PartialEq)]
struct Boxes {
    /// Bytes by which the last box exceeds the end of the file.
    missing: u64,
    /// The audio tracks; `None` without a `moov` box.
    tracks: Option<Vec<TrackLayout>>,
}

/// Walks over the outermost boxes and reads `moov`.
fn read(input: &mut Input) -> Result<Boxes, Failure> {
    let (mut found, mut position, length) = (Boxes::default(), input.start, input.length);
    for _ in 0..MAX_BOXES {
        if position >= length {
            break;
        }
        let header = input.read(position, 16)?;
        let (Some(size), Some(kind)) = (be32(&header, 0), header.get(4..8)) else { break };
        let (size, body) = match size {
            0 => (length - position, 8),
            1 => (be64(&header, 8).unwrap_or(0), 16),
            size => (u64::from(size), 8),
        };
        if size < body {
            break;
        }
        let end = position.saturating_add(size);
        found.missing = end.saturating_sub(length);
        if kind == b"moov" {
            if size - body > MAX_MOOV {
                let what = format!("the MP4 index (moov) has {} bytes; at most {MAX_MOOV} are read", size - body);
                return Err(errors::bad_header(what));
            }
            let moov = input.read(position + body, (size - body) as usize)?;
            found.tracks = Some(tracks(&moov).unwrap_or_default());
        }
        position = end;
    }
    Ok(found)
}

/// The boxes in `bytes`, one after the other.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let size = match be32(bytes, 0)? {
            0 => bytes.len(),
            size => size as usize,
        };
        let (kind, body) = (bytes.get(4..8)?, bytes.get(8..size.min(bytes.len()))?);
        bytes = &bytes[size.min(bytes.len())..];
        Some((kind, body))
    })
}

/// The box at the end of a path of boxes.
fn inside<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, kind| boxes(bytes).find(|(k, _)| k == kind).map(|(_, body)| body))
}

/// The audio tracks of a `moov` box.
fn tracks(moov: &[u8]) -> Option<Vec<TrackLayout>> {
    let movie_scale = scale(inside(moov, &[b"mvhd"])?)?;
    let priming = priming(moov);
    let is_audio = |trak: &&[u8]| inside(trak, &[b"mdia", b"hdlr"]).and_then(|hdlr| hdlr.get(8..12)) == Some(b"soun");
    let traks = boxes(moov).filter(|(kind, _)| kind == b"trak").map(|(_, body)| body).filter(is_audio);
    let track = |trak| {
        let id = inside(trak, &[b"tkhd"]).and_then(track_id);
        TrackLayout { id, ..track(trak, movie_scale, priming).unwrap_or_default() }
    };
    Some(traks.map(track).collect())
}

/// `priming`: samples of delay where there is no edit list.
fn track(trak: &[u8], movie_scale: f64, priming: Option<f64>) -> Option<TrackLayout> {
    let media_scale = scale(inside(trak, &[b"mdia", b"mdhd"])?)?;
    let (entry, body) = boxes(inside(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?.get(8..)?).next()?;
    let (delay_s, keep_s) = edit(trak, media_scale, movie_scale).unwrap_or((0.0, None));
    let delay_s = if delay_s > 0.0 { delay_s } else { priming.unwrap_or(0.0) / media_scale };
    Some(TrackLayout {
        codec: Some(codec_name(entry)),
        // For HE-AAC twice that of the decoder's configuration.
        sample_rate: Some(u32::from(be16(body, 24).unwrap_or(0))),
        timing: TrackTiming {
            start_s: start(trak, movie_scale).unwrap_or(0.0),
            delay_s,
            keep_s,
            ..TrackTiming::default()
        },
        ..TrackLayout::default()
    })
}

/// Of the type of a sample entry, like `mp4a`.
fn codec_name(entry: &[u8]) -> String {
    let entry = String::from_utf8_lossy(entry).trim().to_lowercase();
    match entry.as_str() {
        "samr" | "sawb" | "sawp" => "AMR".into(),
        "ac-3" | "ec-3" => "AC-3".into(),
        "sqcp" => "QCELP".into(),
        _ => entry,
    }
}

/// Ticks a second of a `mvhd` or `mdhd` box.
fn scale(header: &[u8]) -> Option<f64> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    be32(header, at).filter(|scale| *scale > 0).map(f64::from)
}

/// Number of the track, of a `tkhd` box.
fn track_id(header: &[u8]) -> Option<u32> {
    be32(header, if *header.first()? == 1 { 20 } else { 12 })
}

/// Seconds until the track begins: the empty edits before the first that refers to media.
fn start(track: &[u8], movie_scale: f64) -> Option<f64> {
    let edits = edits(track)?;
    Some(edits.take_while(|edit| edit.time < 0.0).map(|edit| edit.duration / movie_scale).sum())
}

/// Seconds to skip, then to keep, by the first edit that refers to media.
fn edit(track: &[u8], media_scale: f64, movie_scale: f64) -> Option<(f64, Option<f64>)> {
    let edit = edits(track)?.find(|edit| edit.time >= 0.0)?;
    let keep = (edit.duration > 0.0).then_some(edit.duration / movie_scale);
    Some((edit.time / media_scale, keep))
}

/// One entry of an edit list.
struct Edit {
    /// In ticks of the movie.
    duration: f64,
    /// In ticks of the media; negative for an empty edit.
    time: f64,
}

/// The entries of a track's edit list.
fn edits(track: &[u8]) -> Option<impl Iterator<Item = Edit> + '_> {
    let list = inside(track, &[b"edts", b"elst"])?;
    let wide = *list.first()? == 1;
    let (size, count) = (if wide { 20 } else { 12 }, be32(list, 4)? as usize);
    Some((0..count.min(1024)).map_while(move |n| {
        let at = 8 + n * size;
        Some(if wide {
            Edit { duration: be64(list, at)? as f64, time: be64(list, at + 8)?.cast_signed() as f64 }
        } else {
            Edit { duration: f64::from(be32(list, at)?), time: f64::from(be32(list, at + 4)?.cast_signed()) }
        })
    }))
}

/// Samples of delay by Apple's own tag, in files without an edit list.
fn priming(moov: &[u8]) -> Option<f64> {
    let at = moov.windows(8).position(|bytes| bytes == b"iTunSMPB")?;
    let text = moov.get(at + 8..(at + 8 + 200).min(moov.len()))?;
    let digits: String = text.iter().skip_while(|b| **b != b' ').map(|b| char::from(*b)).collect();
    let samples = digits.split_ascii_whitespace().nth(1)?;
    let samples = u32::from_str_radix(samples.get(..8)?, 16).ok()?;
    (samples < 16_384).then(|| f64::from(samples))
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;

    fn boxed(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], &kind, body].concat()
    }

    #[test]
    fn missing_bytes_are_counted_and_a_missing_index_is_noticed() {
        let mut bytes = boxed(*b"ftyp", b"isom");
        bytes.extend(boxed(*b"mdat", &[0; 100]));
        bytes.truncate(bytes.len() - 30);
        let found = read(&mut input(&bytes)).expect("read");
        assert_eq!(found, Boxes { missing: 30, tracks: None });
    }

    #[test]
    fn an_index_larger_than_memory_is_refused() {
        let mut bytes = boxed(*b"ftyp", b"isom");
        bytes.extend([&(MAX_MOOV as u32 + 9).to_be_bytes()[..], b"moov"].concat());
        let failure = read(&mut input(&bytes)).expect_err("too large");
        assert_eq!(failure.code, domain::FailureCode::AudioBadHeader, "{failure}");
    }

    #[test]
    fn apples_tag_gives_the_delay() {
        let text = b"....iTunSMPB\0\0\0\x84data\0\0\0\x01\0\0\0\0 00000000 00000840 000001C0 00000000000AC0C0";
        assert_eq!(priming(text), Some(f64::from(0x840u16)));
    }

    #[test]
    fn many_tracks_are_read_in_one_pass_over_the_index() {
        let scale = |kind: [u8; 4]| boxed(kind, &[&[0; 12][..], &8_000u32.to_be_bytes()].concat());
        let entries = boxed(*b"stsd", &[&[0; 8][..], &boxed(*b"mp4a", &[])].concat());
        let tables = boxed(*b"minf", &boxed(*b"stbl", &entries));
        let sound = boxed(*b"hdlr", b"\0\0\0\0\0\0\0\0soun");
        let trak = boxed(*b"trak", &boxed(*b"mdia", &[sound, scale(*b"mdhd"), tables].concat()));
        let count = 20_000;
        let moov = [scale(*b"mvhd"), trak.repeat(count)].concat();
        let begun = std::time::Instant::now();
        let found = tracks(&moov).expect("a movie header");
        assert_eq!(found.len(), count);
        assert_eq!(found[0].codec.as_deref(), Some("mp4a"));
        // A pass for each track would take minutes.
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }
}
