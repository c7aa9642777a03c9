//! AIFF and AIFF-C.

use super::{Container, Input, Layout, MAX_PARTS, TrackLayout, TrackTiming, caf, codec_name, tag};
use crate::audio::bytes::{be16, be32, be64};
use crate::audio::errors;
use domain::Failure;
use std::ops::Range;
use symphonia::default::formats::AiffReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

/// Chunks looked at before the audio must have begun.
const MAX_CHUNKS: usize = 512;
/// Most bytes of them.
const MAX_HEADER: u64 = 1024 * 1024;
/// Lengths from here on, when the file is shorter, are what writers to a pipe put in advance.
const ENDLESS: u64 = 0x7f00_0000;
/// Codecs that can be decoded, in small letters. That of AIFF has no name.
const KNOWN: [&[u8]; 13] =
    [b"", b"none", b"twos", b"sowt", b"raw ", b"ulaw", b"alaw", b"in24", b"23ni", b"in32", b"fl32", b"fl64", b"ima4"];
/// Missing audio that is no loss, seconds.
const TOLERATED_S: f64 = 0.02;

pub(super) struct Aiff;

impl Container for Aiff {
    fn name(&self) -> &'static str {
        "aiff"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        begins_file(&input.head).then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let form_end = be32(&input.head, 4).map_or(0, |length| input.start + 8 + u64::from(length));
        let chunks = chunks(input)?;
        if chunks.body.is_some() && !KNOWN.contains(&&chunks.codec.to_ascii_lowercase()[..]) {
            return Err(errors::unsupported(&codec_name(&chunks.codec)));
        }
        let sound = chunks.sound(input);
        let mut layout = match (&chunks.codec[..], &sound) {
            // The demuxer of another format knows this codec.
            (b"ima4", Some(sound)) => {
                let begin = sound.samples.min(sound.end);
                Layout {
                    header: caf::ima4_header(chunks.rate, chunks.channels, sound.end - begin),
                    ..Layout::new(&caf::Caf, begin..sound.end)
                }
            }
            _ => Layout::new(&Aiff, input.start..input.length),
        };
        let decoded_s = sound.as_ref().and_then(|sound| chunks.decoded_s(sound));
        if let Some(sound) = sound {
            layout.missing = sound.missing;
            let in_front = chunks.common.is_some_and(|common| common < sound.body);
            if layout.container.name() == "aiff"
                && sound.is_corrected
                && in_front
                && sound.missing == 0
                && sound.body - input.start <= MAX_HEADER
            {
                (layout.header, layout.range) = (corrected(input, &chunks, &sound)?, sound.body..sound.end);
            }
        }
        layout.readable_in_part = false;
        let behind_audio = chunks.body.is_some_and(|(body, length, _)| length > 0 && form_end >= body + length);
        if behind_audio && form_end < input.length {
            layout.ignored = tag::unknown(input, form_end)?;
        }
        let timing = TrackTiming { decoded_s, ..TrackTiming::default() };
        layout.tracks.push(TrackLayout {
            timing,
            codec: (!chunks.codec.is_empty()).then(|| codec_name(&chunks.codec)),
            ..TrackLayout::default()
        });
        Ok(layout)
    }

    /// A file whose length is true may have another one behind it, header and all.
    fn parts(&self, input: &mut Input) -> Result<Vec<Range<u64>>, Failure> {
        let (mut parts, mut begin) = (Vec::new(), input.start);
        while parts.len() < MAX_PARTS {
            let Some(length) = be32(&input.read(begin, 8)?, 4).map(u64::from) else { break };
            let end = begin + 8 + length;
            let found =
                [end, end + (length & 1)].map(|at| input.read(at, 12).map(|bytes| begins_file(&bytes).then_some(at)));
            let [exact, filled] = found;
            let Some(next) = exact?.or(filled?) else { break };
            parts.push(begin..next);
            begin = next;
        }
        parts.push(begin..input.length);
        Ok(parts)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(AiffReader::try_new(stream, FormatOptions::default())?))
    }

    fn complete(&self, timing: TrackTiming, track: &Track, _: &AudioCodecParameters) -> TrackTiming {
        TrackTiming { sample_count: track.num_frames, ..timing }
    }
}

/// Whether a file begins with these bytes.
fn begins_file(bytes: &[u8]) -> bool {
    bytes.starts_with(b"FORM") && matches!(bytes.get(8..12), Some(b"AIFF" | b"AIFC"))
}

/// What the chunks before the audio say.
#[derive(Debug, Default)]
struct Chunks {
    channels: u16,
    /// Of a sample.
    bits: u16,
    /// Hz.
    rate: u32,
    /// Four characters; none in AIFF.
    codec: Vec<u8>,
    /// Samples per channel, or packets, as the header counts them.
    count: u32,
    /// Where the content of the description's chunk begins.
    common: Option<u64>,
    /// Where the content of the audio's chunk begins, its length, and the offset of the samples behind its eight bytes.
    body: Option<(u64, u64, u64)>,
}

/// Where the audio is, whatever lengths the header has.
#[derive(Debug)]
struct Sound {
    /// Where the content of its chunk begins and ends, and where the samples begin.
    body: u64,
    end: u64,
    samples: u64,
    /// Bytes that the header promises and the file does not have.
    missing: u64,
    /// Whether the header has other lengths.
    is_corrected: bool,
}

impl Chunks {
    /// Bytes of a sample of each channel, or of a packet.
    fn block(&self) -> Option<u64> {
        let bytes = match &self.codec[..] {
            b"" | b"NONE" | b"twos" | b"sowt" | b"raw " => u64::from(self.bits).div_ceil(8),
            b"ulaw" | b"ULAW" | b"alaw" | b"ALAW" => 1,
            b"in24" => 3,
            b"in32" | b"fl32" | b"FL32" => 4,
            b"fl64" | b"FL64" => 8,
            b"ima4" => 34,
            _ => return None,
        };
        Some(bytes * u64::from(self.channels)).filter(|block| *block > 0)
    }

    /// Writers to a pipe put 0 or a number of gigabytes for lengths that they don't know yet; others forget the eight
    /// bytes before the samples.
    fn sound(&self, input: &Input) -> Option<Sound> {
        let (body, declared, offset) = self.body?;
        let available = input.length.saturating_sub(body);
        let form = be32(&input.head, 4).map_or(0, u64::from);
        let form_end = input.start + 8 + form;
        let counted = self.block().map(|block| 8 + u64::from(self.count) * block).filter(|_| self.count > 0);
        let endless = declared == 0 || declared >= ENDLESS && declared > available;
        let tolerated = f64::from(self.rate) * f64::from(self.channels) * f64::from(self.bits) / 8.0 * TOLERATED_S;
        let held = if endless {
            let by_form = (form < ENDLESS && form_end > body + 8).then(|| form_end - body);
            [counted, by_form].into_iter().flatten().find(|held| *held <= available).unwrap_or(available)
        } else if counted == Some(declared + 8) {
            declared + 8
        } else {
            declared
        };
        let missing = held.saturating_sub(available);
        let held = held.min(available);
        let form_is_wrong = form_end < body + held || form_end > input.length;
        Some(Sound {
            body,
            end: body + held,
            samples: body.saturating_add(8).saturating_add(offset),
            missing: if missing as f64 > tolerated { missing } else { 0 },
            is_corrected: held != declared || form_is_wrong,
        })
    }
}

impl Chunks {
    /// Seconds of the audio that the file has; `None` where its bytes don't say.
    fn decoded_s(&self, sound: &Sound) -> Option<f64> {
        let bytes = sound.end.saturating_sub(sound.samples) as f64;
        let channels = f64::from(self.channels.max(1));
        let frames = match &self.codec[..] {
            b"ima4" => bytes / (34.0 * channels) * 64.0,
            b"" | b"NONE" | b"sowt" | b"twos" if self.bits > 0 => bytes / f64::from(self.bits.div_ceil(8)) / channels,
            b"ulaw" | b"ULAW" | b"alaw" | b"ALAW" => bytes / channels,
            b"in24" => bytes / 3.0 / channels,
            b"in32" | b"fl32" | b"FL32" => bytes / 4.0 / channels,
            b"fl64" | b"FL64" => bytes / 8.0 / channels,
            _ => return None,
        };
        (self.rate > 0).then(|| frames / f64::from(self.rate))
    }
}

/// The header up to the content of the audio's chunk, with the lengths that the file has.
fn corrected(input: &mut Input, chunks: &Chunks, sound: &Sound) -> Result<Vec<u8>, Failure> {
    let mut header = input.read(input.start, (sound.body - input.start) as usize)?;
    let (chunk, file) = (sound.end - sound.body, sound.end - input.start - 8);
    let at = header.len() - 4;
    header[at..].copy_from_slice(&(chunk as u32).to_be_bytes());
    header[4..8].copy_from_slice(&(file as u32).to_be_bytes());
    let count = chunks.block().map(|block| sound.end.saturating_sub(sound.samples) / block);
    if let (Some(common), Some(count)) = (chunks.common, count)
        && let Some(field) = header.get_mut((common - input.start) as usize + 2..).and_then(|rest| rest.get_mut(..4))
    {
        field.copy_from_slice(&(count as u32).to_be_bytes());
    }
    Ok(header)
}

fn chunks(input: &mut Input) -> Result<Chunks, Failure> {
    let (mut found, mut position) = (Chunks::default(), input.start + 12);
    for _ in 0..MAX_CHUNKS {
        let chunk = input.read(position, 8)?;
        let Some(size) = be32(&chunk, 4) else { break };
        let body = position + 8;
        match &chunk[..4] {
            b"COMM" => {
                let common = input.read(body, size.min(64) as usize)?;
                found.common = Some(body);
                found.channels = be16(&common, 0).unwrap_or(0);
                found.count = be32(&common, 2).unwrap_or(0);
                found.bits = be16(&common, 6).unwrap_or(0);
                found.rate = common.get(8..18).and_then(rate).unwrap_or(0);
                found.codec = common.get(18..22).unwrap_or_default().to_vec();
            }
            b"SSND" => {
                let offset = be32(&input.read(body, 4)?, 0).unwrap_or(0);
                found.body = Some((body, size.into(), offset.into()));
            }
            _ => {}
        }
        position = body.saturating_add(u64::from(size) + u64::from(size & 1));
    }
    Ok(found)
}

/// Hz, of a floating-point number of 80 bits.
fn rate(bytes: &[u8]) -> Option<u32> {
    let (exponent, mantissa) = (be16(bytes, 0)? & 0x7fff, be64(bytes, 2)?);
    let shift = 16_383u32.checked_add(63)?.checked_sub(exponent.into())?;
    u32::try_from(mantissa.checked_shr(shift)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_eighty_bits() {
        assert_eq!(rate(&[0x40, 0x0b, 0xfa, 0, 0, 0, 0, 0, 0, 0]), Some(8_000));
        assert_eq!(rate(&[0x40, 0x0e, 0xac, 0x44, 0, 0, 0, 0, 0, 0]), Some(44_100));
        assert_eq!(rate(&[0; 10]), None);
    }
}
