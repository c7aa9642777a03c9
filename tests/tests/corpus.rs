//! Regression tests for what fuzzing found: every input of `fuzz/corpus`, and mutations of it, through the code of the
//! fuzz targets. No fuzzer is needed; `docs/delivery.md` says how to run one.

#[path = "../../fuzz/exercise.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets include the same file")]
mod exercise;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Mutations of each input.
const MUTATIONS: usize = 12;
/// Longest that one input may take, on a busy machine, unoptimised.
const LONGEST: Duration = Duration::from_secs(20);
/// Most memory, MiB, by which all inputs together may raise the process's peak.
const MOST_MIB: f64 = 400.0;

/// A small generator of numbers, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % sides.max(1)
    }
}

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "{} inputs in {}", paths.len(), folder.display());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("readable"))).collect()
}

/// Damages `bytes`, and at times puts the head of one input before the body of `other`.
fn mutated(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.roll(4) {
        if bytes.is_empty() {
            break;
        }
        let reach = if dice.roll(2) == 0 { bytes.len().min(400) } else { bytes.len() };
        let at = dice.roll(reach);
        let length = (1 + dice.roll(12)).min(bytes.len() - at);
        match dice.roll(7) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at] = dice.roll(256) as u8,
            2 => bytes[at..at + length].fill([0, 0xff, 0x7f][dice.roll(3)]),
            3 => drop(bytes.drain(at..at + length)),
            4 => bytes.truncate(at),
            5 => {
                let copy = bytes[at..at + length].to_vec();
                bytes.splice(at..at, copy.repeat(1 + dice.roll(30)));
            }
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[dice.roll(other.len())..]);
            }
        }
    }
    bytes
}

/// Puts every input and its mutations through `exercise`; counts the outcomes.
fn replay(target: &str, exercise: impl Fn(&[u8]) -> &'static str) -> BTreeMap<&'static str, usize> {
    let (inputs, mut dice, mut outcomes) = (inputs(target), Dice(0x5eed_2026), BTreeMap::new());
    for (path, whole) in &inputs {
        let others: Vec<usize> = (0..MUTATIONS).map(|_| dice.roll(inputs.len())).collect();
        let mutations: Vec<Vec<u8>> = others.iter().map(|n| mutated(whole, &inputs[*n].1, &mut dice)).collect();
        for (round, bytes) in std::iter::once(whole).chain(&mutations).enumerate() {
            let begun = Instant::now();
            let outcome = exercise(bytes);
            let took = begun.elapsed();
            assert!(took < LONGEST, "{}, mutation {round} (0 is none): {took:?}", path.display());
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    println!("{target}: {outcomes:?}");
    outcomes
}

/// The most memory this process ever had, MiB.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the kernel reports it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
}

#[test]
fn every_file_of_the_corpus_ends_in_samples_or_a_code() {
    let before = peak_mib();
    let outcomes =
        replay("decode", |bytes| exercise::decode(bytes).map_or_else(|failure| failure.code.code(), |_| "samples"));
    let grown = peak_mib() - before;
    println!("peak memory: {grown:.0} MiB more");
    assert!(grown < MOST_MIB, "{grown:.0} MiB for files of a few kilobytes");
    assert!(outcomes["samples"] > 30, "{outcomes:?}");
    assert!(outcomes.len() >= 5, "the mutations are all alike: {outcomes:?}");
}

#[test]
fn every_message_of_the_corpus_is_a_job_or_refused_with_a_code() {
    let outcomes =
        replay("job_message", |body| exercise::job_message(body).map_or_else(|failure| failure.code.code(), |_| "job"));
    assert!(outcomes["job"] > 2 && outcomes["job.unreadable"] > 10 && outcomes["job.invalid"] > 1, "{outcomes:?}");
}
