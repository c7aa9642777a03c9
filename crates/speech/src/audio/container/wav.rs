//! WAV, RF64 and BW64: the header, read here rather than by the demuxer, since recorders write
//! lengths of 0, lengths of "endless" and lengths past 4 GiB, and each means something else.

use super::bytes::{le16, le32, le64, read_at};
use domain::{Failure, FailureCode};
use std::fs::File;

/// Chunks looked at before the sound must have begun.
const MAX_CHUNKS: usize = 512;
/// Lengths from here on, when the file is shorter, are what writers to a pipe put in advance.
const ENDLESS: u64 = 0x7fff_f000;

/// What is behind a WAV header.
#[derive(Debug, PartialEq)]
pub(in crate::audio) struct Wave {
    /// How the sound is coded.
    pub coding: Coding,
    /// Where the sound is in the file.
    pub start: u64,
    /// One past its last byte, never past the file's end.
    pub end: u64,
    /// Bytes that the header promises and the file lacks.
    pub missing: u64,
}

/// What a `data` chunk holds.
#[derive(Debug, PartialEq)]
pub(in crate::audio) enum Coding {
    /// A canonical header for the demuxer, with room for any length.
    Header(Vec<u8>),
    /// A stream of MPEG audio frames.
    Mpeg,
}

/// Reads the header at `base` of `file`, `length` bytes long: RIFF, RF64 or BW64.
pub(in crate::audio) fn read(file: &mut File, base: u64, length: u64) -> Result<Wave, Failure> {
    let unreadable = |e: std::io::Error| Failure::new(FailureCode::WorkerInternal, format!("reading the file: {e}"));
    let bad = |what: &str| Failure::new(FailureCode::AudioBadHeader, format!("the WAV header {what}"));
    let (mut position, mut format, mut long_length) = (base + 12, None, None);
    for _ in 0..MAX_CHUNKS {
        let chunk = read_at(file, position, 8).map_err(unreadable)?;
        let Some(declared) = le32(&chunk, 4) else { break };
        let body = position + 8;
        match &chunk[..4] {
            b"ds64" => long_length = le64(&read_at(file, body, 28).map_err(unreadable)?, 8),
            b"fmt " => format = Some(read_at(file, body, declared.min(128) as usize).map_err(unreadable)?),
            b"data" => {
                let format = format.ok_or_else(|| bad("has no format before its sound"))?;
                let (coding, block) = coding(&format)?;
                let declared = match (declared, long_length) {
                    (u32::MAX, Some(long)) => long,
                    _ => u64::from(declared),
                };
                let available = length.saturating_sub(body);
                let endless = declared == 0 || declared >= ENDLESS && long_length.is_none();
                let held = if endless {
                    available.min(if declared == 0 { u64::MAX } else { declared })
                } else {
                    declared.min(available)
                };
                let missing = if endless { 0 } else { declared - held };
                let whole = held - held % u64::from(block);
                return Ok(Wave { coding, start: body, end: body + whole, missing });
            }
            _ => {}
        }
        position = body + u64::from(declared) + u64::from(declared & 1);
        if position >= length {
            break;
        }
    }
    Err(match format {
        Some(_) => Failure::new(FailureCode::AudioTruncated, "the WAV file ends before its sound begins"),
        None => bad("has no format chunk"),
    })
}

/// The coding that a `fmt ` chunk names, and the bytes of one indivisible block.
fn coding(format: &[u8]) -> Result<(Coding, u32), Failure> {
    let bad = |what: String| Failure::new(FailureCode::AudioBadHeader, format!("the WAV header {what}"));
    let field = |at| le16(format, at).ok_or_else(|| bad("is cut short".into()));
    let (mut tag, channels, block, mut bits) = (field(0)?, field(2)?, field(12)?, field(14)?);
    let rate = le32(format, 4).unwrap_or(0);
    if rate == 0 || channels == 0 {
        return Err(bad(format!("says {rate} Hz and {channels} channels")));
    }
    if tag == 0xfffe {
        // The sub-format's GUID begins with the tag it stands for.
        tag = le16(format, 24).ok_or_else(|| bad("is cut short".into()))?;
    }
    if matches!(tag, 0x50 | 0x55) {
        return Ok((Coding::Mpeg, 1));
    }
    let adpcm = matches!(tag, 2 | 0x11);
    if adpcm {
        return Ok((Coding::Header(header(format)), u32::from(block.max(1))));
    }
    if matches!(tag, 1) && !bits.is_multiple_of(8) {
        bits = bits.next_multiple_of(8); // 12 bits are kept in 16, the lowest four empty
    }
    let known = match tag {
        1 => matches!(bits, 8 | 16 | 24 | 32),
        3 => matches!(bits, 32 | 64),
        6 | 7 => {
            bits = 8;
            true
        }
        _ => {
            let name = name_of(tag);
            return Err(Failure::new(
                FailureCode::AudioUnsupportedCodec,
                format!("the WAV file holds {name}, which can't be decoded"),
            ));
        }
    };
    if !known {
        return Err(bad(format!("says {bits} bits a sample")));
    }
    let bytes = u32::from(bits / 8) * u32::from(channels);
    let block = u16::try_from(bytes).map_err(|_| bad(format!("says {channels} channels")))?;
    let mut canonical = Vec::with_capacity(18);
    canonical.extend(tag.to_le_bytes());
    canonical.extend(channels.to_le_bytes());
    canonical.extend(rate.to_le_bytes());
    canonical.extend(rate.saturating_mul(bytes).to_le_bytes());
    canonical.extend(block.to_le_bytes());
    canonical.extend(bits.to_le_bytes());
    if tag != 1 {
        canonical.extend(0u16.to_le_bytes());
    }
    Ok((Coding::Header(header(&canonical)), bytes))
}

/// RIFF, this format, and a `data` chunk without a length.
fn header(format: &[u8]) -> Vec<u8> {
    let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt ".to_vec();
    header.extend((format.len() as u32).to_le_bytes());
    header.extend(format);
    if format.len() % 2 == 1 {
        header.push(0);
    }
    header.extend(b"data\xff\xff\xff\xff");
    header
}

fn name_of(tag: u16) -> String {
    let name = match tag {
        0x0010 => "OKI ADPCM",
        0x0014 | 0x0040 | 0x0045 | 0x0064 | 0xa122 | 0xa123 | 0xa140 => "G.726 or G.721 ADPCM",
        0x0022 => "TrueSpeech",
        0x0031 => "GSM 6.10",
        0x0034 | 0x0042 | 0xa100 => "G.723.1",
        0x0038 | 0x0057 | 0x0058 => "AMR",
        0x0059 | 0x0083 | 0x0133 => "G.729",
        0x0061 => "Duck DK4 ADPCM",
        0x0065 | 0x028f | 0xa112 => "G.722",
        0x00ff | 0x1600..=0x1610 | 0x706d | 0xa106 => "AAC",
        0x0160..=0x0163 => "Windows Media Audio",
        0x0075 | 0x0131 => "VoxWare speech",
        0x2000 => "AC-3",
        0xa109 => "Speex",
        0x674f..=0x6771 => "Vorbis",
        _ => return format!("a codec with the unknown tag 0x{tag:04x}"),
    };
    name.into()
}
