//! Codecs by the header that WAV has of them (`WAVEFORMATEX`), which Matroska and QuickTime use too; and builders of a
//! codec's parameters.

use crate::audio::bytes::{le16, le32};
use symphonia_core::audio::Channels;
use symphonia_core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ADPCM_IMA_QT, CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS, CODEC_ID_MP2, CODEC_ID_MP3,
    CODEC_ID_PCM_ALAW, CODEC_ID_PCM_F32LE, CODEC_ID_PCM_F64LE, CODEC_ID_PCM_MULAW, CODEC_ID_PCM_S16LE,
    CODEC_ID_PCM_S24LE, CODEC_ID_PCM_S32LE, CODEC_ID_PCM_U8,
};
use symphonia_core::codecs::audio::{AudioCodecId, AudioCodecParameters};

/// Most samples of a packet that is decoded, unless one block has more.
const MAX_SAMPLES: u64 = 1 << 16;

/// A codec, and its blocks if it has any.
#[derive(Debug, Clone)]
pub(in crate::audio) struct Coding {
    pub params: AudioCodecParameters,
    pub blocks: Option<Blocks>,
}

/// The blocks of a codec that has no other structure, like ADPCM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audio) struct Blocks {
    /// Bytes of a block of all channels.
    pub bytes: u32,
    /// Samples per channel of a block.
    pub frames: u32,
}

impl Blocks {
    /// Samples per channel of a packet of so many bytes: of its whole blocks, and not more than can be decoded at once.
    pub(in crate::audio) fn frames(self, bytes: usize) -> u64 {
        (bytes as u64 / u64::from(self.bytes.max(1))).min(self.most()) * u64::from(self.frames)
    }

    /// Most blocks that are decoded at once.
    pub(in crate::audio) fn most(self) -> u64 {
        (MAX_SAMPLES / u64::from(self.frames.max(1))).max(1)
    }
}

/// A codec whose packets say all of themselves.
pub(in crate::audio) fn plain(codec: AudioCodecId, rate: u32, channels: u16) -> Coding {
    let mut params = AudioCodecParameters::new();
    params.for_codec(codec).with_sample_rate(rate).with_channels(Channels::Discrete(channels));
    Coding { params, blocks: None }
}

/// A codec of blocks.
pub(in crate::audio) fn in_blocks(codec: AudioCodecId, rate: u32, channels: u16, blocks: Blocks) -> Coding {
    let mut params = plain(codec, rate, channels).params;
    params.with_max_frames_per_packet(u64::from(blocks.frames) * blocks.most());
    params.with_frames_per_block(blocks.frames.into());
    Coding { params, blocks: Some(blocks) }
}

/// Apple's ADPCM: 64 samples in 34 bytes a channel.
pub(in crate::audio) fn ima4(rate: u32, channels: u16) -> Coding {
    in_blocks(CODEC_ID_ADPCM_IMA_QT, rate, channels, Blocks { bytes: 34 * u32::from(channels), frames: 64 })
}

/// The codec that a `WAVEFORMATEX` describes.
///
/// # Errors
/// The codec's name, if it can't be decoded.
pub(in crate::audio) fn of_wave_format(format: &[u8]) -> Result<Coding, String> {
    let cut = || "a codec whose description is cut short".to_owned();
    let field = |at| le16(format, at).ok_or_else(cut);
    let (mut tag, channels, rate) = (field(0)?, field(2)?, le32(format, 4).ok_or_else(cut)?);
    let (block, bits) = (u32::from(field(12)?), field(14)?);
    if tag == 0xfffe {
        tag = field(24)?;
    }
    let adpcm = |codec, header: u32, first: u32| {
        let per_channel = block.checked_div(u32::from(channels)).and_then(|bytes| bytes.checked_sub(header));
        let frames = per_channel.filter(|bytes| *bytes > 0).map(|bytes| bytes * 2 + first);
        let frames = frames.ok_or_else(|| format!("ADPCM in blocks of {block} bytes"))?;
        Ok(in_blocks(codec, rate, channels, Blocks { bytes: block, frames }))
    };
    let codec = match (tag, bits) {
        (2, _) => return adpcm(CODEC_ID_ADPCM_MS, 7, 2),
        (0x11, _) => return adpcm(CODEC_ID_ADPCM_IMA_WAV, 4, 1),
        (1, 8) => CODEC_ID_PCM_U8,
        (1, 16) => CODEC_ID_PCM_S16LE,
        (1, 24) => CODEC_ID_PCM_S24LE,
        (1, 32) => CODEC_ID_PCM_S32LE,
        (3, 32) => CODEC_ID_PCM_F32LE,
        (3, 64) => CODEC_ID_PCM_F64LE,
        (1 | 3, bits) => return Err(format!("PCM of {bits} bits")),
        (6, _) => CODEC_ID_PCM_ALAW,
        (7, _) => CODEC_ID_PCM_MULAW,
        (0x50, _) => CODEC_ID_MP2,
        (0x55, _) => CODEC_ID_MP3,
        (0xff, _) if format.len() >= 20 => CODEC_ID_AAC,
        (tag, _) => return Err(name(tag)),
    };
    let mut coding = plain(codec, rate, channels);
    if codec == CODEC_ID_AAC {
        coding.params.with_extra_data(format[18..].into());
    }
    Ok(coding)
}

/// Name of the codec of a format tag.
pub(in crate::audio) fn name(tag: u16) -> String {
    let name = match tag {
        0x0010 => "OKI ADPCM",
        0x0014 | 0x0040 | 0x0045 | 0x0064 | 0xa122 | 0xa123 | 0xa140 => "G.726 or G.721 ADPCM",
        0x0022 => "TrueSpeech",
        0x0031 => "GSM 6.10",
        0x0034 | 0x0042 | 0xa100 => "G.723.1",
        0x0038 | 0x0057 | 0x0058 | 0x0136 | 0x7361 | 0x7362 | 0x7a21 | 0x7a22 => "AMR",
        0x0013 => "Sierra ADPCM",
        0x0020 => "Yamaha ADPCM",
        0x0041 | 0x0043 => "G.728",
        0x0059 | 0x0083 | 0x0133 => "G.729",
        0x0061 => "Duck DK4 ADPCM",
        0x0065 | 0x028f | 0xa112 => "G.722",
        0x1602 => "AAC in LATM",
        0x00ff | 0x1600..=0x1610 | 0x706d | 0xa106 => "AAC",
        0x0160..=0x0163 => "Windows Media Audio",
        0x0200 => "Creative ADPCM",
        0x0270 => "ATRAC3",
        0x704f => "Opus in WAV",
        0x0075 | 0x0131 => "VoxWare speech",
        0x2000 => "AC-3",
        0x2001 => "DTS",
        0xa109 => "Speex",
        0xf1ac => "FLAC in WAV",
        0x566f | 0x674f..=0x6771 => "Vorbis in WAV",
        _ => return format!("a codec with the unknown tag 0x{tag:04x}"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A format of `tag`, one channel at 8 kHz.
    fn format(tag: u16, block: u16, bits: u16) -> Vec<u8> {
        let numbers = [tag.to_le_bytes(), 1u16.to_le_bytes()].concat();
        let rates = [8_000u32.to_le_bytes(); 2].concat();
        [numbers, rates, block.to_le_bytes().to_vec(), bits.to_le_bytes().to_vec()].concat()
    }

    #[test]
    fn blocks_are_counted_by_their_size() {
        let ms = of_wave_format(&format(2, 256, 4)).expect("decodable");
        assert_eq!(ms.blocks, Some(Blocks { bytes: 256, frames: 500 }));
        assert_eq!(ms.blocks.expect("blocks").frames(3 * 256 + 10), 1_500);
        let ima = of_wave_format(&format(0x11, 256, 4)).expect("decodable");
        assert_eq!(ima.blocks, Some(Blocks { bytes: 256, frames: 505 }));
        assert!(of_wave_format(&format(2, 7, 4)).is_err());
    }

    #[test]
    fn what_cant_be_decoded_is_named() {
        assert_eq!(of_wave_format(&format(0x31, 65, 0)).expect_err("refused"), "GSM 6.10");
        assert!(of_wave_format(&format(1, 2, 12)).expect_err("refused").contains("12 bits"));
        assert!(of_wave_format(b"\x01").is_err());
    }
}
