//! Container formats: what a file is, by its content, and where its audio is in it.
//!
//! Each format is one file with one [`Container`], registered below. `docs/recipes/audio-format.md` says how
//! to add one.

mod adts;
mod aiff;
mod caf;
mod ebml;
mod flac;
mod flac_scan;
mod input;
mod layout;
mod matroska;
mod matroska_blocks;
mod mp4;
mod mpeg;
mod mpeg_parts;
mod not_audio;
mod ogg;
mod packing;
mod tag;
mod unsupported;
mod view;
mod wav;
mod window;

use super::budget::Budget;
use super::errors;
use crate::settings;
use domain::Failure;
use std::fs::File;
use std::ops::Range;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::{FormatReader, Track};
use symphonia_core::io::MediaSourceStream;

pub(super) use input::Input;
pub(super) use layout::{Layout, Part, TrackLayout, TrackTiming};
pub(super) use matroska_blocks::Discard;
pub(super) use mp4::Samples;
use mp4::codec_name;
pub(super) use ogg::{Pager, Pages};
pub(super) use packing::Packing;
pub(super) use view::View;

/// A container format.
pub(super) trait Container: Sync {
    /// Name in reports, like `wav`.
    fn name(&self) -> &'static str;

    /// Where in `input.head` the container begins; `None` when the file is of another format.
    fn detect(&self, input: &Input) -> Option<usize>;

    /// Reads the container's headers. `input.start` is where [`Container::detect`] found it.
    ///
    /// # Errors
    /// An `audio.*` failure of the file; `worker.internal` when it can't be read.
    fn layout(&self, input: &mut Input) -> Result<Layout, Failure>;

    /// The recordings that follow each other in the file, as `cat` joins them: one, unless the format says that another
    /// one begins. [`Container::layout`] is given one of them.
    ///
    /// # Errors
    /// `worker.internal` when the file can't be read.
    fn parts(&self, input: &mut Input) -> Result<Vec<Range<u64>>, Failure> {
        Ok(std::iter::once(input.start..input.length).collect())
    }

    /// Opens the demuxer on [`Layout::header`] and [`Layout::range`], for this track.
    ///
    /// # Errors
    /// The demuxer's.
    fn demuxer(
        &self,
        stream: MediaSourceStream<'static>,
        track: &TrackLayout,
    ) -> SymphoniaResult<Box<dyn FormatReader>>;

    /// Whether packets have timestamps of their own, rather than a count of the samples before them.
    fn has_timestamps(&self) -> bool {
        false
    }

    /// Whether the demuxer can go to a time, to which an edit list may lead.
    fn can_seek(&self) -> bool {
        false
    }

    /// Corrects what the demuxer says of a codec.
    fn correct(&self, _: &mut AudioCodecParameters) {}

    /// Adds to the layout's timing what only the open demuxer knows of its track.
    fn complete(&self, timing: TrackTiming, _: &Track, _: &AudioCodecParameters) -> TrackTiming {
        timing
    }
}

/// The formats with a magic number, in any order.
static BY_MAGIC: [&dyn Container; 7] =
    [&wav::Wav, &aiff::Aiff, &caf::Caf, &flac::Flac, &ogg::Ogg, &mp4::Mp4, &matroska::Matroska];

/// The formats without one, found by frames that follow each other. They are searched for last, since other
/// formats may contain such frames.
static BY_FRAMES: [&dyn Container; 2] = [&mpeg::Mpeg, &adts::Adts];

/// Recordings that are told apart in one file; what follows is read with the last.
const MAX_PARTS: usize = 1_000;

/// Bytes in which a format is searched for.
const HEAD: usize = mpeg::SEARCH + 16 * 1024;

/// Reads what `file`, `length` bytes long, is and where its audio is. Names are never looked at.
///
/// # Errors
/// An `audio.*` failure of the file; `worker.internal` when it can't be read.
pub(super) fn read(
    file: File,
    length: u64,
    limits: &settings::Audio,
    budget: &Budget,
) -> Result<(Layout, File), Failure> {
    let mut input = Input::new(file, length, limits, budget.clone());
    tag::skip(&mut input)?;
    input.head = input.read(input.start, HEAD)?;
    let (container, offset) = detect(&input)?;
    input.start += offset as u64;
    input.head.drain(..offset);
    let mut parts = container.parts(&mut input)?.into_iter();
    input.length = parts.next().map_or(input.length, |first| first.end);
    let mut layout = container.layout(&mut input)?;
    layout.joined = parts.collect();
    Ok((layout, input.file))
}

/// The layout of a recording in `range` that follows another one of this container in the same file.
///
/// # Errors
/// As [`read`].
pub(super) fn read_part(
    container: &dyn Container,
    file: File,
    range: &Range<u64>,
    limits: &settings::Audio,
    budget: &Budget,
) -> Result<Layout, Failure> {
    let mut input = Input { start: range.start, ..Input::new(file, range.end, limits, budget.clone()) };
    input.head = input.read(input.start, HEAD)?;
    container.layout(&mut input)
}

fn detect(input: &Input) -> Result<(&'static dyn Container, usize), Failure> {
    let find = |formats: &[&'static dyn Container]| {
        formats.iter().find_map(|format| format.detect(input).map(|offset| (*format, offset)))
    };
    if let Some(found) = find(&BY_MAGIC) {
        return Ok(found);
    }
    if let Some(name) = unsupported::name(input) {
        return Err(errors::unsupported(name));
    }
    find(&BY_FRAMES).ok_or_else(|| errors::not_audio(&not_audio::describe(&input.head)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An input that is `head` alone.
    pub(super) fn input(head: &[u8]) -> Input {
        use std::io::Write;
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(head).expect("written");
        let (length, limits) = (head.len() as u64, crate::Settings::default().audio);
        Input { head: head.to_vec(), ..Input::new(file, length, &limits, Budget::new(length, &limits)) }
    }

    fn detected(head: &[u8]) -> Result<&'static str, Failure> {
        detect(&input(head)).map(|(container, _)| container.name())
    }

    #[test]
    fn formats_are_told_apart_by_their_first_bytes() {
        for (head, name) in [
            (&b"RIFF....WAVEfmt "[..], "wav"),
            (b"RF64....WAVEds64", "wav"),
            (b"FORM....AIFC", "aiff"),
            (b"caff\x00\x01\0\0", "caf"),
            (b"fLaC\0\0\0\x22", "flac"),
            (b"OggS\0\x02", "ogg"),
            (b"\0\0\0\x20ftypM4A ", "mp4"),
            (b"\x1a\x45\xdf\xa3\x01", "matroska"),
        ] {
            assert_eq!(detected(head), Ok(name));
        }
    }

    #[test]
    fn text_and_nothing_are_not_audio() {
        for head in [&b"Dear recorder, where is my audio?"[..], b""] {
            assert_eq!(detected(head).expect_err("not audio").code, domain::FailureCode::AudioNotAudio);
        }
    }
}
