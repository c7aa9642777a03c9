//! The sample entry of a track: its codec, by the names of MP4 and QuickTime.

use super::boxes::{TypedBox, boxes, inside};
use crate::audio::bytes::{be16, be32, be64};
use crate::audio::codec::{self, Blocks, Coding};
use symphonia_core::codecs::audio::AudioCodecId;
use symphonia_core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS,
    CODEC_ID_PCM_ALAW, CODEC_ID_PCM_F32BE, CODEC_ID_PCM_F32LE, CODEC_ID_PCM_F64BE, CODEC_ID_PCM_F64LE,
    CODEC_ID_PCM_MULAW, CODEC_ID_PCM_S8, CODEC_ID_PCM_S16BE, CODEC_ID_PCM_S16LE, CODEC_ID_PCM_S24BE,
    CODEC_ID_PCM_S24LE, CODEC_ID_PCM_S32BE, CODEC_ID_PCM_S32LE, CODEC_ID_PCM_U8,
};

/// What a sample entry says besides its codec's own description.
struct Entry<'a> {
    /// Four characters.
    kind: &'a [u8],
    channels: u16,
    bits: u16,
    rate: u32,
    /// Of QuickTime's second version: 1 for floating point, 2 for big-endian, 4 for signed.
    flags: Option<u32>,
    /// Boxes behind the fields.
    boxes: &'a [u8],
}

/// The codec of a sample entry. `scale`: ticks a second of the track. `iso`: whether it is not QuickTime's.
///
/// # Errors
/// The codec's name, if it can't be decoded.
pub(super) fn coding(kind: &[u8], body: &[u8], scale: u32, iso: bool) -> Result<Coding, String> {
    let entry = Entry::read(kind, body, scale, iso).ok_or_else(|| format!("{} (cut short)", name(kind)))?;
    entry.coding()
}

/// The smallest unit of a codec whose packets have no structure of their own.
pub(super) fn unit(coding: &Coding) -> Option<Blocks> {
    let params = &coding.params;
    let bytes = match params.codec {
        _ if coding.blocks.is_some() => return coding.blocks,
        CODEC_ID_PCM_S8 | CODEC_ID_PCM_U8 | CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW => 1,
        CODEC_ID_PCM_S16BE | CODEC_ID_PCM_S16LE => 2,
        CODEC_ID_PCM_S24BE | CODEC_ID_PCM_S24LE => 3,
        CODEC_ID_PCM_S32BE | CODEC_ID_PCM_S32LE | CODEC_ID_PCM_F32BE | CODEC_ID_PCM_F32LE => 4,
        CODEC_ID_PCM_F64BE | CODEC_ID_PCM_F64LE => 8,
        _ => return None,
    };
    let channels = params.channels.as_ref().map_or(1, symphonia_core::audio::Channels::count);
    Some(Blocks { bytes: bytes * u32::try_from(channels).ok()?, frames: 1 })
}

/// The MPEG layer of a packet, as a codec.
pub(super) fn mpeg_layer(packet: &[u8]) -> Option<AudioCodecId> {
    let header = be32(packet, 0).filter(|header| header >> 21 == 0x7ff)?;
    [CODEC_ID_MP3, CODEC_ID_MP2, CODEC_ID_MP1].get((header >> 17 & 3).checked_sub(1)? as usize).copied()
}

/// Name of a codec by its four characters, which MP4, QuickTime, CAF and AIFF-C have in common, like `mp4a`.
pub(in crate::audio::container) fn name(kind: &[u8]) -> String {
    match kind {
        b"samr" | b"sawb" | b"sawp" => "AMR".into(),
        b"ac-3" | b"ec-3" => "AC-3".into(),
        b"sqcp" | b"Qclp" => "QCELP".into(),
        b"agsm" | b"GSM " => "GSM 6.10".into(),
        b"G722" => "G.722".into(),
        b"G721" | b"G723" | b"G726" => "G.726 or G.721 ADPCM".into(),
        b"G728" => "G.728".into(),
        b"G729" => "G.729".into(),
        b"ilbc" => "iLBC".into(),
        b"ADP4" | b"SDX2" | b"DWVW" | b"DWVN" => format!("{}, an ADPCM of AIFF-C", kind.escape_ascii()),
        b"enca" | b"drms" => "an encrypted MP4 track".into(),
        b"MAC3" | b"MAC6" => "MACE".into(),
        b"QDM2" | b"QDMC" => "QDesign Music".into(),
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" => "DTS".into(),
        b"msvo" | b"vorb" => "Vorbis in MP4".into(),
        b"spex" | b"Spex" => "Speex".into(),
        [b'm', b's', high, low] => codec::wave_format_name(u16::from_be_bytes([*high, *low])),
        _ => kind.escape_ascii().to_string().trim().to_lowercase(),
    }
}

impl<'a> Entry<'a> {
    fn read(kind: &'a [u8], body: &'a [u8], scale: u32, iso: bool) -> Option<Self> {
        let version = if iso { 0 } else { be16(body, 8)? };
        let rate = match be16(body, 24)? {
            0 => scale,
            rate => rate.into(),
        };
        let plain = Self {
            kind,
            channels: be16(body, 16)?,
            bits: be16(body, 18)?,
            rate,
            flags: None,
            boxes: body.get(if version == 1 { 44 } else { 28 }..).unwrap_or_default(),
        };
        if version != 2 {
            return Some(plain);
        }
        let begin = usize::try_from(be32(body, 28)?).ok()?.checked_sub(8).filter(|begin| *begin >= 64).unwrap_or(64);
        Some(Self {
            channels: u16::try_from(be32(body, 40)?).unwrap_or(u16::MAX),
            bits: u16::try_from(be32(body, 48)?).unwrap_or(u16::MAX),
            rate: f64::from_bits(be64(body, 32)?).round() as u32,
            flags: Some(be32(body, 52)?),
            boxes: body.get(begin..).unwrap_or_default(),
            ..plain
        })
    }

    fn coding(&self) -> Result<Coding, String> {
        let plain = |codec| Ok(codec::plain(codec, self.rate, self.channels));
        match self.kind {
            b"mp4a" => self.elementary_stream(),
            b".mp1" => plain(CODEC_ID_MP1),
            b".mp2" | b"ms\0\x50" => plain(CODEC_ID_MP2),
            b".mp3" | b"ms\0\x55" => plain(CODEC_ID_MP3),
            b"alac" => self.alac(),
            b"fLaC" => self.flac(),
            b"Opus" => self.opus(),
            b"ulaw" | b"ms\0\x07" => plain(CODEC_ID_PCM_MULAW),
            b"alaw" | b"ms\0\x06" => plain(CODEC_ID_PCM_ALAW),
            b"ima4" => Ok(codec::ima4(self.rate, self.channels)),
            [b'm', b's', ..] => {
                let format = self.find([self.kind[0], self.kind[1], self.kind[2], self.kind[3]]);
                codec::of_wave_format(format.ok_or_else(|| name(self.kind))?)
            }
            _ => self.pcm().and_then(plain),
        }
    }

    /// A box behind the fields, or in the `wave` box there.
    fn find(&self, kind: [u8; 4]) -> Option<&'a [u8]> {
        inside(self.boxes, &[&kind]).or_else(|| inside(self.boxes, &[b"wave", &kind]))
    }

    fn pcm(&self) -> Result<AudioCodecId, String> {
        let little = self.find(*b"enda").and_then(|enda| be16(enda, 0)) == Some(1);
        let described = self.find(*b"pcmC").and_then(|pcm| Some((pcm.get(4)? & 1 == 1, u16::from(*pcm.get(5)?))));
        let (float, signed, little, bits) = match (self.kind, described, self.flags) {
            (b"lpcm", _, Some(flags)) => (flags & 1 != 0, flags & 4 != 0, flags & 2 == 0, self.bits),
            (b"ipcm", Some((little, bits)), _) => (false, true, little, bits),
            (b"fpcm", Some((little, bits)), _) => (true, true, little, bits),
            (b"twos", ..) => (false, true, false, self.bits),
            (b"sowt", ..) => (false, true, true, self.bits),
            (b"raw " | b"NONE" | b"\0\0\0\0", ..) => (false, self.bits > 8, false, self.bits),
            (b"in24", ..) => (false, true, little, 24),
            (b"in32", ..) => (false, true, little, 32),
            (b"fl32", ..) => (true, true, little, 32),
            (b"fl64", ..) => (true, true, little, 64),
            _ => return Err(name(self.kind)),
        };
        Ok(match (float, bits, signed, little) {
            (false, 8, false, _) => CODEC_ID_PCM_U8,
            (false, 8, true, _) => CODEC_ID_PCM_S8,
            (false, 16, true, false) => CODEC_ID_PCM_S16BE,
            (false, 16, true, true) => CODEC_ID_PCM_S16LE,
            (false, 24, true, false) => CODEC_ID_PCM_S24BE,
            (false, 24, true, true) => CODEC_ID_PCM_S24LE,
            (false, 32, true, false) => CODEC_ID_PCM_S32BE,
            (false, 32, true, true) => CODEC_ID_PCM_S32LE,
            (true, 32, _, false) => CODEC_ID_PCM_F32BE,
            (true, 32, _, true) => CODEC_ID_PCM_F32LE,
            (true, 64, _, false) => CODEC_ID_PCM_F64BE,
            (true, 64, _, true) => CODEC_ID_PCM_F64LE,
            _ => return Err(format!("{} of {bits} bits", name(self.kind))),
        })
    }

    fn alac(&self) -> Result<Coding, String> {
        let cookie = self.find(*b"alac").and_then(|alac| alac.get(4..)).ok_or("ALAC without its description")?;
        let rate = be32(cookie, 20).ok_or("ALAC without its description")?;
        let mut coding = codec::plain(CODEC_ID_ALAC, rate, cookie.get(9).map_or(self.channels, |n| u16::from(*n)));
        coding.params.with_extra_data(cookie.into());
        Ok(coding)
    }

    fn flac(&self) -> Result<Coding, String> {
        let info = self.find(*b"dfLa").and_then(|description| description.get(8..42));
        let info = info.ok_or("FLAC without its description")?;
        let rate = be32(info, 10).map_or(self.rate, |bits| bits >> 12);
        let mut coding = codec::plain(CODEC_ID_FLAC, rate, u16::from(info[12] >> 1 & 7) + 1);
        coding.params.with_extra_data(info.into());
        Ok(coding)
    }

    fn opus(&self) -> Result<Coding, String> {
        let head = self.find(*b"dOps").filter(|head| head.len() >= 11).ok_or("Opus without its description")?;
        let mut coding = codec::plain(CODEC_ID_OPUS, codec::OPUS_RATE, head[1].into());
        coding.params.with_extra_data([b"OpusHead", head].concat().into());
        Ok(coding)
    }

    /// `mp4a`, which is what its `esds` box says.
    fn elementary_stream(&self) -> Result<Coding, String> {
        let esds = self.find(*b"esds").and_then(|esds| esds.get(4..)).ok_or_else(|| name(self.kind))?;
        let (object, description) = decoder_config(esds).ok_or_else(|| name(self.kind))?;
        let mut coding = codec::plain(CODEC_ID_AAC, self.rate, self.channels);
        match object {
            0x40 | 0x66..=0x68 => {
                coding.params.with_extra_data(description.ok_or("AAC without its description")?.into());
            }
            // The layer is in each packet.
            0x69 | 0x6b => coding = codec::plain(CODEC_ID_MP3, self.rate, self.channels),
            0xa5 | 0xa6 => return Err("AC-3".into()),
            0xa9..=0xac => return Err("DTS".into()),
            0xdd => return Err("Vorbis in MP4".into()),
            0xe1 => return Err("QCELP".into()),
            other => return Err(format!("an MP4 codec of the object type 0x{other:02x}")),
        }
        Ok(coding)
    }
}

/// The object type and the decoder's own description, of an elementary stream's descriptor.
fn decoder_config(descriptor: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    let (3, stream) = descriptors(descriptor).next()? else { return None };
    let flags = *stream.get(2)?;
    let url_at = 3 + if flags & 0x80 == 0 { 0 } else { 2 };
    let url = if flags & 0x40 == 0 { 0 } else { 1 + usize::from(*stream.get(url_at)?) };
    let begin = url_at + url + if flags & 0x20 == 0 { 0 } else { 2 };
    let (_, config) = descriptors(stream.get(begin..)?).find(|(tag, _)| *tag == 4)?;
    let description = descriptors(config.get(13..)?).find(|(tag, _)| *tag == 5).map(|(_, description)| description);
    Some((*config.first()?, description))
}

/// Descriptors in `bytes`: tag and content.
fn descriptors(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let tag = *bytes.first()?;
        let (mut size, mut at) = (0usize, 1);
        loop {
            let byte = *bytes.get(at)?;
            (size, at) = (size << 7 | usize::from(byte & 0x7f), at + 1);
            if byte & 0x80 == 0 || at > 4 {
                break;
            }
        }
        let end = (at + size).min(bytes.len());
        let body = &bytes[at..end];
        bytes = &bytes[end..];
        Some((tag, body))
    })
}

/// The entries of a `stsd` box, and whether it is not QuickTime's.
pub(super) fn entries(stsd: &[u8]) -> (Vec<TypedBox<'_>>, bool) {
    (boxes(stsd.get(8..).unwrap_or_default()).collect(), stsd.first() == Some(&1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_of_an_elementary_stream_is_found() {
        let description = [5, 0x80, 0x80, 0x80, 2, 0x12, 0x10];
        let config = [&[4, 20, 0x40, 0x15][..], &[0; 11], &description].concat();
        let stream = [&[3, 25, 0, 1, 0][..], &config].concat();
        assert_eq!(decoder_config(&stream), Some((0x40, Some(&[0x12, 0x10][..]))));
        let with_more = [&[3, 32, 0, 1, 0xe0, 9, 9, 2, b'u', b'r', 7, 7][..], &config].concat();
        assert_eq!(decoder_config(&with_more), Some((0x40, Some(&[0x12, 0x10][..]))));
        assert_eq!(decoder_config(&stream[..3]), None);
    }

    #[test]
    fn codecs_that_cant_be_decoded_are_named() {
        assert_eq!(name(b"samr"), "AMR");
        assert_eq!(name(b"ms\0\x31"), "GSM 6.10");
        assert_eq!(name(b"enca"), "an encrypted MP4 track");
        assert_eq!(name(b"Zz\0\x01"), "zz\\x00\\x01");
    }

    #[test]
    fn the_layer_of_mpeg_audio_is_in_its_packets() {
        assert_eq!(mpeg_layer(&[0xff, 0xfb, 0x90, 0]), Some(CODEC_ID_MP3));
        assert_eq!(mpeg_layer(&[0xff, 0xfd, 0x90, 0]), Some(CODEC_ID_MP2));
        assert_eq!(mpeg_layer(&[0xff, 0xff, 0x90, 0]), Some(CODEC_ID_MP1));
        assert_eq!(mpeg_layer(&[0xff, 0xf1, 0x90, 0]), None);
    }
}
