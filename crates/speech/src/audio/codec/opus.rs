//! Opus as a symphonia decoder: symphonia has the containers but not the codec.

use opus_pure::{ChannelLayout, MAX_PACKET_SAMPLES, OpusDecoder, OpusMSDecoder};
use symphonia_core::audio::{AudioBuffer, AudioMut, AudioSpec, Channels, GenericAudioBufferRef};
use symphonia_core::codecs::CodecInfo;
use symphonia_core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia_core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult};
use symphonia_core::codecs::registry::{RegisterableAudioDecoder, SupportedAudioCodec};
use symphonia_core::errors::{Result, decode_error, unsupported_error};
use symphonia_core::packet::PacketRef;
use symphonia_core::support_audio_codec;

/// Opus always decodes at this rate, Hz, whatever the recorder's was.
pub(in crate::audio) const RATE: u32 = 48_000;

/// Decodes Opus, mono to 7.1.
pub(super) struct Opus {
    streams: Streams,
    head: Head,
    params: AudioCodecParameters,
    interleaved: Vec<f32>,
    decoded: AudioBuffer<f32>,
}

#[expect(clippy::large_enum_variant, reason = "one per recording")]
enum Streams {
    One(OpusDecoder),
    Several(OpusMSDecoder),
}

/// What decoding needs of the identification header (RFC 7845, 5.1).
#[derive(Clone, Copy)]
struct Head {
    channels: u8,
    gain_q8: i16,
    family: u8,
}

impl Head {
    /// Of a codec's private data; without it, plain mono or stereo.
    fn read(params: &AudioCodecParameters) -> Self {
        let count = params.channels.as_ref().map_or(1, |channels| channels.count() as u8);
        match params.extra_data.as_deref() {
            Some(data) if data.len() >= 19 && data.starts_with(b"OpusHead") => {
                // MP4's copy has version 0, and numbers the other way round.
                let gain = [data[16], data[17]];
                let gain_q8 = if data[8] == 0 { i16::from_be_bytes(gain) } else { i16::from_le_bytes(gain) };
                Self { channels: data[9], gain_q8, family: data[18] }
            }
            _ => Self { channels: count, gain_q8: 0, family: u8::from(count > 2) },
        }
    }

    /// The output index of a channel: family 1 has Vorbis's order, and every other format that of WAV.
    fn place(self, channel: usize) -> usize {
        let places: &[usize] = match (self.family, self.channels) {
            (1, 3) => &[0, 2, 1],
            (1, 5) => &[0, 2, 1, 3, 4],
            (1, 6) => &[0, 2, 1, 4, 5, 3],
            (1, 7) => &[0, 2, 1, 5, 6, 4, 3],
            (1, 8) => &[0, 2, 1, 6, 7, 4, 5, 3],
            _ => &[],
        };
        places.get(channel).copied().unwrap_or(channel)
    }

    /// Whether the streams of a packet are those of its family's own order. Others would be decoded as noise, or as the
    /// channels of other people (RFC 7845, 5.1.1).
    fn is_usual(self, params: &AudioCodecParameters) -> bool {
        let table = params.extra_data.as_deref().filter(|data| data.starts_with(b"OpusHead")).and_then(|d| d.get(19..));
        match (self.family, table) {
            (0, _) | (1, None) => true,
            (1, Some(table)) => ChannelLayout::surround(usize::from(self.channels), 1).is_ok_and(|usual| {
                let counts = [usual.nb_streams, usual.nb_coupled_streams].map(|count| count as u8);
                let usual = [&counts[..], &usual.mapping].concat();
                table.is_empty() || table.starts_with(&usual)
            }),
            _ => false,
        }
    }

    fn streams(self) -> opus_pure::Result<Streams> {
        let channels = usize::from(self.channels);
        if self.family == 0 {
            let mut decoder = OpusDecoder::new(RATE.cast_signed(), channels)?;
            decoder.gain_q8 = i32::from(self.gain_q8);
            return Ok(Streams::One(decoder));
        }
        let mut decoder = OpusMSDecoder::new(RATE.cast_signed(), channels, self.family)?;
        for stream in decoder.streams_mut() {
            stream.gain_q8 = i32::from(self.gain_q8);
        }
        Ok(Streams::Several(decoder))
    }
}

impl Opus {
    fn try_new(params: &AudioCodecParameters) -> Result<Self> {
        let head = Head::read(params);
        let channels = match &params.channels {
            Some(channels) if channels.count() == usize::from(head.channels) => channels.clone(),
            _ => Channels::Discrete(u16::from(head.channels)),
        };
        let Some(streams) = head.is_usual(params).then(|| head.streams().ok()).flatten() else {
            return unsupported_error("opus: channel mapping");
        };
        let decoded = AudioBuffer::new(AudioSpec::new(RATE, channels.clone()), MAX_PACKET_SAMPLES);
        let mut params = params.clone();
        params.with_sample_rate(RATE).with_channels(channels);
        Ok(Self {
            streams,
            head,
            params,
            interleaved: vec![0.0; MAX_PACKET_SAMPLES * usize::from(head.channels)],
            decoded,
        })
    }
}

impl AudioDecoder for Opus {
    fn reset(&mut self) {
        // The same header made a decoder before, so this can't fail; if it did, the old state would be a click.
        if let Ok(streams) = self.head.streams() {
            self.streams = streams;
        }
    }

    fn codec_info(&self) -> &CodecInfo {
        &Self::supported_codecs()[0].info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.params
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.decoded.clear();
        if packet.data.is_empty() {
            return decode_error("opus: empty packet");
        }
        let decoded = match &mut self.streams {
            Streams::One(decoder) => decoder.decode(packet.data, MAX_PACKET_SAMPLES, &mut self.interleaved),
            Streams::Several(decoder) => decoder.decode(packet.data, MAX_PACKET_SAMPLES, &mut self.interleaved),
        };
        let Ok(frames) = decoded else { return decode_error("opus: malformed packet") };
        let channels = usize::from(self.head.channels);
        self.decoded.render_uninit(Some(frames.min(MAX_PACKET_SAMPLES)));
        for channel in 0..channels {
            let Some(plane) = self.decoded.plane_mut(self.head.place(channel)) else { continue };
            let samples = self.interleaved[channel..].iter().step_by(channels);
            plane.iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
        }
        // Ogg says here what of the packet is pre-skip and padding.
        self.decoded.trim(packet.trim_start.get() as usize, packet.trim_end.get() as usize);
        Ok(GenericAudioBufferRef::F32(&self.decoded))
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        GenericAudioBufferRef::F32(&self.decoded)
    }
}

impl RegisterableAudioDecoder for Opus {
    fn try_registry_new(params: &AudioCodecParameters, _: &AudioDecoderOptions) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(Self::try_new(params)?))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        &[support_audio_codec!(CODEC_ID_OPUS, "opus", "Opus")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of family 1, or another, with this table.
    fn opens(family: u8, channels: u8, table: &[u8]) -> bool {
        let head = [b"OpusHead", &[1, channels, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, family][..], table].concat();
        let mut params = AudioCodecParameters::new();
        params.for_codec(CODEC_ID_OPUS).with_extra_data(head.into());
        Opus::try_new(&params).is_ok()
    }

    #[test]
    fn channels_in_an_order_of_their_own_are_refused() {
        assert!(opens(0, 2, &[]) && opens(1, 2, &[1, 1, 0, 1]) && opens(1, 1, &[1, 0, 0]));
        assert!(opens(1, 6, &[4, 2, 0, 4, 1, 2, 3, 5]));
        // Agent and customer exchanged; two mono streams; one of them for both
        for table in [[1, 1, 1, 0], [2, 0, 0, 1], [1, 1, 0, 0]] {
            assert!(!opens(1, 2, &table), "{table:?}");
        }
        assert!(!opens(1, 2, &[1, 1]), "cut off");
        assert!(!opens(255, 2, &[2, 0, 0, 1]), "channels without a meaning");
    }
}
