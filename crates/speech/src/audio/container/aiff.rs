//! AIFF and AIFF-C.

use super::{Container, Input, Layout, TrackLayout, TrackTiming, caf, codec_name};
use crate::audio::bytes::{be16, be32, be64};
use domain::Failure;
use symphonia::default::formats::AiffReader;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

/// Chunks looked at before the audio must have begun.
const MAX_CHUNKS: usize = 512;
/// Most bytes of them.
const MAX_HEADER: u64 = 1024 * 1024;
/// Missing audio that is no loss, seconds.
const TOLERATED_S: f64 = 0.02;

pub(super) struct Aiff;

impl Container for Aiff {
    fn name(&self) -> &'static str {
        "aiff"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        (input.has(0, b"FORM") && (input.has(8, b"AIFF") || input.has(8, b"AIFC"))).then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let chunks = chunks(input)?;
        // Writers to a pipe put 0 or the largest number for a length that they don't know yet.
        let size = be32(&input.head, 4).filter(|size| (1..u32::MAX).contains(size)).map_or(0, u64::from);
        let missing = (input.start + 8 + size).saturating_sub(input.length);
        let mut layout = match (&chunks.codec[..], &chunks.sound) {
            // The demuxer of another format knows this codec.
            (b"ima4", Some(sound)) => Layout {
                header: caf::ima4_header(chunks.rate, chunks.channels, sound.end - sound.start),
                ..Layout::new(&caf::Caf, sound.clone())
            },
            _ => Layout::new(&Aiff, input.start..input.length),
        };
        let tolerated =
            f64::from(chunks.rate) * f64::from(chunks.channels) * f64::from(chunks.bits) / 8.0 * TOLERATED_S;
        if missing as f64 > tolerated {
            layout.missing = missing;
        } else if let (1.., Some(body), "aiff") = (missing, chunks.body, layout.container.name())
            && body - input.start <= MAX_HEADER
        {
            (layout.header, layout.range) = (shorter(input, body)?, body..input.length);
        }
        layout.readable_in_part = false;
        let timing = TrackTiming { decoded_s: chunks.decoded_s(), ..TrackTiming::default() };
        layout.tracks.push(TrackLayout {
            timing,
            codec: (!chunks.codec.is_empty()).then(|| codec_name(&chunks.codec)),
            ..TrackLayout::default()
        });
        Ok(layout)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(AiffReader::try_new(stream, FormatOptions::default())?))
    }

    fn complete(&self, timing: TrackTiming, track: &Track, _: &AudioCodecParameters) -> TrackTiming {
        TrackTiming { sample_count: track.num_frames, ..timing }
    }
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
    /// Where the content of the audio's chunk begins.
    body: Option<u64>,
    /// Where the audio is.
    sound: Option<std::ops::Range<u64>>,
}

impl Chunks {
    /// Seconds of the audio that the file has; `None` where its bytes don't say.
    fn decoded_s(&self) -> Option<f64> {
        let sound = self.sound.as_ref()?;
        let bytes = (sound.end - sound.start) as f64;
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
fn shorter(input: &mut Input, body: u64) -> Result<Vec<u8>, Failure> {
    let mut header = input.read(input.start, (body - input.start) as usize)?;
    let (chunk, file) = (input.length - body, input.length - input.start - 8);
    let at = header.len() - 4;
    header[at..].copy_from_slice(&(chunk as u32).to_be_bytes());
    header[4..8].copy_from_slice(&(file as u32).to_be_bytes());
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
                found.channels = be16(&common, 0).unwrap_or(0);
                found.bits = be16(&common, 6).unwrap_or(0);
                found.rate = common.get(8..18).and_then(rate).unwrap_or(0);
                found.codec = common.get(18..22).unwrap_or_default().to_vec();
            }
            b"SSND" => {
                found.body = Some(body);
                let offset = be32(&input.read(body, 4)?, 0).unwrap_or(0);
                let begin = body.saturating_add(8).saturating_add(offset.into());
                let end = body.saturating_add(size.into()).min(input.length);
                found.sound = Some(begin.min(end)..end);
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
