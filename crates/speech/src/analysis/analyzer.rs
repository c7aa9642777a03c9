//! From a file on disk to what was heard in it. Knows nothing of queues, stores or databases:
//! `worker analyze` and the fleet both call it.

use crate::Settings;
use chrono::Utc;
use domain::channel::{Track, tracks};
use domain::report::{AudioFacts, ChannelReport, FrameSeries, Provenance, Timings};
use domain::{AnalysisOptions, Failure, FailureCode, Granularity, ModelIdentity, Report, Scores};
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::aggregator::{Position, ScoreAggregator};
use crate::artifacts::disk_failure;
use crate::artifacts::{AUDIO, AudioFile, EMBEDDING, EmbeddingFile};
use crate::audio::{Preprocess, Sink, SpeechSegment, VoiceDetector};
use crate::framing::MIN_SAMPLES;
use crate::model::{InferenceHandle, ModelCard, PendingPrediction, Request, Session};
use crate::runtime::Runtime;

/// Voice detector and model, ready: everything that is loaded once.
#[derive(Debug)]
pub struct Analyzer {
    settings: Settings,
    vad: VoiceDetector,
    inference: InferenceHandle,
    card: ModelCard,
}

/// What was heard.
#[derive(Debug)]
pub struct Analysis {
    /// What the recording is.
    pub audio: AudioFacts,
    /// One entry per channel.
    pub channels: Vec<ChannelReport>,
    /// Over all scored speech.
    pub scores: Scores,
    /// Mean over all scored speech, shape `[D]`.
    pub embedding: Vec<f32>,
    /// Only with [`Granularity::Frame`].
    pub frames: Option<FrameSeries>,
    /// Decoding, resampling, segmenting.
    pub preprocess: Duration,
    /// Waiting for the model.
    pub infer: Duration,
}

impl Analysis {
    /// The report on the recording of `provenance`.
    pub fn into_report(
        self,
        provenance: Provenance,
        options: &AnalysisOptions,
        model: ModelIdentity,
        timings: Timings,
    ) -> Report {
        let (emotion, confidence) = self.scores.top();
        let Provenance { job_id, batch_id, object, call } = provenance;
        Report {
            emotion,
            confidence,
            scores: self.scores,
            granularity: options.granularity,
            timestamp: Utc::now(),
            job_id,
            batch_id,
            object,
            call,
            model,
            audio: self.audio,
            channels: self.channels,
            frames: self.frames,
            timings,
        }
    }
}

impl Analyzer {
    /// Loads ONNX Runtime, the voice detector and the model, and warms the model up.
    ///
    /// # Errors
    /// With what to do about the file that is missing or wrong.
    pub fn load(settings: &Settings) -> anyhow::Result<Self> {
        let runtime = Runtime::load(&settings.runtime)?;
        let vad = VoiceDetector::load(&runtime)?;
        let (session, loaded) = Session::load(&runtime, &settings.model.dir, &settings.model)?;
        let card = loaded.card;
        if card.name != settings.model.name {
            let (dir, wanted) = (settings.model.dir.clone(), settings.model.name.clone());
            return Err(crate::model::ContractError::Name { dir, found: card.name, wanted }.into());
        }
        tracing::info!(model = card.name, version = card.version, load_s = loaded.load_s, "model ready");
        let inference = InferenceHandle::start(session, &settings.model)?;
        Ok(Self { settings: settings.clone(), vad, inference, card })
    }

    /// Which model hears.
    pub fn model(&self) -> ModelIdentity {
        self.card.identity()
    }

    /// Analyses `file`; leaves `processed_audio.wav` and (if optionsed) `embedding.npy` in `out`.
    /// Blocks: call it from a thread for blocking work.
    ///
    /// # Errors
    /// The recording's or the model's [`Failure`]; `job.cancelled` when `cancel` fires.
    pub fn analyze(
        &self,
        file: &Path,
        options: &AnalysisOptions,
        out: &Path,
        cancel: &CancellationToken,
    ) -> Result<Analysis, Failure> {
        let begun = Instant::now();
        let source = File::open(file).map_err(|e| disk_failure("the recording", &e))?;
        let preprocess = Preprocess { audio: &self.settings.audio, segment: &self.settings.segment, vad: &self.vad };
        let roles = &self.settings.analysis;
        let layout =
            |channels: u16| tracks(channels, options.channels.as_ref(), roles.two_channel_roles, &roles.score_roles);
        let mut sink = self.sink(options, out, cancel)?;
        let heard = preprocess.run(source, layout, &mut sink)?;
        sink.settle(0)?;
        let AnalysisSink { wav, rows, aggregator, waited, .. } = sink;
        wav.finish()?;
        let frames = options.granularity == Granularity::Frame;
        let total = aggregator.total(&heard.tracks, frames).ok_or_else(|| no_speech(&heard.facts, &heard.tracks))?;
        match rows {
            Some(rows) => rows.finish(self.card.embedding_dim)?,
            None if options.embedding => EmbeddingFile::write_vector(&out.join(EMBEDDING.0), &total.embedding)?,
            None => {}
        }
        Ok(Analysis {
            audio: heard.facts,
            channels: total.channels,
            scores: total.scores,
            embedding: total.embedding,
            frames: total.frames,
            preprocess: begun.elapsed().saturating_sub(waited),
            infer: waited,
        })
    }

    fn sink<'a>(
        &'a self,
        options: &AnalysisOptions,
        out: &Path,
        cancel: &'a CancellationToken,
    ) -> Result<AnalysisSink<'a>, Failure> {
        let frames = options.granularity == Granularity::Frame;
        let rows = if frames && options.embedding {
            let scratch = tempfile::tempfile_in(out).map_err(|e| disk_failure(EMBEDDING.0, &e))?;
            Some(EmbeddingFile::begin_rows(&out.join(EMBEDDING.0), scratch))
        } else {
            None
        };
        Ok(AnalysisSink {
            inference: &self.inference,
            cancel,
            frames,
            in_flight: self.settings.model.batch_items,
            pending: VecDeque::new(),
            wav: AudioFile::at(&out.join(AUDIO.0)),
            rows,
            aggregator: ScoreAggregator::default(),
            waited: Duration::ZERO,
        })
    }
}

fn no_speech(facts: &AudioFacts, tracks: &[Track]) -> Failure {
    let roles: Vec<_> = tracks.iter().filter(|t| t.scored).map(|t| t.role.label()).collect();
    let message =
        format!("no speech in {:.1} s of audio on the scored channel(s): {}", facts.duration_s, roles.join(", "));
    Failure::new(FailureCode::AudioNoSpeech, message)
}

/// Takes what preprocessing gives: audio to the file, segments to the model. While the model
/// hears some segments, the next ones are decoded; a bound keeps memory flat.
struct AnalysisSink<'a> {
    inference: &'a InferenceHandle,
    cancel: &'a CancellationToken,
    frames: bool,
    in_flight: usize,
    pending: VecDeque<(Position, PendingPrediction)>,
    wav: AudioFile,
    rows: Option<EmbeddingFile>,
    aggregator: ScoreAggregator,
    waited: Duration,
}

impl AnalysisSink<'_> {
    /// Takes answers, oldest first, until at most `most` are outstanding.
    fn settle(&mut self, most: usize) -> Result<(), Failure> {
        while self.pending.len() > most {
            let Some((place, inference)) = self.pending.pop_front() else { break };
            let begun = Instant::now();
            let heard = inference.wait()?;
            self.waited += begun.elapsed();
            self.aggregator.add(place, &heard, self.frames)?;
            if let Some(rows) = &mut self.rows {
                rows.append(&heard.frames)?;
            }
        }
        Ok(())
    }
}

impl Sink for AnalysisSink<'_> {
    fn block(&mut self, scored: &[Vec<f32>]) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::new(FailureCode::JobCancelled, "the job was stopped before it ended"));
        }
        self.wav.write(scored)
    }

    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure> {
        if segment.samples.len() < MIN_SAMPLES {
            return Ok(());
        }
        let SpeechSegment { track, index, start_sample, end_sample, samples } = segment;
        let begun = Instant::now();
        let inference = self.inference.submit(Request { samples, frames: self.frames })?;
        self.waited += begun.elapsed();
        self.pending.push_back((Position { track, index, start_sample, end_sample }, inference));
        self.settle(self.in_flight)
    }
}
