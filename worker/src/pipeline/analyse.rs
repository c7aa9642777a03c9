//! From a file on disk to what was heard in it. Knows nothing of queues, stores or databases:
//! `worker analyze` and the fleet both call it.

use adapters::config::Settings;
use domain::channel::{Track, tracks};
use domain::report::{AudioFacts, ChannelReport, FrameSeries};
use domain::{ChannelLayout, Failure, FailureCode, Granularity, ModelIdentity, Scores};
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::disk_failure;
use super::tally::{Place, Tally};
use crate::artifacts::{AUDIO, AudioFile, EMBEDDING, EmbeddingFile};
use crate::audio::{Preprocess, Sink, SpeechSegment, VoiceDetector};
use crate::model::{Inference, Listener, MIN_SAMPLES, ModelCard, Request, Session};
use crate::runtime::Runtime;

/// Voice detector and model, ready: everything that is loaded once.
#[derive(Debug)]
pub struct Analyser {
    settings: Settings,
    vad: VoiceDetector,
    listener: Listener,
    card: ModelCard,
}

/// What is wanted of one recording.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Roles of the channels; `None`: the configured ones.
    pub channels: Option<ChannelLayout>,
    /// How fine the result is.
    pub granularity: Granularity,
    /// Whether `embedding.npy` is written.
    pub embedding: bool,
}

/// What was heard.
#[derive(Debug)]
pub struct Analysed {
    /// What the recording is.
    pub audio: AudioFacts,
    /// One entry per channel.
    pub channels: Vec<ChannelReport>,
    /// Over all scored speech.
    pub scores: Scores,
    /// Mean over all scored speech, shape [D].
    pub embedding: Vec<f32>,
    /// Only with [`Granularity::Frame`].
    pub frames: Option<FrameSeries>,
    /// Decoding, resampling, segmenting.
    pub preprocess: Duration,
    /// Waiting for the model.
    pub infer: Duration,
}

impl Analyser {
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
        let listener = Listener::start(session, &settings.model)?;
        Ok(Self { settings: settings.clone(), vad, listener, card })
    }

    /// Which model hears.
    pub fn model(&self) -> ModelIdentity {
        self.card.identity()
    }

    /// Analyses `file`; leaves `processed_audio.wav` and (if wished) `embedding.npy` in `out`.
    /// Blocks: call it from a thread for blocking work.
    ///
    /// # Errors
    /// The recording's or the model's [`Failure`]; `job.cancelled` when `cancel` fires.
    pub fn analyse(
        &self,
        file: &Path,
        wish: &Wish,
        out: &Path,
        cancel: &CancellationToken,
    ) -> Result<Analysed, Failure> {
        let begun = Instant::now();
        let source = File::open(file).map_err(|e| disk_failure("the recording", &e))?;
        let preprocess = Preprocess { audio: &self.settings.audio, segment: &self.settings.segment, vad: &self.vad };
        let roles = &self.settings.analysis;
        let layout =
            |channels: u16| tracks(channels, wish.channels.as_ref(), roles.two_channel_roles, &roles.score_roles);
        let mut hearing = self.hearing(wish, out, cancel)?;
        let heard = preprocess.run(source, layout, &mut hearing)?;
        hearing.settle(0)?;
        let Hearing { wav, rows, tally, waited, .. } = hearing;
        wav.finish()?;
        let frames = wish.granularity == Granularity::Frame;
        let total = tally.total(&heard.tracks, frames).ok_or_else(|| no_speech(&heard.facts, &heard.tracks))?;
        match rows {
            Some(rows) => rows.finish(self.card.embedding_dim)?,
            None if wish.embedding => EmbeddingFile::write_vector(&out.join(EMBEDDING.0), &total.embedding)?,
            None => {}
        }
        Ok(Analysed {
            audio: heard.facts,
            channels: total.channels,
            scores: total.scores,
            embedding: total.embedding,
            frames: total.frames,
            preprocess: begun.elapsed().saturating_sub(waited),
            infer: waited,
        })
    }

    fn hearing<'a>(&'a self, wish: &Wish, out: &Path, cancel: &'a CancellationToken) -> Result<Hearing<'a>, Failure> {
        let frames = wish.granularity == Granularity::Frame;
        let rows = if frames && wish.embedding {
            let scratch = tempfile::tempfile_in(out).map_err(|e| disk_failure(EMBEDDING.0, &e))?;
            Some(EmbeddingFile::begin_rows(&out.join(EMBEDDING.0), scratch))
        } else {
            None
        };
        Ok(Hearing {
            listener: &self.listener,
            cancel,
            frames,
            in_flight: self.settings.model.batch_items,
            pending: VecDeque::new(),
            wav: AudioFile::at(&out.join(AUDIO.0)),
            rows,
            tally: Tally::default(),
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
struct Hearing<'a> {
    listener: &'a Listener,
    cancel: &'a CancellationToken,
    frames: bool,
    in_flight: usize,
    pending: VecDeque<(Place, Inference)>,
    wav: AudioFile,
    rows: Option<EmbeddingFile>,
    tally: Tally,
    waited: Duration,
}

impl Hearing<'_> {
    /// Takes answers, oldest first, until at most `most` are outstanding.
    fn settle(&mut self, most: usize) -> Result<(), Failure> {
        while self.pending.len() > most {
            let Some((place, inference)) = self.pending.pop_front() else { break };
            let begun = Instant::now();
            let heard = inference.wait()?;
            self.waited += begun.elapsed();
            self.tally.add(place, &heard, self.frames)?;
            if let Some(rows) = &mut self.rows {
                rows.append(&heard.frames)?;
            }
        }
        Ok(())
    }
}

impl Sink for Hearing<'_> {
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
        let inference = self.listener.hear(Request { samples, frames: self.frames })?;
        self.waited += begun.elapsed();
        self.pending.push_back((Place { track, index, start_sample, end_sample }, inference));
        self.settle(self.in_flight)
    }
}
