//! WAV, RF64 and BW64. The header is read here rather than by the demuxer, since recorders write lengths of 0,
//! lengths of "endless" and lengths past 4 GiB, and each means something else.

use super::{Container, Input, Layout, mpeg};
use crate::audio::bytes::{le16, le32, le64};
use crate::audio::errors;
use domain::Failure;
use std::ops::Range;
use symphonia::default::formats::WavReader;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader};
use symphonia_core::io::MediaSourceStream;

/// Chunks looked at before the audio must have begun.
const MAX_CHUNKS: usize = 512;
/// Lengths from here on, when the file is shorter, are what writers to a pipe put in advance.
const ENDLESS: u64 = 0x7fff_f000;

pub(super) struct Wav;

impl Container for Wav {
    fn name(&self) -> &'static str {
        "wav"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        let riff = [b"RIFF", b"RF64", b"BW64"].into_iter().any(|magic| input.has(0, magic));
        (riff && input.has(8, b"WAVE")).then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let data = data_chunk(input)?;
        let mut layout = match data.coding {
            Coding::Mpeg => mpeg::layout(input, data.range)?,
            Coding::Header(header) => Layout { header, ..Layout::new(&Wav, data.range) },
        };
        layout.missing = data.missing;
        Ok(layout)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(WavReader::try_new(stream, FormatOptions::default())?))
    }
}

/// The `data` chunk.
struct Data {
    /// How its samples are coded.
    coding: Coding,
    /// Its whole blocks, within the file.
    range: Range<u64>,
    /// Bytes that the header promises and the file does not have.
    missing: u64,
}

/// What a `data` chunk holds.
enum Coding {
    /// Samples; a canonical header for the demuxer, with room for any length.
    Header(Vec<u8>),
    /// MPEG audio frames.
    Mpeg,
}

/// Reads the header: RIFF, RF64 or BW64.
fn data_chunk(input: &mut Input) -> Result<Data, Failure> {
    let (mut position, mut format, mut long_length) = (input.start + 12, None, None);
    for _ in 0..MAX_CHUNKS {
        let chunk = input.read(position, 8)?;
        let Some(declared) = le32(&chunk, 4) else { break };
        let body = position + 8;
        match &chunk[..4] {
            b"ds64" => long_length = le64(&input.read(body, 28)?, 8),
            b"fmt " => format = Some(input.read(body, declared.min(128) as usize)?),
            b"data" => {
                let format = format.ok_or_else(|| bad("has no format before its audio"))?;
                let (coding, block) = coding(&format)?;
                let declared = match (declared, long_length) {
                    (u32::MAX, Some(long)) => long,
                    _ => u64::from(declared),
                };
                let available = input.length.saturating_sub(body);
                let endless = declared == 0 || declared >= ENDLESS && long_length.is_none();
                let held = if endless {
                    available.min(if declared == 0 { u64::MAX } else { declared })
                } else {
                    declared.min(available)
                };
                let missing = if endless { 0 } else { declared - held };
                let whole = held - held % u64::from(block);
                return Ok(Data { coding, range: body..body + whole, missing });
            }
            _ => {}
        }
        position = body + u64::from(declared) + u64::from(declared & 1);
        if position >= input.length {
            break;
        }
    }
    Err(match format {
        Some(_) => errors::truncated("the WAV file ends before its audio begins"),
        None => bad("has no format chunk"),
    })
}

fn bad(what: &str) -> Failure {
    errors::bad_header(format!("the WAV header {what}"))
}

/// The coding that a `fmt ` chunk names, and the bytes of one indivisible block.
fn coding(format: &[u8]) -> Result<(Coding, u32), Failure> {
    let field = |at| le16(format, at).ok_or_else(|| bad("is cut short"));
    let (mut tag, channels, block, mut bits) = (field(0)?, field(2)?, field(12)?, field(14)?);
    let rate = le32(format, 4).unwrap_or(0);
    if rate == 0 || channels == 0 {
        return Err(bad(&format!("says {rate} Hz and {channels} channels")));
    }
    if tag == 0xfffe {
        // The sub-format's GUID begins with the tag it stands for.
        tag = le16(format, 24).ok_or_else(|| bad("is cut short"))?;
    }
    if matches!(tag, 0x50 | 0x55) {
        return Ok((Coding::Mpeg, 1));
    }
    let adpcm = matches!(tag, 2 | 0x11);
    if adpcm {
        return Ok((Coding::Header(header(format)), u32::from(block.max(1))));
    }
    if matches!(tag, 1) && !bits.is_multiple_of(8) {
        bits = bits.next_multiple_of(8); // 12 bits are stored in 16, the lowest four empty
    }
    let known = match tag {
        1 => matches!(bits, 8 | 16 | 24 | 32),
        3 => matches!(bits, 32 | 64),
        6 | 7 => {
            bits = 8;
            true
        }
        _ => {
            return Err(errors::unsupported(&name_of(tag)));
        }
    };
    if !known {
        return Err(bad(&format!("says {bits} bits a sample")));
    }
    let bytes = u32::from(bits / 8) * u32::from(channels);
    let block = u16::try_from(bytes).map_err(|_| bad(&format!("says {channels} channels")))?;
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
