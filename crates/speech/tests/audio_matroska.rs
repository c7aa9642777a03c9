//! What Matroska says is to be discarded of packets, wherever they are, and clusters whose ends are not known.

mod recordings;

use domain::Role;
use domain::channel::Track;
use recordings::ebml::{Element, element, elements};
use recordings::{decode, encode, ffmpeg, limits, tones};
use speech::audio::Recording;
use std::fs::File;
use std::path::Path;

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const DISCARD_PADDING: u32 = 0x75a2;

/// An element without a size.
fn endless(id: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = element(id, body);
    bytes[4..12].copy_from_slice(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    bytes
}

/// The file with what `discard` says, nanoseconds, for each packet of its only track; with or without sizes.
fn written_anew(file: &[u8], sized: bool, discard: &dyn Fn(usize) -> Option<i64>) -> Vec<u8> {
    let outer = if sized { element } else { endless };
    let mut number = 0;
    let mut block = |id: u32, body: &[u8]| {
        let group = |block: &[u8], padding: Option<i64>| {
            let padding = padding.map(|padding| element(DISCARD_PADDING, &padding.to_be_bytes())).unwrap_or_default();
            element(BLOCK_GROUP, &[element(BLOCK, block), padding].concat())
        };
        let of_group = elements(if id == BLOCK_GROUP { body } else { &[] });
        let found = |wanted: u32| of_group.iter().find(|element| element.id == wanted).map(|element| &element.body[..]);
        number += 1;
        let padding = discard(number - 1).or_else(|| {
            found(DISCARD_PADDING).map(|bytes| bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte)))
        });
        match (id, padding) {
            (SIMPLE_BLOCK, None) => element(SIMPLE_BLOCK, body),
            (SIMPLE_BLOCK, padding) => group(body, padding),
            _ => group(found(BLOCK).expect("a block"), padding),
        }
    };
    let mut cluster = |body: &[u8]| -> Vec<u8> {
        let children = elements(body).into_iter().map(|Element { id, body }| match id {
            SIMPLE_BLOCK | BLOCK_GROUP => block(id, &body),
            _ => element(id, &body),
        });
        children.collect::<Vec<_>>().concat()
    };
    let mut segment = |body: &[u8]| -> Vec<u8> {
        let children = elements(body).into_iter().filter_map(|Element { id, body }| match id {
            CLUSTER => Some(outer(CLUSTER, &cluster(&body))),
            // Positions are others now, and behind a cluster without a size comes another one.
            0x114d_9b74 | 0x1c53_bb6b | 0x1254_c367 | 0xec => None,
            _ => Some(element(id, &body)),
        });
        children.collect::<Vec<_>>().concat()
    };
    let file = elements(file).into_iter().map(|Element { id, body }| match id {
        SEGMENT => outer(SEGMENT, &segment(&body)),
        _ => element(id, &body),
    });
    file.collect::<Vec<_>>().concat()
}

fn samples(path: &Path, bytes: &[u8]) -> Vec<f32> {
    std::fs::write(path, bytes).expect("written");
    let (_, mut found) = decode(path, &limits()).unwrap_or_else(|failure| panic!("{}: {failure}", path.display()));
    found.remove(0)
}

#[test]
fn what_is_to_be_discarded_of_single_packets_is_no_sound_wherever_they_are() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("anew.mka");
    // Samples of a packet and those before the first that belongs to the recording, as the encoders have them.
    for (name, codec, packet, delay) in [("a.webm", "libopus", 960, 312), ("a.mka", "libmp3lame", 1_152, 0)] {
        let arguments = ["-c:a", codec, "-cluster_time_limit", "300"];
        let whole = encode(folder.path(), name, &tones(48_000, 1, 144_000), 48_000, 1, &arguments);
        let plain = std::fs::read(whole).expect("readable");
        for sized in [true, false] {
            let expected = samples(&path, &written_anew(&plain, sized, &|_| None));
            if codec == "libopus" {
                assert_eq!(expected.len(), 144_000, "the padding of the last packet is cut off, sizes: {sized}");
            }
            let end = 51 * packet - delay;
            for (padding_ns, gone) in [
                (10_000_000, end - 480..end),
                (-5_000_000, end - packet..end - packet + 240),
                // More than it has is not believed.
                (60_000_000, 0..0),
            ] {
                let anew = written_anew(&plain, sized, &|number| (number == 50).then_some(padding_ns));
                let found = samples(&path, &anew);
                let rest = [&expected[..gone.start], &expected[gone.end..]].concat();
                assert_eq!(found.len(), rest.len(), "{codec}: {padding_ns}, sizes: {sized}");
                assert!(found == rest, "{codec}: {padding_ns}, sizes: {sized}");
            }
            // Where all of a packet is discarded, and the next keeps its time, there is silence.
            let all = i64::try_from(packet * 1_000_000 / 48).expect("few");
            let found = samples(&path, &written_anew(&plain, sized, &|number| (number == 50).then_some(all)));
            assert!(found.len().abs_diff(expected.len()) < 100, "{codec}: {} samples", found.len());
            assert!(found[end - packet + 10..end - 50].iter().all(|s| *s == 0.0), "{codec}");
        }
    }
}

#[test]
fn the_padding_of_a_track_that_ends_long_before_the_others_is_cut_off() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let short = encode(folder.path(), "a.opus", &tones(48_000, 1, 100_000), 48_000, 1, &["-c:a", "libopus"]);
    let long = encode(folder.path(), "b.opus", &tones(48_000, 1, 48_000 * 40), 48_000, 1, &["-c:a", "libopus"]);
    let whole = folder.path().join("call.mka");
    let (short, long, target) = (short.to_string_lossy(), long.to_string_lossy(), whole.to_string_lossy());
    let inputs = ["-i", &long, "-i", &short, "-map", "0", "-map", "1", "-c", "copy", "-cluster_time_limit", "300"];
    ffmpeg(&[&inputs[..], &[&target]].concat(), b"");
    let plain = std::fs::read(&whole).expect("readable");
    assert!(plain.windows(4).filter(|id| **id == CLUSTER.to_be_bytes()).count() > 70, "many clusters");
    for sized in [true, false] {
        std::fs::write(&whole, written_anew(&plain, sized, &|_| None)).expect("written");
        let mut recording = Recording::open(File::open(&whole).expect("readable"), &limits()).expect("opened");
        let track = |channel| Track { channel: Some(channel), role: Role::Speaker, scored: true };
        let tracks = [track(0), track(1)];
        let mut block = vec![Vec::new(); 2];
        let mut samples = recording.select(&tracks.iter().collect::<Vec<_>>()).expect("selected");
        while samples.next(&mut block).expect("decodes") {}
        let facts = recording.facts();
        let lengths: Vec<_> = facts.tracks.iter().map(|track| (track.duration_s * 48_000.0).round() as u64).collect();
        assert_eq!(lengths, [48_000 * 40, 100_000], "sizes: {sized}");
    }
}
