//! Waveforms as lowest and highest samples per step of time: browsers never decode the audio to draw it.

use axum::Json;
use axum::extract::State;
use domain::JobId;
use futures_util::StreamExt;
use lru::LruCache;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::cursor::{POINT_BOUNDS, bounded};
use super::predictions::Refused;
use super::wave::WaveHeader;
use crate::app::{App, Shared};
use crate::auth::{Caller, Follows};
use crate::extract::{Path, Query};
use crate::problem::Problem;

/// Points of an overview.
const POINTS: u32 = 2000;
/// Waveforms kept in memory; each has 4 kB for each channel.
const KEPT: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
/// Longest header looked for, bytes.
const MAX_HEADER: usize = 64 << 10;

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
    /// Channels in the order of `processed_audio.wav`, which holds only the scored ones.
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
    /// Reads the audio once, in chunks, whatever its length.
    async fn draw(&self, bucket: &str, key: &str, points: u32) -> Result<Peaks, Problem> {
        let reading = self.store.read(bucket, key, None, None).await?;
        let mut body = reading.body;
        let mut pending: Vec<u8> = Vec::new();
        let mut pen: Option<Pen> = None;
        while let Some(chunk) = body.next().await {
            pending.extend_from_slice(&chunk?);
            if pen.is_none() {
                let Some(header) = WaveHeader::read(&pending) else {
                    if pending.len() > MAX_HEADER {
                        break;
                    }
                    continue;
                };
                pending.drain(..header.data_at);
                let data_bytes = header.data_bytes.min(reading.bytes.saturating_sub(header.data_at as u64));
                pen = Some(Pen::new(WaveHeader { data_bytes, ..header }, points));
            }
            if let Some(pen) = &mut pen {
                let used = pen.draw(&pending);
                pending.drain(..used);
            }
        }
        pen.map(Pen::finish).ok_or_else(|| {
            tracing::error!("processed_audio.wav has no header that can be read");
            Problem::internal("The stored audio can't be read.")
        })
    }
}

/// Draws samples chunk by chunk.
struct Pen {
    header: WaveHeader,
    frames: u64,
    step: u64,
    drawn: u64,
    channels: Vec<ChannelPeaks>,
}

impl Pen {
    fn new(header: WaveHeader, points: u32) -> Self {
        let frames = header.data_bytes / (2 * u64::from(header.channels.max(1)));
        let step = frames.div_ceil(u64::from(points)).max(1);
        let channels = vec![ChannelPeaks::default(); usize::from(header.channels.max(1))];
        Self { header, frames, step, drawn: 0, channels }
    }

    /// Takes whole frames; gives the bytes used.
    fn draw(&mut self, bytes: &[u8]) -> usize {
        let width = 2 * self.channels.len();
        let mut used = 0;
        for frame in bytes.chunks_exact(width) {
            if self.drawn == self.frames {
                return bytes.len();
            }
            let begins = self.drawn.is_multiple_of(self.step);
            for (channel, sample) in self.channels.iter_mut().zip(frame.chunks_exact(2)) {
                // The upper byte is the sample in 8 bits.
                let sample = sample[1] as i8;
                if begins {
                    channel.min.push(sample);
                    channel.max.push(sample);
                } else if let (Some(min), Some(max)) = (channel.min.last_mut(), channel.max.last_mut()) {
                    *min = (*min).min(sample);
                    *max = (*max).max(sample);
                }
            }
            self.drawn += 1;
            used += width;
        }
        used
    }

    fn finish(self) -> Peaks {
        let rate = self.header.sample_rate.max(1);
        Peaks { duration_s: self.drawn as f64 / f64::from(rate), sample_rate: rate, channels: self.channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_has_the_lowest_and_highest_sample_of_its_step() {
        let header = WaveHeader { channels: 2, sample_rate: 2, data_at: 0, data_bytes: 16 };
        let mut pen = Pen::new(header, 2);
        let samples: [i16; 8] = [0, 256, 512, -256, 1024, 0, -512, 0];
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        // Split within a sample.
        let used = pen.draw(&bytes[..7]);
        pen.draw(&bytes[used..]);
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
