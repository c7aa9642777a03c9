//! Every audio track of a container is analysed: its channels are numbered on after those of the track before.

mod recordings;

use domain::channel::{ChannelLayout, Track, tracks};
use domain::{Failure, FailureCode, Role};
use recordings::ebml::rewrite;
use recordings::{agreement, decode, encode, ffmpeg, limits, tones};
use settings::Settings;
use speech::audio::{Preprocess, Preprocessed, Resampler16k, Sink, SpeechSegment, VoiceDetector};
use speech::runtime::Runtime;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Keeps the scored channels.
#[derive(Default)]
struct Keep(Vec<Vec<f32>>);

impl Sink for Keep {
    fn block(&mut self, scored: &[Vec<f32>]) -> Result<(), Failure> {
        self.0.resize(scored.len(), Vec::new());
        self.0.iter_mut().zip(scored).for_each(|(kept, samples)| kept.extend_from_slice(samples));
        Ok(())
    }

    fn segment(&mut self, _: SpeechSegment) -> Result<(), Failure> {
        Ok(())
    }
}

/// Preprocesses a file with the job's layout and the operator's default policy.
fn analysed(path: &Path, layout: Option<&ChannelLayout>) -> Result<(Preprocessed, Vec<Vec<f32>>), Failure> {
    let settings = Settings::load().expect("the settings are valid");
    let runtime = Runtime::load(&settings.runtime).unwrap_or_else(|error| panic!("{error}"));
    let detector = VoiceDetector::load(&runtime).expect("Silero's model loads");
    let scored = BTreeSet::from([Role::Customer, Role::Speaker, Role::Mixed]);
    let preprocess = Preprocess { audio: &limits(), segment: &settings.segment, vad: &detector };
    let layout =
        |channels| -> Result<Vec<Track>, Failure> { tracks(channels, layout, [Role::Agent, Role::Customer], &scored) };
    let mut keep = Keep::default();
    let found = preprocess.run(File::open(path).expect("the recording is there"), layout, &mut keep)?;
    Ok((found, keep.0))
}

fn speakers(channels: u16) -> ChannelLayout {
    ChannelLayout::Roles((0..channels).map(|channel| (channel, Role::Speaker)).collect())
}

/// One track of a container: tones of `seconds` on `channels` channels, coded with `arguments`.
struct Part {
    seconds: f64,
    rate: u32,
    channels: usize,
    name: &'static str,
    arguments: &'static [&'static str],
}

const fn part(
    seconds: f64,
    rate: u32,
    channels: usize,
    name: &'static str,
    arguments: &'static [&'static str],
) -> Part {
    Part { seconds, rate, channels, name, arguments }
}

/// A file for each part, and one with all of them as tracks.
fn container(folder: &Path, name: &str, parts: &[Part], arguments: &[&str]) -> (PathBuf, Vec<PathBuf>) {
    let single = parts.iter().enumerate().map(|(n, part)| {
        let count = (part.seconds * f64::from(part.rate)) as usize;
        // Each track has tones of its own.
        let samples: Vec<f32> = tones(part.rate, part.channels + n, count)
            .chunks(part.channels + n)
            .flat_map(|frame| frame[n..].to_vec())
            .collect();
        encode(folder, &format!("{n}_{}", part.name), &samples, part.rate, part.channels, part.arguments)
    });
    let single: Vec<PathBuf> = single.collect();
    let (whole, paths) = (folder.join(name), single.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>());
    let maps: Vec<String> = (0..parts.len()).map(|n| n.to_string()).collect();
    let mut all = Vec::new();
    for path in &paths {
        all.extend(["-i", path]);
    }
    for map in &maps {
        all.extend(["-map", map]);
    }
    all.extend(["-c", "copy"]);
    all.extend(arguments);
    let target = whole.to_string_lossy();
    all.push(&target);
    ffmpeg(&all, b"");
    (whole, single)
}

/// The channels of a file with one track, at 16 kHz.
fn alone(path: &Path) -> Vec<Vec<f32>> {
    let (facts, samples) = decode(path, &limits()).unwrap_or_else(|failure| panic!("{}: {failure}", path.display()));
    let mut resampler = Resampler16k::new(facts.sample_rate, samples.len()).expect("a rate");
    let mut out = vec![Vec::new(); samples.len()];
    resampler.push(&samples, &mut out).expect("resampled");
    resampler.finish(&mut out).expect("finished");
    out
}

#[test]
fn tracks_of_other_rates_codecs_and_lengths_are_channels_side_by_side() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let aac = || part(2.0, 48_000, 1, "a.m4a", &["-c:a", "aac"]);
    let aac_8_khz = || part(3.0, 8_000, 2, "b.m4a", &["-c:a", "aac"]);
    let alac = || part(2.5, 44_100, 1, "c.m4a", &["-c:a", "alac"]);
    let opus = || part(3.0, 48_000, 1, "d.opus", &["-c:a", "libopus"]);
    let vorbis = || part(2.0, 16_000, 2, "e.ogg", &["-c:a", "libvorbis"]);
    let flac = part(2.2, 16_000, 1, "f.oga", &["-c:a", "flac"]);
    let pcm = || part(1.5, 8_000, 1, "g.wav", &["-c:a", "pcm_s16le"]);
    for (name, parts) in [
        ("call.m4a", &[aac(), aac_8_khz(), alac()][..]),
        ("call.mov", &[aac_8_khz(), aac()]),
        ("call.mka", &[opus(), pcm(), vorbis()]),
        ("call.webm", &[opus(), vorbis()]),
        ("call.ogg", &[vorbis(), opus(), flac]),
    ] {
        let (whole, single) = container(folder.path(), name, parts, &[]);
        let expected: Vec<Vec<f32>> = single.iter().flat_map(|path| alone(path)).collect();
        let channels = u16::try_from(expected.len()).expect("few");
        let (found, samples) =
            analysed(&whole, Some(&speakers(channels))).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!((found.facts.channels, samples.len()), (channels, expected.len()), "{name}");
        let longest = expected.iter().map(Vec::len).max().expect("a track");
        for (number, (found, expected)) in samples.iter().zip(&expected).enumerate() {
            assert!(found.len().abs_diff(longest) <= 16, "{name}: {} samples of {longest}", found.len());
            let same = agreement(expected, found);
            assert!(same > 40.0, "{name}, channel {number}: {same:.1} dB");
            assert!(found[(expected.len() + 2_000).min(found.len())..].iter().all(|s| *s == 0.0), "{name}: silence");
        }
        let numbers: Vec<_> = found.facts.tracks.iter().flat_map(|track| track.channels.clone()).collect();
        assert_eq!(numbers, (0..channels).collect::<Vec<_>>(), "{name}: the report says which track a channel is of");
        assert_eq!(found.facts.tracks.len(), parts.len(), "{name}");
        let seconds = longest as f64 / 16_000.0;
        assert!((found.facts.duration_s - seconds).abs() < 0.01, "{name}: {} s", found.facts.duration_s);
    }
}

#[test]
fn the_roles_of_two_tracks_are_those_of_two_channels() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let parts = || [part(3.0, 48_000, 1, "a.m4a", &["-c:a", "aac"]), part(2.0, 48_000, 1, "b.m4a", &["-c:a", "aac"])];
    let (whole, single) = container(folder.path(), "call.m4a", &parts(), &[]);
    let (found, samples) = analysed(&whole, None).expect("a call");
    let roles: Vec<_> = found.tracks.iter().map(|track| (track.channel, track.role, track.scored)).collect();
    assert_eq!(roles, [(Some(0), Role::Agent, false), (Some(1), Role::Customer, true)]);
    assert_eq!(samples.len(), 1, "the agent's track goes no further");
    let customer = &alone(&single[1])[0];
    assert!(agreement(customer, &samples[0]) > 60.0 && samples[0].len() > customer.len());
    let (found, mixed) = analysed(&whole, Some(&ChannelLayout::Mix)).expect("a call");
    assert_eq!(found.tracks, [Track { channel: None, role: Role::Mixed, scored: true }]);
    let (_, apart) = analysed(&whole, Some(&speakers(2))).expect("a call");
    let average: Vec<f32> = apart[0].iter().zip(&apart[1]).map(|(a, b)| f32::midpoint(*a, *b)).collect();
    assert!(agreement(&average, &mixed[0]) > 80.0);
}

#[test]
fn a_track_that_begins_later_has_silence_before_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (_, single) = container(
        folder.path(),
        "unused.mka",
        &[part(4.0, 16_000, 1, "a.wav", &["-c:a", "pcm_s16le"]), part(1.0, 16_000, 1, "b.wav", &["-c:a", "pcm_s16le"])],
        &[],
    );
    let paths: Vec<_> = single.iter().map(|path| path.to_string_lossy()).collect();
    for (name, codec) in [("late.m4a", "alac"), ("late.mka", "flac")] {
        let whole = folder.path().join(name);
        let target = whole.to_string_lossy();
        let inputs = ["-i", &paths[0], "-itsoffset", "2", "-i", &paths[1]];
        ffmpeg(&[&inputs[..], &["-map", "0", "-map", "1", "-c:a", codec, &target]].concat(), b"");
        let (found, samples) =
            analysed(&whole, Some(&speakers(2))).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert!(samples[1][..31_900].iter().all(|s| *s == 0.0), "{name}: silence until it begins");
        let same = agreement(&alone(&single[1])[0], &samples[1][32_000..48_000]);
        assert!(same > 40.0, "{name}: {same:.1} dB");
        assert!((found.facts.tracks[1].start_s - 2.0).abs() < 0.01, "{name}: {:?}", found.facts.tracks);
    }
}

#[test]
fn a_track_that_cant_be_decoded_is_named_and_the_others_are_analysed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let alac = || part(2.0, 48_000, 1, "a.m4a", &["-c:a", "alac"]);
    let unknown = || part(2.0, 48_000, 2, "b.ac3", &["-c:a", "ac3"]);
    for name in ["call.mp4", "call.mkv"] {
        let (whole, _) = container(folder.path(), name, &[unknown(), alac()], &[]);
        let (found, samples) = analysed(&whole, None).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!((found.facts.channels, samples.len()), (2, 1), "{name}: it counts as one channel");
        let failure = found.facts.tracks[0].failure.as_ref().expect("said");
        assert_eq!(failure.code, FailureCode::AudioUnsupportedCodec);
        assert!(failure.message.contains("audio track 0") && failure.message.contains("AC"), "{failure}");
        assert!(!found.tracks[0].scored && found.tracks[1].scored);
        let (whole, _) = container(folder.path(), name, &[alac(), unknown()], &[]);
        let failure = analysed(&whole, None).expect_err("only the agent can be analysed, who is not scored");
        assert_eq!(failure.code, FailureCode::AudioUnsupportedCodec, "{name}");
        assert!(failure.message.contains("audio track 1"), "{failure}");
        let (found, samples) = analysed(&whole, Some(&speakers(2))).expect("one speaker is analysed");
        assert_eq!((samples.len(), found.tracks[0].scored, found.tracks[1].scored), (1, true, false), "{name}");
        let (whole, _) = container(folder.path(), name, &[unknown(), unknown()], &[]);
        assert_eq!(analysed(&whole, None).expect_err("nothing").code, FailureCode::AudioUnsupportedCodec, "{name}");
    }
}

/// The Matroska file without the packets of one track, whose numbers are from 1.
fn without_packets(file: &[u8], track: u8) -> Vec<u8> {
    rewrite(file, &mut |id, body| match id {
        0xa3 | 0xa1 if body[0] == 0x80 | track => None,
        0xa0 if !body.windows(2).any(|bytes| bytes[0] == 0xa1) => None,
        _ => Some(body),
    })
}

#[test]
fn a_track_without_packets_has_the_rate_that_is_declared_and_the_recording_that_of_a_track_with_sound() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let parts = || {
        let pcm = part(2.0, 8_000, 1, "a.wav", &["-c:a", "pcm_s16le"]);
        [pcm, part(2.0, 44_100, 2, "b.flac", &["-c:a", "flac"])]
    };
    let (whole, _) = container(folder.path(), "call.mka", &parts(), &[]);
    let plain = std::fs::read(&whole).expect("readable");
    for (empty, codec, rate) in [(0, "flac", 44_100), (1, "pcm_s16le", 8_000)] {
        std::fs::write(&whole, without_packets(&plain, empty + 1)).expect("written");
        let (found, samples) = analysed(&whole, Some(&speakers(3))).expect("the other track has sound");
        let of_tracks: Vec<_> = found.facts.tracks.iter().map(|track| (track.sample_rate, track.duration_s)).collect();
        let seconds = if empty == 0 { [0.0, 2.0] } else { [2.0, 0.0] };
        assert_eq!(of_tracks, [(8_000, seconds[0]), (44_100, seconds[1])], "{codec}");
        assert_eq!((found.facts.sample_rate, &*found.facts.codec, found.facts.channels), (rate, codec, 3));
        let silent: Vec<bool> = samples.iter().map(|samples| samples.iter().all(|s| *s == 0.0)).collect();
        assert_eq!(silent, [empty == 0, empty == 1, empty == 1], "{codec}");
    }
    // What the headers don't say is absent, not 0.
    let json = serde_json::to_value(domain::report::AudioTrackFacts::default()).expect("JSON");
    assert!(json.get("sample_rate").is_none() && json.get("duration_s").is_some(), "{json}");
}

#[test]
fn the_limits_hold_over_all_tracks() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let parts: Vec<Part> = (0..5).map(|_| part(0.5, 16_000, 2, "a.wav", &["-c:a", "pcm_s16le"])).collect();
    let (whole, _) = container(folder.path(), "wide.mka", &parts, &[]);
    let failure = analysed(&whole, None).expect_err("ten channels");
    assert_eq!(failure.code, FailureCode::AudioTooManyChannels);
    let (whole, _) = container(folder.path(), "fits.mka", &parts[..4], &[]);
    assert_eq!(analysed(&whole, None).expect("eight channels").1.len(), 8);
}
