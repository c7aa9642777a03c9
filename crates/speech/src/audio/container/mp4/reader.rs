//! The demuxer: one audio track's packets, in the order of time, by its tables and fragments.

use super::boxes::boxes;
use super::fragment::{self, Defaults, TooManyPackets};
use super::table::{Cursor, Sample, Table};
use crate::audio::budget::Budget;
use crate::audio::bytes::be32;
use std::collections::VecDeque;
use std::io::{Seek, SeekFrom};
use std::sync::Arc;
use symphonia_core::common::FourCc;
use symphonia_core::errors::{Result, SeekErrorKind, decode_error, seek_error};
use symphonia_core::formats::{FormatId, FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track};
use symphonia_core::io::{MediaSource, MediaSourceStream, ReadBytes, SeekBuffered};
use symphonia_core::meta::{Metadata, MetadataLog};
use symphonia_core::packet::Packet;
use symphonia_core::units::{Duration, TimeBase, Timestamp};

const INFO: FormatInfo = FormatInfo {
    format: FormatId::new(FourCc::new(*b"emp4")),
    short_name: "mp4",
    long_name: "ISO base media file format",
};
/// Most bytes of a fragment's index.
pub(super) const MAX_MOOF: u64 = 16 * 1024 * 1024;

/// Where a track's packets are.
#[derive(Debug)]
pub(in crate::audio) struct Samples {
    pub(super) track: u32,
    /// Ticks a second.
    pub(super) scale: u32,
    pub(super) table: Option<Table>,
    /// Where `moof` boxes are, and their bytes.
    pub(super) fragments: Arc<[(u64, u64)]>,
    pub(super) defaults: Defaults,
    /// The processor time for passing over packets.
    pub(super) budget: Budget,
}

pub(super) struct Mp4Reader<'s> {
    stream: MediaSourceStream<'s>,
    samples: Option<Arc<Samples>>,
    tracks: Vec<Track>,
    media_info: MediaInfo,
    metadata: MetadataLog,
    cursor: Cursor,
    /// The next fragment's number.
    fragment: usize,
    /// Packets of the last fragment that are still to be read.
    pending: VecDeque<Sample>,
    /// Ticks at the end of the last packet.
    time: u64,
}

impl<'s> Mp4Reader<'s> {
    /// Without `samples` there is no track.
    pub(super) fn new(stream: MediaSourceStream<'s>, samples: Option<Arc<Samples>>) -> Self {
        let track = samples.as_ref().map(|samples| {
            let mut track = Track::new(samples.track);
            if let Some(base) = TimeBase::try_from_recip(samples.scale) {
                track.with_time_base(base);
            }
            track
        });
        Self {
            stream,
            samples,
            tracks: track.into_iter().collect(),
            media_info: MediaInfo::new(),
            metadata: MetadataLog::default(),
            cursor: Cursor::default(),
            fragment: 0,
            pending: VecDeque::new(),
            time: 0,
        }
    }

    /// The next packet's place.
    fn next_sample(&mut self) -> Result<Option<Sample>> {
        let Some(samples) = self.samples.clone() else { return Ok(None) };
        if self.pending.is_empty()
            && let Some(sample) = samples.table.as_ref().and_then(|table| self.cursor.next(table))
        {
            self.time = sample.time + sample.duration;
            return Ok(Some(sample));
        }
        while self.pending.is_empty() {
            let Some((begin, size)) = samples.fragments.get(self.fragment).copied() else { return Ok(None) };
            self.fragment += 1;
            if size > MAX_MOOF {
                return decode_error("mp4: a fragment's index is too large");
            }
            let moof = self.read(begin, size as usize)?;
            let header = if be32(&moof, 0) == Some(1) { 16 } else { 8 };
            let body = moof.get(header..).unwrap_or_default();
            if boxes(body).next().is_some() {
                samples.budget.step()?;
                let Ok(found) = fragment::samples(body, begin, samples.track, samples.defaults, self.time) else {
                    return decode_error(TooManyPackets::TEXT);
                };
                self.pending = found.into();
            }
        }
        let sample = self.pending.pop_front();
        self.time = sample.map_or(self.time, |sample| sample.time.saturating_add(sample.duration));
        Ok(sample)
    }

    fn read(&mut self, offset: u64, size: usize) -> Result<Box<[u8]>> {
        if self.stream.byte_len().is_some_and(|length| offset.saturating_add(size as u64) > length) {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        // Reading again what is buffered costs nothing; a seek empties the buffer.
        if self.stream.pos() != offset && self.stream.seek_buffered(offset) != offset {
            self.stream.seek(SeekFrom::Start(offset))?;
        }
        Ok(self.stream.read_boxed_slice_exact(size)?)
    }
}

impl FormatReader for Mp4Reader<'_> {
    fn format_info(&self) -> &FormatInfo {
        &INFO
    }

    fn media_info(&self) -> &MediaInfo {
        &self.media_info
    }

    fn metadata(&mut self) -> Metadata<'_> {
        self.metadata.metadata()
    }

    fn seek(&mut self, _: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        let Some(track) = self.tracks.first() else { return seek_error(SeekErrorKind::InvalidTrack) };
        let track_id = track.id;
        let required_ts = match to {
            SeekTo::Timestamp { ts, .. } => Some(ts),
            SeekTo::Time { time, .. } => track.time_base.and_then(|base| base.calc_timestamp(time)),
        };
        let Some(required_ts) = required_ts else { return seek_error(SeekErrorKind::OutOfRange) };
        let wanted = required_ts.get().max(0).cast_unsigned();
        if wanted < self.time {
            (self.cursor, self.fragment, self.time) = (Cursor::default(), 0, 0);
            self.pending.clear();
        }
        let budget = self.samples.as_ref().map(|samples| samples.budget.clone());
        while let Some(sample) = self.next_sample()? {
            budget.as_ref().map_or(Ok(()), Budget::step)?;
            if sample.time.saturating_add(sample.duration) > wanted {
                self.pending.push_front(sample);
                return Ok(SeekedTo { track_id, required_ts, actual_ts: timestamp(sample.time) });
            }
        }
        // Behind the last packet.
        Ok(SeekedTo { track_id, required_ts, actual_ts: timestamp(self.time) })
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some(sample) = self.next_sample()? else { return Ok(None) };
        let data = self.read(sample.offset, sample.size as usize)?;
        let track = self.samples.as_ref().map_or(0, |samples| samples.track);
        Ok(Some(Packet::new(track, timestamp(sample.time), Duration::from(sample.duration), data)))
    }

    fn into_inner<'s>(self: Box<Self>) -> MediaSourceStream<'s>
    where
        Self: 's,
    {
        self.stream
    }
}

fn timestamp(ticks: u64) -> Timestamp {
    Timestamp::from(i64::try_from(ticks).unwrap_or(i64::MAX))
}
