//! WAV, RF64 and BW64. The header is read here rather than by the demuxer, since recorders write lengths of 0,
//! lengths of "endless", lengths that are off by a header and lengths past 4 GiB, and each means something else.

use super::{Container, Input, Layout, MAX_PARTS, TrackLayout, TrackTiming, mpeg, tag};
use crate::audio::bytes::{le16, le32, le64};
use crate::audio::{codec, errors};
use domain::Failure;
use std::ops::Range;
use symphonia::default::formats::WavReader;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatOptions, FormatReader};
use symphonia_core::io::MediaSourceStream;

/// Chunks looked at before the audio must have begun.
const MAX_CHUNKS: usize = 512;
/// Lengths from here on, when the file is shorter, are what writers to a pipe put in advance: 2 or 4 GiB, less a
/// header, or the multiple of a block below.
const ENDLESS: u64 = 0x7fff_0000;
/// Lengths of 64 bits from here on are no lengths.
const ENDLESS_LONG: u64 = 1 << 62;
/// Bytes at the file's end in which chunks that the audio's length covers are searched for.
const TAIL: u64 = 64 * 1024;
/// Chunks that writers put behind the audio.
const BEHIND_AUDIO: [&[u8; 4]; 14] = [
    b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"inst", b"iXML", b"_PMX", b"axml", b"JUNK", b"PAD ",
    b"afsp", b"fact",
];
/// Missing audio that is no loss, seconds: less than a packet of any recorder.
const TOLERATED_S: f64 = 0.02;

pub(super) struct Wav;

impl Container for Wav {
    fn name(&self) -> &'static str {
        "wav"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        begins_file(&input.head).then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let data = data_chunk(input)?;
        let mut layout = match data.coding {
            Coding::Mpeg => mpeg::layout(input, data.range)?,
            Coding::Header(header) => {
                let timing = TrackTiming { decoded_s: data.decoded_s, ..TrackTiming::default() };
                let track = TrackLayout { timing, ..TrackLayout::default() };
                Layout { header, tracks: vec![track], ..Layout::new(&Wav, data.range) }
            }
        };
        (layout.missing, layout.ignored) = (data.missing, data.ignored);
        Ok(layout)
    }

    /// A file whose length is true may have another one behind it, header and all.
    fn parts(&self, input: &mut Input) -> Result<Vec<Range<u64>>, Failure> {
        let (mut parts, mut begin) = (Vec::new(), input.start);
        while parts.len() < MAX_PARTS {
            let Front { format: Some(format), audio: Some((body, declared)) } = front(input, begin)? else { break };
            let is_mpeg = matches!(le16(&format, 0), Some(0x50 | 0x55));
            let end = body.saturating_add(declared);
            if is_mpeg || declared == 0 || end >= input.length {
                break;
            }
            let end = behind(input, body, declared)?;
            let next = end_of_chunks(input, end)?;
            if !begins_file(&input.read(next, 12)?) {
                break;
            }
            parts.push(begin..next);
            begin = next;
        }
        parts.push(begin..input.length);
        Ok(parts)
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>, _: &TrackLayout) -> SymphoniaResult<Box<dyn FormatReader>> {
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
    /// Bytes behind it that are neither sound nor chunks.
    ignored: u64,
    /// Seconds of the samples in `range`; `None` where their number does not follow from the bytes.
    decoded_s: Option<f64>,
}

/// What a `data` chunk holds.
enum Coding {
    /// Samples; a canonical header for the demuxer, with room for any length.
    Header(Vec<u8>),
    /// MPEG audio frames.
    Mpeg,
}

/// What comes before the audio.
#[derive(Default)]
struct Front {
    /// The content of the `fmt ` chunk.
    format: Option<Vec<u8>>,
    /// Where the content of the `data` chunk begins, and its declared length.
    audio: Option<(u64, u64)>,
}

/// Reads the header that begins at `start`: RIFF, RF64 or BW64.
fn front(input: &mut Input, start: u64) -> Result<Front, Failure> {
    let (mut position, mut found, mut long_length) = (start + 12, Front::default(), None);
    for _ in 0..MAX_CHUNKS {
        let chunk = input.read(position, 8)?;
        let Some(declared) = le32(&chunk, 4) else { break };
        let body = position + 8;
        match &chunk[..4] {
            b"ds64" => long_length = le64(&input.read(body, 28)?, 8),
            b"LIST" if input.read(body, 4)? == b"wavl" => {
                return Err(errors::unsupported("WAV whose sound is in a list of pieces (wavl)"));
            }
            b"fmt " => found.format = Some(input.read(body, declared.min(128) as usize)?),
            b"data" => {
                let declared = match (declared, long_length) {
                    (u32::MAX, Some(long)) => long,
                    _ => u64::from(declared),
                };
                found.audio = Some((body, declared));
                break;
            }
            _ => {}
        }
        position = behind(input, body, declared.into())?;
        if position >= input.length {
            break;
        }
    }
    Ok(found)
}

/// Where the chunk behind the content of this length begins: behind a byte that fills up an odd one, which some writers
/// leave out.
fn behind(input: &mut Input, body: u64, length: u64) -> Result<u64, Failure> {
    let end = body.saturating_add(length);
    let is_filled = length % 2 == 1 && !is_chunk_id(&input.read(end, 4)?);
    Ok(end + u64::from(is_filled))
}

/// Reads the header of the file.
fn data_chunk(input: &mut Input) -> Result<Data, Failure> {
    match front(input, input.start)? {
        Front { format: Some(format), audio: Some((body, declared)) } => data(input, &format, declared, body),
        Front { format: None, audio: Some(_) } => Err(bad("has no format before its audio")),
        Front { format: Some(_), audio: None } => Err(errors::truncated("the WAV file ends before its audio begins")),
        Front { format: None, audio: None } => Err(bad("has no format chunk")),
    }
}

/// Where the chunks behind the audio that ends here end themselves.
fn end_of_chunks(input: &mut Input, mut at: u64) -> Result<u64, Failure> {
    for _ in 0..MAX_CHUNKS {
        let chunk = input.read(at, 8)?;
        let Some(size) = le32(&chunk, 4).filter(|_| is_chunk_id(&chunk[..4])) else { break };
        // Another `data` chunk is lost sound; the last chunk may be cut.
        if chunk.starts_with(b"data")
            || begins_file(&input.read(at, 12)?)
            || at + 8 + u64::from(size) > input.length && !is_behind_audio(&chunk)
        {
            break;
        }
        at = behind(input, at + 8, size.into())?.min(input.length);
    }
    Ok(at)
}

fn is_behind_audio(chunk: &[u8]) -> bool {
    BEHIND_AUDIO.iter().any(|id| chunk.starts_with(*id))
}

/// Whether a file begins with these bytes.
fn begins_file(bytes: &[u8]) -> bool {
    [b"RIFF", b"RF64", b"BW64"].iter().any(|magic| bytes.starts_with(*magic)) && bytes.get(8..12) == Some(b"WAVE")
}

/// Bytes of the usual headers: lengths that are wrong by less than that are wrong by some part of the header.
const SHORT_HEADER: u64 = 64;

/// The `data` chunk of this declared length, whose content begins at `body`.
fn data(input: &mut Input, format: &[u8], declared: u64, body: u64) -> Result<Data, Failure> {
    let (coding, block) = coding(format, &input.read(body, 4096)?)?;
    let available = input.length.saturating_sub(body);
    let endless = declared == 0 || declared >= ENDLESS_LONG || declared >= ENDLESS && declared > available;
    let covered = declared.min(available);
    let held = match (declared, endless) {
        (0, _) if chunks_fill(&input.read(body, TAIL as usize)?, available) => 0,
        (0, _) => sound(input, body, available)?,
        _ if covered == available => sound(input, body, available)?,
        _ => covered,
    };
    let rate = le32(format, 4).unwrap_or(0);
    let blocks = codec::of_wave_format(format).ok().and_then(|coding| coding.blocks);
    let of_block = blocks.map_or(1, |blocks| blocks.frames.max(1));
    let tolerated = (f64::from(rate) * f64::from(block) / f64::from(of_block) * TOLERATED_S) as u64;
    let tolerated = tolerated.max(u64::from(block)).max(SHORT_HEADER);
    let missing = if endless { 0 } else { declared - covered };
    // A length that counts the header too, as that of RIFF does (without its first 8 bytes), or the whole file.
    let header = body - input.start;
    let missing = if missing > tolerated && missing != header && missing + 8 != header { missing } else { 0 };
    let range = body..body + (held - held % u64::from(block));
    let behind = if endless || covered == available { 0 } else { behind(input, body, declared)? };
    let ignored = if behind == 0 { 0 } else { end_of_chunks(input, behind).and_then(|at| tag::unknown(input, at))? };
    let ignored = if ignored > tolerated { ignored } else { 0 };
    let coding = match coding {
        // The last packet of a codec with blocks is as long as its length says.
        Coding::Header(mut header) if block > 1 => {
            let length = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
            let at = header.len() - 4;
            header[at..].copy_from_slice(&length.to_le_bytes());
            Coding::Header(header)
        }
        coding => coding,
    };
    let frames = match blocks {
        Some(blocks) => held / u64::from(blocks.bytes.max(1)) * u64::from(blocks.frames),
        None => held / u64::from(block),
    };
    let decoded_s = (rate > 0).then(|| frames as f64 / f64::from(rate));
    Ok(Data { coding, range, missing, ignored, decoded_s })
}

/// Bytes of `available` from `body` on that are sound: those before chunks up to the file's end, which a length that is
/// too large covers.
fn sound(input: &mut Input, body: u64, available: u64) -> Result<u64, Failure> {
    let searched = available.min(TAIL);
    let tail = input.read(body + available - searched, searched as usize)?;
    let begins = |at: &usize| {
        let rest = &tail[*at..];
        is_behind_audio(rest) && chunks_fill(rest, rest.len() as u64)
    };
    let chunks = (0..tail.len().saturating_sub(8)).find(begins);
    Ok(chunks.map_or(available, |at| available - searched + at as u64))
}

/// Whether the `length` bytes that begin with `bytes` are chunks, one after the other.
fn chunks_fill(bytes: &[u8], length: u64) -> bool {
    let mut at = 0u64;
    for _ in 0..MAX_CHUNKS {
        let Some(chunk) = usize::try_from(at).ok().and_then(|at| bytes.get(at..)) else { return false };
        let Some(size) = le32(chunk, 4).filter(|_| is_chunk_id(&chunk[..4])) else { return false };
        let end = at + 8 + u64::from(size);
        at = end + u64::from(size & 1);
        if end == length || at == length {
            return true;
        }
    }
    false
}

/// Whether these are the four characters of a chunk's name.
fn is_chunk_id(bytes: &[u8]) -> bool {
    bytes.len() == 4 && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b" _".contains(byte))
}

fn bad(what: &str) -> Failure {
    errors::bad_header(format!("the WAV header {what}"))
}

/// The coding that a `fmt ` chunk names, and the bytes of one indivisible block. `sound`: the first bytes of audio.
fn coding(format: &[u8], sound: &[u8]) -> Result<(Coding, u32), Failure> {
    let field = |at| le16(format, at).ok_or_else(|| bad("is cut short"));
    // The oldest headers don't say how many bits a sample has.
    let (mut tag, channels, block, mut bits) = (field(0)?, field(2)?, field(12)?, le16(format, 14).unwrap_or(0));
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
    if tag == 1 && bits == 24 && block == channels.saturating_mul(4) {
        // 24 bits of 32, or Cool Edit's numbers with a fraction, which look the same in the header.
        if sound.is_empty() || sound.chunks_exact(4).any(|sample| sample[0] != 0) {
            return Err(errors::unsupported("samples of 24 bits in blocks of 4 bytes"));
        }
        bits = 32;
    }
    if tag == 1 && bits == 0 {
        bits = block / channels * 8;
    }
    if tag == 1 && !bits.is_multiple_of(8) {
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
            return Err(errors::unsupported(&codec::wave_format_name(tag)));
        }
    };
    if !known && tag == 3 {
        return Err(errors::unsupported(&format!("floating-point samples of {bits} bits")));
    }
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
