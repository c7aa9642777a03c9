//! ONNX Runtime's session over one model folder: load, verify, run a batch.

use crate::framing::{MIN_SAMPLES, SAMPLE_RATE, frame_count};
use crate::settings;
use domain::{Emotion, Failure, FailureCode, Scores};
use ort::session::builder::SessionBuilder;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session as OrtSession, SessionOutputs};
use ort::value::TensorRef;
use std::path::Path;
use std::time::Duration;

use super::instructions::Instructions;
use super::provider::Provider;
use super::shared::SharedSession;
use super::{ContractError, ModelCard, Precision, Prediction, operators};
use crate::runtime::Runtime;

const INPUTS: [&str; 2] = ["waveform", "lengths"];
const OUTPUTS: [&str; 4] = ["logits", "embedding", "frames", "frame_logits"];

/// A verified model, ready to run by one thread. [`Session::caller`] makes another one for another thread.
pub struct Session {
    session: SharedSession,
    card: ModelCard,
    provider: Provider,
    utterance: RunOptions<HasSelectedOutputs>,
    frame: RunOptions<HasSelectedOutputs>,
}

/// What was measured while loading, for `worker model check`.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// `model.json`.
    pub card: ModelCard,
    /// Seconds to load the file into a session.
    pub load_s: f64,
    /// How much a segment's scores changed when it was run together with a longer one.
    pub batch_difference: f32,
}

/// Most that a segment's scores may depend on the batch it is in.
const BATCH_LIMIT: f32 = 1e-4;

impl Session {
    /// Loads the model in `dir`, verifies contract and hash, and runs it once on silence and once
    /// on a batch of unequal lengths.
    ///
    /// # Errors
    /// [`ContractError`], with what to do.
    pub fn load(runtime: &Runtime, dir: &Path, settings: &settings::Model) -> Result<(Self, Loaded), ContractError> {
        let card = ModelCard::read(dir)?;
        card.check_processor(settings.provider.products(), Instructions::here)?;
        let begun = std::time::Instant::now();
        let session = settings
            .provider
            .session_builder(runtime.environment(), settings.concurrency().threads)
            .and_then(|builder| with_operators(builder, &card))
            .and_then(|mut builder| builder.commit_from_file(dir.join("model.onnx")))
            .map_err(|e| ContractError::Runtime(e.to_string()))?;
        let load_s = begun.elapsed().as_secs_f64();
        check_names(&session)?;
        let mut this = Self::with_options(SharedSession::new(session), card, settings.provider)
            .map_err(|e| ContractError::Runtime(e.to_string()))?;
        let batch_difference = this.warm_up()?;
        let loaded = Loaded { card: this.card.clone(), load_s, batch_difference };
        Ok((this, loaded))
    }

    fn with_options(session: SharedSession, card: ModelCard, provider: Provider) -> ort::Result<Self> {
        let (utterance, frame) = (run_options(provider, &OUTPUTS[..2])?, run_options(provider, &OUTPUTS)?);
        Ok(Self { session, card, provider, utterance, frame })
    }

    /// The same model for another thread, on the same copy of its weights.
    ///
    /// # Errors
    /// When ONNX Runtime has no memory left.
    pub fn caller(&self) -> ort::Result<Self> {
        Self::with_options(self.session.clone(), self.card.clone(), self.provider)
    }

    /// In which numbers the model computes.
    pub fn precision(&self) -> Precision {
        self.card.precision
    }

    /// Runs a batch: mono samples at 16 kHz each, at least [`MIN_SAMPLES`] long, of any lengths. Predictions are in
    /// the order of the batch and do not depend on what else is in it. `frames`: with the outputs per frame.
    ///
    /// # Errors
    /// `model.failed` when ONNX Runtime fails or an output has the wrong shape.
    pub fn run(&mut self, batch: &[&[f32]], frames: bool) -> Result<Vec<Prediction>, Failure> {
        if self.card.precision.allows_batches() {
            return self.run_batch(batch, frames);
        }
        batch.iter().map(|samples| Ok(self.run_batch(&[samples], frames)?.remove(0))).collect()
    }

    fn run_batch(&mut self, batch: &[&[f32]], frames: bool) -> Result<Vec<Prediction>, Failure> {
        let failed = |why: String| Failure::new(FailureCode::ModelFailed, why);
        let longest = batch.iter().map(|s| s.len()).max().unwrap_or(0);
        if batch.iter().any(|s| s.len() < MIN_SAMPLES) {
            return Err(failed(format!("a segment is shorter than {MIN_SAMPLES} samples")));
        }
        let mut waveform = ndarray::Array2::<f32>::zeros((batch.len(), longest));
        for (mut row, samples) in waveform.rows_mut().into_iter().zip(batch) {
            row.slice_mut(ndarray::s![..samples.len()]).assign(&ndarray::ArrayView1::from(*samples));
        }
        let lengths = ndarray::Array1::from_iter(batch.iter().map(|s| s.len() as i64));
        let options = if frames { &self.frame } else { &self.utterance };
        let to_failure = |e: ort::Error| failed(format!("ONNX Runtime: {e}"));
        let inputs = ort::inputs![
            INPUTS[0] => TensorRef::from_array_view(waveform.view()).map_err(to_failure)?,
            INPUTS[1] => TensorRef::from_array_view(lengths.view()).map_err(to_failure)?,
        ];
        let read = |outputs: &SessionOutputs<'_>| unpack(outputs, batch, self.card.embedding_dim, frames);
        self.session.run(inputs, options, read).map_err(to_failure)?.map_err(failed)
    }

    /// The largest change of a score with the batch; refuses one that the card's precision does not explain.
    fn warm_up(&mut self) -> Result<f32, ContractError> {
        let tone: Vec<f32> = (0..2 * SAMPLE_RATE).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
        let short = &tone[..MIN_SAMPLES];
        let broken = |failure: Failure| ContractError::Graph(failure.message);
        let single = self.run_batch(&[short], true).map_err(broken)?;
        let pair = self.run_batch(&[&tone, short], true).map_err(broken)?;
        let scores = |prediction: &Prediction| {
            Scores::from_logits(&prediction.logits)
                .map_err(|e| ContractError::Graph(format!("its logits have no softmax: {e}")))
        };
        let (alone, among_others) = (scores(&single[0])?, scores(&pair[1])?);
        let differences = alone.as_array().iter().zip(among_others.as_array()).map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0, f32::max);
        if self.card.precision.allows_batches() && worst > BATCH_LIMIT {
            return Err(ContractError::Graph(format!(
                "a segment's scores change by {worst:.1e} with the batch it is in, and {BATCH_LIMIT:.0e} is allowed. Export it \
                 with padding masks, or, if its arithmetic is quantised, say \"precision\": \"int8\" in model.json"
            )));
        }
        Ok(worst)
    }
}

/// With the operators that ONNX Runtime does not have, for a graph that needs them.
fn with_operators(builder: SessionBuilder, card: &ModelCard) -> ort::Result<SessionBuilder> {
    if card.operators.is_empty() {
        return Ok(builder);
    }
    Ok(builder.with_operators(operators::domain()?)?)
}

/// Options of a run that computes only these outputs.
fn run_options(provider: Provider, outputs: &[&str]) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    let selected = outputs.iter().fold(OutputSelector::no_default(), |all, name| all.with(*name));
    Ok(provider.run_options()?.with_outputs(selected))
}

fn check_names(session: &OrtSession) -> Result<(), ContractError> {
    let require = |kind: &str, expected: &[&str], found: Vec<&str>| match expected.iter().find(|w| !found.contains(*w))
    {
        Some(missing) => Err(ContractError::Graph(format!("it has no {kind} `{missing}`, only {}", found.join(", ")))),
        None => Ok(()),
    };
    require("input", &INPUTS, session.inputs().iter().map(ort::value::Outlet::name).collect())?;
    require("output", &OUTPUTS, session.outputs().iter().map(ort::value::Outlet::name).collect())
}

/// Splits the outputs into one prediction per segment; checks every shape.
fn unpack(outputs: &SessionOutputs<'_>, batch: &[&[f32]], dim: usize, frames: bool) -> Result<Vec<Prediction>, String> {
    let tensor = |name: &str, shape: &[usize]| {
        let array = outputs.get(name).ok_or_else(|| format!("no output `{name}`"))?;
        let view = array.try_extract_array::<f32>().map_err(|e| format!("output `{name}`: {e}"))?;
        let fits =
            view.ndim() == shape.len() && view.shape().iter().zip(shape).all(|(a, b)| a == b || *b == usize::MAX);
        let any = |n: &usize| if *n == usize::MAX { "?".into() } else { n.to_string() };
        let expected = || shape.iter().map(any).collect::<Vec<String>>().join(", ");
        if fits { Ok(view) } else { Err(format!("output `{name}` has shape {:?}, not [{}]", view.shape(), expected())) }
    };
    let n = batch.len();
    let logits = tensor("logits", &[n, Emotion::COUNT])?;
    let embedding = tensor("embedding", &[n, dim])?;
    let per_frame = if frames {
        Some((tensor("frames", &[n, usize::MAX, dim])?, tensor("frame_logits", &[n, usize::MAX, Emotion::COUNT])?))
    } else {
        None
    };
    let mut predictions = Vec::with_capacity(n);
    for (i, samples) in batch.iter().enumerate() {
        let count = frame_count(samples.len());
        let mut prediction = Prediction {
            logits: std::array::from_fn(|label| logits[[i, label]]),
            embedding: (0..dim).map(|d| embedding[[i, d]]).collect(),
            frames: Vec::new(),
            frame_logits: Vec::new(),
            model_time: Duration::ZERO,
        };
        if let Some((features, scores)) = &per_frame {
            if features.shape()[1] < count || scores.shape()[1] < count {
                return Err(format!("{} frames for {} samples", features.shape()[1], samples.len()));
            }
            prediction.frames = features.slice(ndarray::s![i, ..count, ..]).iter().copied().collect();
            prediction.frame_logits = (0..count).map(|t| std::array::from_fn(|label| scores[[i, t, label]])).collect();
        }
        if prediction.logits.iter().chain(&prediction.embedding).any(|x| x.is_nan()) {
            return Err("an output is not a number".into());
        }
        predictions.push(prediction);
    }
    Ok(predictions)
}
