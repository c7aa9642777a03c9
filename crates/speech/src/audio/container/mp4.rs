//! The boxes of an MP4 file that the demuxer passes over: the edit list, without which the
//! encoder's delay is heard, and whether the boxes are all there.

use super::bytes::{be16, be32, be64, read_at};
use std::fs::File;

/// Most bytes of a `moov` box: the tables of a day of sound take a fifth of this.
const MAX_MOOV: u64 = 64 * 1024 * 1024;

/// Outermost boxes walked over at most: a day of fragments of a second, two boxes each.
const MAX_BOXES: usize = 200_000;

/// What the boxes say.
#[derive(Debug, Default, PartialEq)]
pub(in crate::audio) struct Mp4 {
    /// Bytes by which the last box goes past the end of the file.
    pub missing: u64,
    /// Whether there is a `moov` box: recorders write it last.
    pub indexed: bool,
    /// The first track of sound.
    pub sound: Option<Sound>,
}

/// The first track of sound.
#[derive(Debug, Default, PartialEq)]
pub(in crate::audio) struct Sound {
    /// Type of the sample entry, like `mp4a`.
    pub entry: [u8; 4],
    /// Hz, of the sample entry; for HE-AAC twice that of the decoder's configuration.
    pub rate: u32,
    /// Seconds of delay to leave out at the beginning.
    pub skip_s: f64,
    /// Seconds to keep after that.
    pub keep_s: Option<f64>,
}

/// Reads the boxes of `file`, `length` bytes long.
pub(in crate::audio) fn read(file: &mut File, length: u64) -> std::io::Result<Mp4> {
    let (mut found, mut position) = (Mp4::default(), 0u64);
    for _ in 0..MAX_BOXES {
        if position >= length {
            break;
        }
        let header = read_at(file, position, 16)?;
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
            found.indexed = true;
            let moov = read_at(file, position + body, (size - body).min(MAX_MOOV) as usize)?;
            found.sound = sound(&moov);
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

fn sound(moov: &[u8]) -> Option<Sound> {
    let movie_scale = scale(inside(moov, &[b"mvhd"])?)?;
    let track = boxes(moov)
        .filter(|(kind, _)| kind == b"trak")
        .map(|(_, body)| body)
        .find(|trak| inside(trak, &[b"mdia", b"hdlr"]).and_then(|hdlr| hdlr.get(8..12)) == Some(b"soun"))?;
    let media_scale = scale(inside(track, &[b"mdia", b"mdhd"])?)?;
    let (entry, body) = boxes(inside(track, &[b"mdia", b"minf", b"stbl", b"stsd"])?.get(8..)?).next()?;
    let (skip_s, keep_s) = edit(track, media_scale, movie_scale).unwrap_or((0.0, None));
    Some(Sound {
        entry: entry.try_into().ok()?,
        rate: u32::from(be16(body, 24).unwrap_or(0)),
        skip_s: if skip_s > 0.0 { skip_s } else { priming(moov, media_scale).unwrap_or(0.0) },
        keep_s,
    })
}

/// Ticks a second of a `mvhd` or `mdhd` box.
fn scale(header: &[u8]) -> Option<f64> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    be32(header, at).filter(|scale| *scale > 0).map(f64::from)
}

/// Seconds to leave out, then to keep, by the first edit that shows any media.
fn edit(track: &[u8], media_scale: f64, movie_scale: f64) -> Option<(f64, Option<f64>)> {
    let list = inside(track, &[b"edts", b"elst"])?;
    let wide = *list.first()? == 1;
    let (size, count) = (if wide { 20 } else { 12 }, be32(list, 4)? as usize);
    (0..count.min(1024)).find_map(|n| {
        let at = 8 + n * size;
        let (duration, time) = if wide {
            (be64(list, at)? as f64, be64(list, at + 8)?.cast_signed() as f64)
        } else {
            (f64::from(be32(list, at)?), f64::from(be32(list, at + 4)?.cast_signed()))
        };
        let keep = (duration > 0.0).then_some(duration / movie_scale);
        (time >= 0.0).then_some((time / media_scale, keep))
    })
}

/// Seconds of delay by Apple's own tag, which files without an edit list carry.
fn priming(moov: &[u8], media_scale: f64) -> Option<f64> {
    let at = moov.windows(8).position(|bytes| bytes == b"iTunSMPB")?;
    let text = moov.get(at + 8..(at + 8 + 200).min(moov.len()))?;
    let digits: String = text.iter().skip_while(|b| **b != b' ').map(|b| char::from(*b)).collect();
    let samples = digits.split_ascii_whitespace().nth(1)?;
    let samples = u32::from_str_radix(samples.get(..8)?, 16).ok()?;
    (samples < 16_384).then(|| f64::from(samples) / media_scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn boxed(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], &kind, body].concat()
    }

    #[test]
    fn a_box_past_the_end_is_counted_and_an_index_that_is_missing_noticed() {
        let mut file = tempfile::tempfile().expect("temporary file");
        let mut bytes = boxed(*b"ftyp", b"isom");
        bytes.extend(boxed(*b"mdat", &[0; 100]));
        bytes.truncate(bytes.len() - 30);
        file.write_all(&bytes).expect("written");
        let found = read(&mut file, bytes.len() as u64).expect("read");
        assert_eq!(found, Mp4 { missing: 30, indexed: false, sound: None });
    }

    #[test]
    fn apples_tag_gives_the_delay() {
        let text = b"....iTunSMPB\0\0\0\x84data\0\0\0\x01\0\0\0\0 00000000 00000840 000001C0 00000000000AC0C0";
        assert_eq!(priming(text, 44_100.0), Some(f64::from(0x840u16) / 44_100.0));
    }
}
