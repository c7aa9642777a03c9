//! `worker model compare`: two models on the same recordings, segment by segment and alternating, so that a busy
//! machine slows both alike.

use domain::channel::tracks;
use domain::{Failure, Scores};
use settings::Settings;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use speech::audio::{Preprocess, Sink, SpeechSegment, VoiceDetector};
use speech::framing::{MIN_SAMPLES, seconds};
use speech::model::Session;
use speech::runtime::Runtime;

#[derive(Debug, clap::Args)]
pub(super) struct Compare {
    /// Folder of model A
    a: PathBuf,
    /// Folder of model B
    b: PathBuf,
    /// Recordings, of any supported format
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Speed and agreement of both models over a number of segments.
#[derive(Debug, Default)]
struct Agreement {
    segments: usize,
    seconds: f64,
    same_top: usize,
    max_difference: f32,
    sum_difference: f64,
    time: [f64; 2],
}

/// Runs both models on each segment.
struct SideBySide<'a> {
    sessions: &'a mut [Session; 2],
    file: Agreement,
}

impl Sink for SideBySide<'_> {
    fn block(&mut self, _: &[Vec<f32>]) -> Result<(), Failure> {
        Ok(())
    }

    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure> {
        if segment.samples.len() < MIN_SAMPLES {
            return Ok(());
        }
        // The second model finds warm caches: alternate.
        let order = if self.file.segments.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        let mut scores = [None; 2];
        for i in order {
            let begun = Instant::now();
            let predictions = self.sessions[i].run(&[&segment.samples], false)?;
            self.file.time[i] += begun.elapsed().as_secs_f64();
            let softmax = Scores::from_logits(&predictions[0].logits);
            scores[i] = Some(softmax.map_err(|e| Failure::new(domain::FailureCode::ModelFailed, e.to_string()))?);
        }
        if let [Some(a), Some(b)] = scores {
            self.file.add(seconds(segment.samples.len() as u64), &a, &b);
        }
        Ok(())
    }
}

impl Agreement {
    fn add(&mut self, seconds: f64, a: &Scores, b: &Scores) {
        let differences: Vec<f32> = a.as_array().iter().zip(b.as_array()).map(|(a, b)| (a - b).abs()).collect();
        self.segments += 1;
        self.seconds += seconds;
        self.same_top += usize::from(a.top().0 == b.top().0);
        self.max_difference = differences.iter().copied().fold(self.max_difference, f32::max);
        self.sum_difference += differences.iter().map(|d| f64::from(*d)).sum::<f64>() / differences.len() as f64;
    }

    fn join(&mut self, other: &Self) {
        self.segments += other.segments;
        self.seconds += other.seconds;
        self.same_top += other.same_top;
        self.max_difference = self.max_difference.max(other.max_difference);
        self.sum_difference += other.sum_difference;
        self.time = [self.time[0] + other.time[0], self.time[1] + other.time[1]];
    }

    fn row(&self, name: &str) -> String {
        let n = self.segments.max(1) as f64;
        format!(
            "{name:<32.32} {:>8} {:>8.1} {:>9.1} {:>9.1} {:>7.2}x {:>9.1} % {:>9.5} {:>9.5}",
            self.segments,
            self.seconds,
            self.time[0] * 1e3 / self.seconds.max(1e-9),
            self.time[1] * 1e3 / self.seconds.max(1e-9),
            self.time[0] / self.time[1].max(1e-9),
            self.same_top as f64 / n * 100.0,
            self.max_difference,
            self.sum_difference / n,
        )
    }
}

impl Compare {
    /// Exit code 3 when a file failed.
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let runtime = Runtime::load(&settings.runtime)?;
        let vad = VoiceDetector::load(&runtime)?;
        let (a, of_a) = Session::load(&runtime, &self.a, &settings.model)?;
        let (b, of_b) = Session::load(&runtime, &self.b, &settings.model)?;
        println!("A = {} {} ({})", of_a.card.name, of_a.card.version, self.a.display());
        println!("B = {} {} ({})\n", of_b.card.name, of_b.card.version, self.b.display());
        println!(
            "{:<32} {:>8} {:>8} {:>9} {:>9} {:>8} {:>11} {:>9} {:>9}",
            "file", "segments", "speech s", "A ms/s", "B ms/s", "A / B", "same top", "max diff", "mean diff"
        );
        let mut sessions = [a, b];
        let mut total = Agreement::default();
        let mut failed = 0;
        for file in &self.files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let mut run = SideBySide { sessions: &mut sessions, file: Agreement::default() };
            let preprocess = Preprocess { audio: &settings.audio, segment: &settings.segment, vad: &vad };
            let roles = &settings.analysis;
            let layout = |n: u16| tracks(n, None, roles.two_channel_roles, &roles.score_roles);
            match preprocess.run(File::open(file)?, layout, &mut run) {
                Ok(_) => println!("{}", run.file.row(&name)),
                Err(failure) => {
                    failed += 1;
                    eprintln!("{}: {failure}", file.display());
                }
            }
            total.join(&run.file);
        }
        println!("{}", total.row("all"));
        println!("\nms/s: milliseconds of computing per second of speech. A / B above 1: B is faster.");
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }
}
