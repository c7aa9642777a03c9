//! Codecs: which can be decoded correctly, and their decoders.

mod aac;
mod opus;
mod wave_format;

use super::errors;
use domain::Failure;
use symphonia_core::audio::Channels;
use symphonia_core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_VORBIS};
use symphonia_core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia_core::codecs::registry::CodecRegistry;

pub(super) use aac::SbrDetector;
pub(super) use opus::RATE as OPUS_RATE;
pub(super) use wave_format::{Blocks, Coding, ima4, in_blocks, name as wave_format_name, of_wave_format, plain};

/// Samples per channel of one packet: eight times the longest block of any codec.
const MAX_PACKET_SAMPLES: u64 = 1 << 20;

/// A decoder for `params`. `gapless`: whether it cuts what the demuxer marks as delay and padding.
pub(super) fn decoder(params: &AudioCodecParameters, gapless: bool) -> Result<Box<dyn AudioDecoder>, Failure> {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<opus::Opus>();
    let options = AudioDecoderOptions::default().gapless(gapless);
    registry.make_audio_decoder(params, &options).map_err(|e| errors::opening(&e))
}

/// Refuses what the decoders would decode wrongly. `container_rate`: Hz, as the container says.
pub(super) fn check(params: &AudioCodecParameters, container_rate: Option<u32>) -> Result<(), Failure> {
    refuse_other_aac(params, container_rate)?;
    refuse_surround_vorbis(params)?;
    refuse_huge_packets(params)
}

/// The failure of AAC with spectral band replication, or of a profile other than LC.
pub(super) fn unsupported_aac(name: &str) -> Failure {
    errors::unsupported_because(name, &format!("the file holds {name}; only AAC-LC can be decoded"))
}

fn refuse_other_aac(params: &AudioCodecParameters, container_rate: Option<u32>) -> Result<(), Failure> {
    if params.codec != CODEC_ID_AAC {
        return Ok(());
    }
    let configuration = params.extra_data.as_deref().unwrap_or_default();
    let doubled = container_rate.zip(aac::core_sample_rate(configuration)).is_some_and(|(rate, core)| rate == core * 2);
    let name = aac::unsupported_profile(configuration).or(doubled.then_some("HE-AAC"));
    name.map_or(Ok(()), |name| Err(unsupported_aac(name)))
}

/// Symphonia 0.6 undoes the coupling of Vorbis's channels in the wrong order, which shows from three channels on:
/// a speaker's voice would be on another speaker's channel.
fn refuse_surround_vorbis(params: &AudioCodecParameters) -> Result<(), Failure> {
    match params.channels.as_ref().map(Channels::count) {
        Some(channels @ 3..) if params.codec == CODEC_ID_VORBIS => {
            let what = format!("the file holds Vorbis with {channels} channels; at most two can be decoded");
            Err(errors::unsupported_because("Vorbis", &what))
        }
        _ => Ok(()),
    }
}

/// Decoders allocate a whole packet in advance: four bytes of a header would take all memory.
fn refuse_huge_packets(params: &AudioCodecParameters) -> Result<(), Failure> {
    let samples = params.max_frames_per_packet.max(params.frames_per_block).unwrap_or(0);
    if samples <= MAX_PACKET_SAMPLES {
        return Ok(());
    }
    Err(errors::bad_header(format!("the header says that a packet holds {samples} samples, which is impossible")))
}
