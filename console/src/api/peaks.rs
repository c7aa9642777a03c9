//! Waveforms as lowest and highest samples per step of time: browsers never decode the audio to draw it.

use axum::Json;
use axum::extract::State;
use domain::{Failure, JobId};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use speech::artifacts::{AudioFormat, AudioHeader, AudioReader};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::blocking::BlockingStore;
use super::predictions::Refused;
use crate::app::{App, Shared};
use crate::auth::{Caller, Follows};
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::query::cursor::{POINT_BOUNDS, bounded};

/// Points of an overview.
const POINTS: u32 = 2000;
/// Waveforms kept in memory; each has 4 kB for each channel.
const KEPT: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// Which waveform.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PeakQuery {
    /// Points for each channel, 1 to 20000; 2000 by default.
    #[param(minimum = 1, maximum = 20000)]
    points: Option<u32>,
}

/// The waveform of what was scored.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Peaks {
    /// Seconds.
    pub duration_s: f64,
    /// Hz of the audio.
    pub sample_rate: u32,
    /// Channels in the order of the audio copy, which holds only the scored ones.
    pub channels: Vec<ChannelPeaks>,
}

/// The waveform of one channel.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct ChannelPeaks {
    /// Lowest sample of each step, -128 to 127.
    pub min: Vec<i8>,
    /// Highest sample of each step, -128 to 127.
    pub max: Vec<i8>,
}

/// The latest overviews.
pub(crate) struct PeakCache(Mutex<LruCache<JobId, Arc<Peaks>>>);

impl Default for PeakCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

/// Read an analysis' waveform
#[utoipa::path(
    get, path = "/api/v1/analyses/{job_id}/peaks", operation_id = "read_peaks", tag = "analyses", params(("job_id" = Uuid, Path), PeakQuery),
    responses((status = 200, description = "The waveform", body = Peaks),
        (status = 400, response = Refused), (status = 401, response = Refused), (status = 403, response = Refused),
        (status = 404, response = Refused), (status = 429, response = Refused), (status = 500, response = Refused),
        (status = 503, response = Refused))
)]
pub(super) async fn read(
    State(app): State<Shared>,
    Caller(caller, _): Caller<Follows>,
    Path(job): Path<Uuid>,
    Query(query): Query<PeakQuery>,
) -> Result<Json<Peaks>, Problem> {
    let points = bounded("points", query.points.unwrap_or(POINTS), POINT_BOUNDS)?;
    let job = JobId(job);
    let row = app.visible(job, &caller).await?;
    let artifacts = row.artifacts.ok_or_else(|| Problem::not_found("waveform"))?;
    let audio_key = artifacts.audio_key.ok_or_else(|| Problem::not_found("waveform"))?;
    if points != POINTS {
        return app.draw(&artifacts.bucket, &audio_key, points).await.map(Json);
    }
    let kept = app.peaks.0.lock().unwrap_or_else(PoisonError::into_inner).get(&job).cloned();
    if let Some(kept) = kept {
        return Ok(Json((*kept).clone()));
    }
    let drawn = app.draw(&artifacts.bucket, &audio_key, points).await?;
    app.peaks.0.lock().unwrap_or_else(PoisonError::into_inner).put(job, Arc::new(drawn.clone()));
    Ok(Json(drawn))
}

impl App {
    /// Reads the audio once, block by block, whatever its length: on a thread for blocking work, since it may have to be decoded.
    /// Few are drawn at once, and one ends with the request that asked for it.
    async fn draw(&self, bucket: &str, key: &str, points: u32) -> Result<Peaks, Problem> {
        let format = AudioFormat::of(key).ok_or_else(|| Problem::not_found("waveform"))?;
        let turn = self.limits.waveforms.turn().await?;
        let gone = CancellationToken::new();
        let _request = gone.clone().drop_guard();
        let (store, bucket, key) = (BlockingStore::new(&self.store, gone), bucket.to_owned(), key.to_owned());
        let drawn = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let (_, audio) = store.open(&bucket, &key).map_err(std::io::Error::other)?;
            draw(AudioReader::open(format, Box::new(audio))?, points)
        });
        match drawn.await.map_err(std::io::Error::other).flatten() {
            Ok(peaks) => Ok(peaks),
            // What the store said, if it was the store.
            Err(error) => Err(match error.downcast::<Failure>() {
                Ok(failure) => failure.into(),
                Err(error) => {
                    tracing::error!(%error, "the stored audio can't be read");
                    Problem::internal("The stored audio can't be read.")
                }
            }),
        }
    }
}

fn draw(mut audio: AudioReader, points: u32) -> std::io::Result<Peaks> {
    let mut pen = Pen::new(audio.header, points);
    let mut samples = Vec::new();
    loop {
        audio.read(&mut samples)?;
        if samples.is_empty() {
            return Ok(pen.finish());
        }
        pen.draw(&samples);
    }
}

/// Draws samples block by block.
struct Pen {
    sample_rate: u32,
    step: u64,
    drawn: u64,
    channels: Vec<ChannelPeaks>,
}

impl Pen {
    fn new(header: AudioHeader, points: u32) -> Self {
        let step = header.frames.div_ceil(u64::from(points)).max(1);
        let channels = vec![ChannelPeaks::default(); usize::from(header.channels.max(1))];
        Self { sample_rate: header.sample_rate.max(1), step, drawn: 0, channels }
    }

    /// Takes whole frames, interleaved.
    fn draw(&mut self, samples: &[i16]) {
        for frame in samples.chunks_exact(self.channels.len()) {
            let begins = self.drawn.is_multiple_of(self.step);
            for (channel, sample) in self.channels.iter_mut().zip(frame) {
                // The upper byte is the sample in 8 bits.
                let sample = (sample >> 8) as i8;
                if begins {
                    channel.min.push(sample);
                    channel.max.push(sample);
                } else if let (Some(min), Some(max)) = (channel.min.last_mut(), channel.max.last_mut()) {
                    *min = (*min).min(sample);
                    *max = (*max).max(sample);
                }
            }
            self.drawn += 1;
        }
    }

    fn finish(self) -> Peaks {
        let duration_s = self.drawn as f64 / f64::from(self.sample_rate);
        Peaks { duration_s, sample_rate: self.sample_rate, channels: self.channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_has_the_lowest_and_highest_sample_of_its_step() {
        let mut pen = Pen::new(AudioHeader { channels: 2, sample_rate: 2, frames: 4 }, 2);
        let samples: [i16; 8] = [0, 256, 512, -256, 1024, 0, -512, 0];
        // Split within a step.
        pen.draw(&samples[..6]);
        pen.draw(&samples[6..]);
        let peaks = pen.finish();
        assert_eq!((peaks.duration_s, peaks.channels.len()), (2.0, 2));
        assert_eq!(
            (peaks.channels[0].min.as_slice(), peaks.channels[0].max.as_slice()),
            ([0, -2].as_slice(), [2, 4].as_slice())
        );
        assert_eq!(
            (peaks.channels[1].min.as_slice(), peaks.channels[1].max.as_slice()),
            ([-1, 0].as_slice(), [1, 0].as_slice())
        );
    }
}
