//! The failures of a recording's audio, and of reading its local copy. No other file of `audio` names their codes.

use domain::{Failure, FailureCode};
use std::io;
use symphonia_core::errors::Error;

/// The file has no bytes.
pub(super) fn empty() -> Failure {
    Failure::new(FailureCode::AudioEmpty, "the file has no bytes")
}

/// The content is no audio.
pub(super) fn not_audio(what: &str) -> Failure {
    Failure::new(FailureCode::AudioNotAudio, what)
}

/// `name`, a format or codec, can't be decoded.
pub(super) fn unsupported(name: &str) -> Failure {
    unsupported_because(name, &format!("the file holds {name}, which can't be decoded"))
}

/// A format or codec can't be decoded; `what` says so. What to do is added.
pub(super) fn unsupported_because(name: &str, what: &str) -> Failure {
    let is = |names: &[&str]| names.iter().any(|word| name.contains(word));
    let advice = if is(&["encrypted"]) {
        "export it without encryption"
    } else if is(&OTHER_PROGRAMS) {
        "convert it to FLAC or Opus by the program that wrote it"
    } else {
        "convert it: ffmpeg -i RECORDING -c:a flac RECORDING.flac"
    };
    Failure::new(FailureCode::AudioUnsupportedCodec, format!("{what}; {advice}"))
}

/// Formats that ffmpeg does not read either.
const OTHER_PROGRAMS: [&str; 6] = ["SILK", "MIDI", "Lossless Audio", "CELT", "OptimFROG", "iLBC"];

/// A header's value is impossible.
pub(super) fn bad_header(what: impl Into<String>) -> Failure {
    Failure::new(FailureCode::AudioBadHeader, what)
}

/// The audio data can't be decoded.
pub(super) fn corrupt(what: impl Into<String>) -> Failure {
    Failure::new(FailureCode::AudioCorrupt, what)
}

/// The file ends before its header says.
pub(super) fn truncated(what: impl Into<String>) -> Failure {
    Failure::new(FailureCode::AudioTruncated, what)
}

/// There is less audio than the model accepts.
pub(super) fn too_short(what: impl Into<String>) -> Failure {
    Failure::new(FailureCode::AudioTooShort, what)
}

/// The recording exceeds `audio.max_seconds`.
pub(super) fn too_long(max_seconds: f64) -> Failure {
    Failure::new(FailureCode::AudioTooLong, format!("the recording is longer than {max_seconds} seconds"))
}

/// The recording exceeds `audio.max_seconds` by a gap of `gap_s` seconds between its timestamps.
pub(super) fn too_long_gap(max_seconds: f64, gap_s: f64) -> Failure {
    let what = format!("the timestamps leave a gap of {gap_s:.0} seconds; at most {max_seconds} are allowed in all");
    Failure::new(FailureCode::AudioTooLong, what)
}

/// By its headers, the recording exceeds `audio.max_seconds`: it lasts `announced_s` seconds.
pub(super) fn too_long_by_header(max_seconds: f64, announced_s: f64) -> Failure {
    let what =
        format!("the recording is longer than {max_seconds} seconds: {announced_s:.0} by its headers and timestamps");
    Failure::new(FailureCode::AudioTooLong, what)
}

/// Decoding has taken more processor time than the file's bytes and its sound so far allow: `allowed_s` seconds.
pub(super) fn too_costly(allowed_s: f64) -> Failure {
    let what = format!("decoding took more than {allowed_s:.0} s of processor time, all that this recording may take");
    Failure::new(FailureCode::AudioTooCostly, what)
}

/// The recording exceeds `audio.max_channels`.
pub(super) fn too_many_channels(channels: usize, max_channels: u16) -> Failure {
    let what = format!("the recording has {channels} channels; at most {max_channels} are allowed");
    Failure::new(FailureCode::AudioTooManyChannels, what)
}

/// The failure of the audio track of this number, in a file of several.
pub(super) fn of_track(number: usize, failure: &Failure) -> Failure {
    Failure::new(failure.code, format!("audio track {number}: {}", failure.message))
}

/// Whether the other audio tracks can be analysed when one has this failure.
pub(super) fn leaves_other_tracks(failure: &Failure) -> bool {
    use FailureCode::{AudioBadHeader, AudioCorrupt, AudioUnsupportedCodec};
    matches!(failure.code, AudioBadHeader | AudioCorrupt | AudioUnsupportedCodec)
}

/// The worker's own disk failed, or the file's headers lead where no file can be.
pub(super) fn unreadable(error: &io::Error) -> Failure {
    if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
        || matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOVERFLOW | libc::EFBIG))
    {
        return corrupt(format!("the headers lead beyond the end of the file ({error})"));
    }
    Failure::new(FailureCode::WorkerInternal, format!("the local copy of the recording can't be read: {error}"))
}

/// A demuxer's or decoder's error before the first packet was decoded.
pub(super) fn opening(error: &Error) -> Failure {
    match error {
        Error::Unsupported(what) => unsupported_because(what, &format!("the file's format can't be decoded ({what})")),
        Error::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => truncated("the file ends within its header"),
        other => corrupt(format!("the file's header can't be read ({other})")),
    }
}
