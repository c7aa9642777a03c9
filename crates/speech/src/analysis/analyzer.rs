//! Analyses one file: preprocessing, predictions, aggregation, artifacts. `worker analyze` and the fleet both call it.

use crate::Settings;
use chrono::Utc;
use domain::alert::OperatingPoints;
use domain::channel::tracks;
use domain::report::{ArtifactKind, AudioCopy, AudioFacts, ChannelReport, FrameSeries, Provenance, Timings};
use domain::{AnalysisOptions, Failure, FailureCode, Granularity, ModelIdentity, Report, Scores, Warning};
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::aggregator::{ScoreAggregator, SegmentSpan};
use super::control::AnalysisControl;
use crate::artifacts::{AudioFile, EMBEDDING, EmbeddingFile};
use crate::audio::{Preprocess, Sink, SpeechSegment, StageTimes, VoiceDetector};
use crate::framing::MIN_SAMPLES;
use crate::model::{InferenceHandle, ModelCard, PendingPrediction, Request, Session};
use crate::runtime::Runtime;

/// Voice detector and model: everything that is loaded once per process.
#[derive(Debug)]
pub struct Analyzer {
    settings: Settings,
    vad: VoiceDetector,
    inference: InferenceHandle,
    card: ModelCard,
    /// Most segments of one recording that wait for their predictions.
    max_pending: usize,
}

/// The result of analysing one file.
#[derive(Debug)]
pub struct Analysis {
    /// Properties of the recording.
    pub audio: AudioFacts,
    /// One entry per channel.
    pub channels: Vec<ChannelReport>,
    /// Over all scored speech; `None` when there is none.
    pub scores: Option<Scores>,
    /// Mean over all scored speech, shape `[D]`; `None` when there is none.
    pub embedding: Option<Vec<f32>>,
    /// What makes the result worth less.
    pub warnings: Vec<Warning>,
    /// Only with [`Granularity::Frame`].
    pub frames: Option<FrameSeries>,
    /// The audio copy that was left; `None` where `analysis.artifacts` leaves it out.
    pub processed_audio: Option<AudioCopy>,
    /// Time spent on everything but waiting for predictions.
    pub preprocess: Duration,
    /// Of it, the time of each stage of preprocessing.
    pub stages: StageTimes,
    /// Time spent waiting for predictions.
    pub infer: Duration,
    /// Time that the model ran for these segments.
    pub model: Duration,
}

impl Analysis {
    /// The stages' times among those of the job.
    pub fn time_stages(&self, timings: &mut Timings) {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        timings.preprocess_ms = ms(self.preprocess);
        timings.decode_ms = ms(self.stages.decode);
        timings.resample_ms = ms(self.stages.resample);
        timings.vad_ms = ms(self.stages.detect);
        timings.infer_ms = ms(self.infer);
        timings.model_ms = ms(self.model);
    }

    /// The report on the recording of `provenance`.
    pub fn into_report(
        self,
        provenance: Provenance,
        options: &AnalysisOptions,
        model: ModelIdentity,
        timings: Timings,
    ) -> Report {
        let (emotion, confidence) = self.scores.map(|scores| scores.top()).unzip();
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
            warnings: self.warnings,
            frames: self.frames,
            processed_audio: self.processed_audio,
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
            let (dir, expected) = (settings.model.dir.clone(), settings.model.name.clone());
            return Err(crate::model::ContractError::Name { dir, found: card.name, expected }.into());
        }
        tracing::info!(model = card.name, version = card.version, load_s = loaded.load_s, "model ready");
        let inference = InferenceHandle::start(&session, &settings.model)?;
        // One recording alone keeps all callers busy, and each batch can be full.
        let max_pending = settings.model.batch_items.max(2 * settings.model.concurrency().callers);
        Ok(Self { settings: settings.clone(), vad, inference, card, max_pending })
    }

    /// The loaded model.
    pub fn model(&self) -> ModelIdentity {
        self.card.identity()
    }

    /// Where alerts on an emotion should begin, as the model's card advises; empty when it does not.
    pub fn advised_alerts(&self) -> &OperatingPoints {
        &self.card.alerts
    }

    /// Analyses `file`; leaves the audio copy and (if it is an option) `embedding.npy` in `out`, as far as
    /// `analysis.artifacts` names them.
    /// Blocks: call it from a thread for blocking work.
    ///
    /// # Errors
    /// The recording's or the model's [`Failure`]; `job.cancelled` when `control.cancel` fires.
    pub fn analyze(
        &self,
        file: &Path,
        options: &AnalysisOptions,
        out: &Path,
        control: &AnalysisControl,
    ) -> Result<Analysis, Failure> {
        let begun = Instant::now();
        let source = File::open(file).map_err(|e| Failure::disk("the recording", &e))?;
        let mut audio = self.settings.audio.clone();
        if let Some(limit) = control.max_seconds {
            audio.max_seconds = audio.max_seconds.min(limit.into());
        }
        let preprocess = Preprocess { audio: &audio, segment: &self.settings.segment, vad: &self.vad };
        let roles = &self.settings.analysis;
        let layout =
            |channels: u16| tracks(channels, options.channels.as_ref(), roles.two_channel_roles, &roles.score_roles);
        let mut sink = self.sink(options, out, control)?;
        let preprocessed = preprocess.run(source, layout, &mut sink)?;
        for failure in preprocessed.facts.tracks.iter().filter_map(|track| track.failure.as_ref()) {
            tracing::warn!(error = %failure, "an audio track can't be decoded; the others are analysed");
        }
        sink.collect(0)?;
        preprocessed.check_mixed(&roles.score_roles)?;
        let AnalysisSink { copy, rows, aggregator, waited, model, .. } = sink;
        let processed_audio = copy.map(AudioFile::finish).transpose()?.flatten();
        if let Some(AudioCopy { file, reason: Some(reason) }) = &processed_audio {
            tracing::warn!(file, "the audio copy is not of the format in `analysis.audio_format`: {reason}");
        }
        let frames = options.granularity == Granularity::Frame;
        let total = aggregator.total(&preprocessed.tracks, &preprocessed.levels, frames);
        // Without speech there is nothing to embed, and no file.
        if let Some(embedding) = &total.embedding {
            match rows {
                Some(rows) => rows.finish(self.card.embedding_dim)?,
                None if self.embeds(options) => EmbeddingFile::write_vector(&out.join(EMBEDDING.0), embedding)?,
                None => {}
            }
        }
        let warnings = preprocessed.warnings();
        for warning in &warnings {
            tracing::warn!(code = warning.code.label(), "{}", warning.message);
        }
        Ok(Analysis {
            audio: preprocessed.facts,
            channels: total.channels,
            warnings,
            scores: total.scores,
            embedding: total.embedding,
            frames: total.frames,
            processed_audio,
            preprocess: begun.elapsed().saturating_sub(waited),
            stages: preprocessed.times,
            infer: waited,
            model,
        })
    }

    fn leaves(&self, kind: ArtifactKind) -> bool {
        self.settings.analysis.artifacts.contains(&kind)
    }

    /// Whether `embedding.npy` is written.
    fn embeds(&self, options: &AnalysisOptions) -> bool {
        options.embedding && self.leaves(ArtifactKind::Embedding)
    }

    fn sink<'a>(
        &'a self,
        options: &AnalysisOptions,
        out: &Path,
        control: &'a AnalysisControl,
    ) -> Result<AnalysisSink<'a>, Failure> {
        let frames = options.granularity == Granularity::Frame;
        let rows = if frames && self.embeds(options) {
            let scratch = tempfile::tempfile_in(out).map_err(|e| Failure::disk(EMBEDDING.0, &e))?;
            Some(EmbeddingFile::begin_rows(&out.join(EMBEDDING.0), scratch))
        } else {
            None
        };
        Ok(AnalysisSink {
            inference: &self.inference,
            control,
            frames,
            max_pending: self.max_pending,
            pending: VecDeque::new(),
            copy: self.leaves(ArtifactKind::Audio).then(|| AudioFile::create(out, self.settings.analysis.audio_format)),
            rows,
            aggregator: ScoreAggregator::default(),
            waited: Duration::ZERO,
            model: Duration::ZERO,
        })
    }
}

/// Writes audio to the file and submits segments to the model. While the model runs some segments, the next ones are
/// decoded; `max_pending` bounds memory.
struct AnalysisSink<'a> {
    inference: &'a InferenceHandle,
    control: &'a AnalysisControl,
    frames: bool,
    max_pending: usize,
    pending: VecDeque<(SegmentSpan, PendingPrediction)>,
    copy: Option<AudioFile>,
    rows: Option<EmbeddingFile>,
    aggregator: ScoreAggregator,
    waited: Duration,
    model: Duration,
}

impl AnalysisSink<'_> {
    /// Collects predictions, oldest first, until at most `most` are pending.
    fn collect(&mut self, most: usize) -> Result<(), Failure> {
        while self.pending.len() > most {
            let Some((span, pending)) = self.pending.pop_front() else { break };
            let begun = Instant::now();
            let prediction = pending.wait()?;
            self.waited += begun.elapsed();
            self.model += prediction.model_time;
            self.control.count_scored();
            self.aggregator.add(span, &prediction, self.frames)?;
            if let Some(rows) = &mut self.rows {
                rows.append(&prediction.frames)?;
            }
        }
        Ok(())
    }
}

impl Sink for AnalysisSink<'_> {
    fn block(&mut self, scored: &[Vec<f32>]) -> Result<(), Failure> {
        if self.control.cancel.is_cancelled() {
            return Err(Failure::new(FailureCode::JobCancelled, "the job was stopped before it ended"));
        }
        self.copy.as_mut().map_or(Ok(()), |copy| copy.write(scored))
    }

    fn segment(&mut self, segment: SpeechSegment) -> Result<(), Failure> {
        if segment.samples.len() < MIN_SAMPLES {
            return Ok(());
        }
        let SpeechSegment { track, index, start_sample, end_sample, samples } = segment;
        self.control.count_found();
        let begun = Instant::now();
        let pending =
            self.inference.submit(Request { samples, frames: self.frames, interactive: self.control.interactive })?;
        self.waited += begun.elapsed();
        self.pending.push_back((SegmentSpan { track, index, start_sample, end_sample }, pending));
        self.collect(self.max_pending)
    }
}
