//! Segmentation of synthetic speech.

use super::*;

const CHUNK: usize = 512;

fn settings() -> settings::Segment {
    settings::Segment { padding_s: 0.1, ..settings::Settings::default().segment }
}

/// A recording of spans: seconds, and whether they are speech.
fn script(parts: &[(f64, bool)]) -> Vec<f32> {
    parts
        .iter()
        .flat_map(|(seconds, speech)| {
            let count = (seconds * f64::from(SAMPLE_RATE)) as usize;
            (0..count).map(move |n| if *speech { 0.3 * (n as f32 * 0.2).sin() } else { 0.0 })
        })
        .collect()
}

/// Segments of samples that are speech wherever they are not silent; checks what holds for any input.
fn cut(samples: &[f32], settings: &settings::Segment) -> Vec<SegmentSamples> {
    let (mut segmenter, mut segments, mut most) = (Segmenter::new(settings), Vec::new(), 0);
    for chunk in samples.chunks(CHUNK) {
        let loud = chunk.iter().any(|s| s.abs() > 0.01);
        segmenter.push(if loud { 0.95 } else { 0.02 }, chunk, &mut segments);
        most = most.max(segmenter.held());
    }
    segmenter.finish(&mut segments);
    let limit = (settings.hard_max_s * f64::from(SAMPLE_RATE)) as usize;
    assert!(most <= limit + SAMPLE_RATE as usize, "{most} samples in memory");
    let mut end = 0;
    for segment in &segments {
        let start = segment.start as usize;
        assert!(start >= end, "segments overlap");
        end = start + segment.samples.len();
        assert!(segment.samples.len() <= limit, "{} samples in one segment", segment.samples.len());
        assert_eq!(segment.samples, samples[start..end], "a segment holds other samples than the recording");
    }
    segments
}

/// Start and length in seconds, to a tenth.
fn spans(segments: &[SegmentSamples]) -> Vec<(f64, f64)> {
    let tenth = |samples: usize| (samples as f64 / f64::from(SAMPLE_RATE) * 10.0).round() / 10.0;
    segments.iter().map(|p| (tenth(p.start as usize), tenth(p.samples.len()))).collect()
}

#[test]
fn silence_has_no_segment() {
    assert!(cut(&script(&[(20.0, false)]), &settings()).is_empty());
    assert!(cut(&[], &settings()).is_empty());
}

#[test]
fn a_short_utterance_is_one_segment_with_its_onset() {
    assert_eq!(spans(&cut(&script(&[(0.5, false), (1.5, true), (0.5, false)]), &settings())), [(0.4, 1.7)]);
}

#[test]
fn short_spans_are_joined_over_short_pauses_but_not_over_long_ones() {
    let talk = script(&[(1.0, true), (0.5, false), (1.0, true), (4.0, false), (1.0, true)]);
    assert_eq!(spans(&cut(&talk, &settings())), [(0.0, 2.6), (6.4, 1.1)]);
}

#[test]
fn speech_is_cut_at_its_longest_pause() {
    let talk = script(&[(2.0, true), (0.4, false), (3.0, true), (0.8, false), (2.5, true), (0.4, false), (4.0, true)]);
    let segments = spans(&cut(&talk, &settings()));
    assert_eq!(segments.len(), 2, "{segments:?}");
    assert_eq!(segments[0], (0.0, 5.5), "the pause at 5.4 s is the longest");
}

#[test]
fn a_long_monologue_is_cut_into_segments_of_the_target_length() {
    let parts: Vec<(f64, bool)> = (0..120)
        .flat_map(|n| [(0.7 + f64::from(n * 7 % 23) / 10.0, true), (0.35 + f64::from(n % 5) / 10.0, false)])
        .collect();
    let segments = cut(&script(&parts), &settings());
    let of_target_length = segments.iter().filter(|p| (48_000..=163_200).contains(&p.samples.len())).count();
    assert!(of_target_length * 10 >= segments.len() * 9, "{:?}", spans(&segments));
}

#[test]
fn speech_without_a_pause_is_cut_at_its_quietest_point_below_the_limit() {
    let mut talk = script(&[(70.0, true)]);
    let quiet = 25 * SAMPLE_RATE as usize;
    talk[quiet..quiet + ENERGY_WINDOW].iter_mut().for_each(|s| *s *= 0.1);
    let segments = cut(&talk, &settings());
    assert_eq!(spans(&segments)[0], (0.0, 25.0));
    let total: usize = segments.iter().map(|p| p.samples.len()).sum();
    assert_eq!(total, talk.len(), "nothing is lost between segments");
}

#[test]
fn a_click_is_a_segment_only_in_a_short_recording_without_other_speech() {
    let click = [(1.0, false), (0.15, true), (1.0, false)];
    assert_eq!(cut(&script(&click), &settings()).len(), 1);
    let call = [&click[..], &[(3.0, true), (2.0, false)]].concat();
    assert_eq!(spans(&cut(&script(&call), &settings())), [(2.0, 3.2)]);
    let long = [&click[..], &[(20.0, false)]].concat();
    assert!(cut(&script(&long), &settings()).is_empty());
}

#[test]
fn other_limits_are_respected() {
    let mut short = settings();
    (short.target_min_s, short.target_max_s, short.hard_max_s) = (0.5, 1.0, 2.0);
    let segments = cut(&script(&[(9.3, true), (0.31, false), (5.0, true)]), &short);
    assert!(segments.len() >= 8, "{:?}", spans(&segments));
}

#[test]
fn any_probabilities_keep_the_invariants() {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for _ in 0..40 {
        let parts: Vec<(f64, bool)> = (0..30)
            .map(|n| (f64::from(next() % 1000) / 1000.0 * if next() % 9 == 0 { 40.0 } else { 1.5 }, n % 2 == 0))
            .collect();
        cut(&script(&parts), &settings());
    }
}

/// The ends of each setting's range, together: segments stay within the longest one, in order, and do not overlap.
#[test]
fn the_ends_of_every_range_cut_without_overlap() {
    let ends = |low: f64, high: f64| [low, high];
    let mut seed = 17_u32;
    for [min_silence_s, min_speech_s, padding_s] in
        (0..8).map(|n| [ends(0.0, 10.0)[n & 1], ends(0.0, 10.0)[(n >> 1) & 1], ends(0.0, 5.0)[n >> 2]])
    {
        for (target_min_s, target_max_s, hard_max_s) in
            [(0.0, 0.1, 1.0), (0.1, 0.1, 30.0), (30.0, 30.0, 30.0), (1.0, 1.0, 1.0)]
        {
            for vad_threshold in [0.16, 1.0] {
                let settings = settings::Segment {
                    vad_threshold,
                    min_silence_s,
                    min_speech_s,
                    // Less than half of the longest segment.
                    padding_s: f64::min(padding_s, 0.499 * hard_max_s),
                    target_min_s,
                    target_max_s,
                    hard_max_s,
                    ..settings::Settings::default().segment
                };
                assert!(settings.checks().iter().all(|check| check.valid), "{settings:?}");
                let (mut segmenter, mut found) = (Segmenter::new(&settings), Vec::new());
                for chunk in 0..1200_u32 {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // A minute of speech, of silence, then of both in turn.
                    let probability = match chunk / 400 {
                        0 => 1.0,
                        1 => 0.0,
                        _ => f32::from(u8::from((seed >> 28) > 7)),
                    };
                    segmenter.push(probability, &[0.1; 512], &mut found);
                }
                segmenter.finish(&mut found);
                let longest = (hard_max_s * 16_000.0) as u64;
                let mut end = 0;
                for segment in &found {
                    let length = segment.samples.len() as u64;
                    assert!(segment.start >= end && length <= longest, "{settings:?}");
                    end = segment.start + length;
                }
            }
        }
    }
}
