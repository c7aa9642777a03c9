//! MP4, M4A and QuickTime. The index is read here, and the packets by a demuxer of our own: symphonia's passes over edit
//! lists and the times of fragments, reads the sizes of QuickTime's packets as those of MP4, and knows few of its codecs.

mod boxes;
mod edits;
mod entry;
mod fragment;
mod reader;
mod table;

use super::{Container, Input, Layout, Part, TrackLayout, TrackTiming};
use crate::audio::budget::Budget;
use crate::audio::bytes::{be16, be32, be64};
use crate::audio::codec::{Coding, OPUS_RATE};
use crate::audio::errors;
use boxes::{boxes, inside, scale, track_id};
use domain::Failure;
use fragment::{Defaults, TooManyPackets};
use reader::{MAX_MOOF, Mp4Reader};
use std::sync::Arc;
use symphonia_core::codecs::audio::AudioCodecParameters;
use symphonia_core::codecs::audio::well_known::{CODEC_ID_MP3, CODEC_ID_OPUS};
use symphonia_core::errors::Result as SymphoniaResult;
use symphonia_core::formats::FormatReader;
use symphonia_core::io::MediaSourceStream;
use table::{Cursor, Sample, Table};

pub(super) use entry::name as codec_name;
pub(in crate::audio) use reader::Samples;

/// Most bytes of a `moov` box: the tables of a day of audio take a fifth of this.
const MAX_MOOV: u64 = 64 * 1024 * 1024;
/// Outermost boxes walked over at most: five hours of fragments of 20 ms, two boxes each.
const MAX_BOXES: usize = 2_000_000;
/// Fragments in which a track's first packet is searched for.
const FIRST_FRAGMENTS: usize = 64;
/// Missing packets that are no loss, seconds.
const TOLERATED_S: f64 = 0.02;
/// Types of the box that a file may begin with: QuickTime's have no `ftyp`.
const FIRST: [&[u8; 4]; 7] = [b"ftyp", b"moov", b"mdat", b"wide", b"pnot", b"free", b"skip"];

/// Fragments at the end in which a track's last packet is searched for.
const LAST_FRAGMENTS: usize = 4;

pub(super) struct Mp4;

impl Container for Mp4 {
    fn name(&self) -> &'static str {
        "mp4"
    }

    fn detect(&self, input: &Input) -> Option<usize> {
        FIRST.iter().any(|kind| input.has(4, *kind)).then_some(0)
    }

    fn layout(&self, input: &mut Input) -> Result<Layout, Failure> {
        let file = walk(input)?;
        let Some(moov) = file.moov else {
            return Err(errors::truncated("the MP4 file ends before its index (moov), which recorders write last"));
        };
        if inside(&moov, &[b"cmov"]).is_some() {
            return Err(errors::unsupported("a compressed QuickTime index"));
        }
        let mut layout = Layout::new(&Mp4, input.start..input.length);
        layout.tracks = tracks(&moov, &file.fragments.into(), input)?;
        for track in &mut layout.tracks {
            from_first_fragment(track, input)?;
        }
        let missing: Vec<u64> =
            layout.tracks.iter_mut().map(|track| complete(track, input)).collect::<Result<_, _>>()?;
        let fragmented = inside(&moov, &[b"mvex"]).is_some();
        layout.missing = if fragmented { file.missing } else { missing.into_iter().max().unwrap_or(0) };
        layout.readable_in_part = false;
        Ok(layout)
    }

    fn has_timestamps(&self) -> bool {
        true
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn demuxer(
        &self,
        stream: MediaSourceStream<'static>,
        track: &TrackLayout,
    ) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(Mp4Reader::new(stream, track.samples.clone())))
    }
}

/// The outermost boxes.
#[derive(Debug, Default)]
struct File {
    /// Bytes by which the last box exceeds the end of the file.
    missing: u64,
    moov: Option<Vec<u8>>,
    /// Where `moof` boxes are, from the container's beginning, and their bytes.
    fragments: Vec<(u64, u64)>,
}

/// Walks over the outermost boxes and reads `moov`.
fn walk(input: &mut Input) -> Result<File, Failure> {
    let (mut found, mut position, length) = (File::default(), input.start, input.length);
    let mut count = 0;
    while position < length && !input.budget.is_spent() {
        count += 1;
        if count > MAX_BOXES {
            return Err(errors::bad_header(format!("the MP4 file has more than {MAX_BOXES} boxes at its top")));
        }
        let header = input.read(position, 16)?;
        let (Some(size), Some(kind)) = (be32(&header, 0), header.get(4..8)) else { break };
        let (size, body) = match size {
            0 => (length - position, 8),
            1 => (be64(&header, 8).unwrap_or(0), 16),
            size => (u64::from(size), 8),
        };
        if size < body {
            break;
        }
        let end = position.saturating_add(size);
        found.missing = end.saturating_sub(length);
        match kind {
            b"moov" => {
                if size - body > MAX_MOOV {
                    let what = format!("the MP4 index (moov) has {} bytes; at most {MAX_MOOV} are read", size - body);
                    return Err(errors::bad_header(what));
                }
                found.moov = Some(input.read(position + body, (size - body) as usize)?);
            }
            b"moof" if end <= length => found.fragments.push((position - input.start, size)),
            _ => {}
        }
        position = end;
    }
    Ok(found)
}

/// The audio tracks of a `moov` box. They are counted first: an index of millions is never built.
///
/// # Errors
/// When there are too many.
fn tracks(moov: &[u8], fragments: &Arc<[(u64, u64)]>, input: &Input) -> Result<Vec<TrackLayout>, Failure> {
    let movie_scale = inside(moov, &[b"mvhd"]).and_then(scale).unwrap_or(1_000);
    let priming = priming(moov);
    let is_audio = |trak: &&[u8]| inside(trak, &[b"mdia", b"hdlr"]).and_then(|hdlr| hdlr.get(8..12)) == Some(b"soun");
    let traks = || boxes(moov).filter(|(kind, _)| kind == b"trak").map(|(_, body)| body).filter(is_audio);
    let count = traks().count();
    if count > usize::from(input.max_tracks) {
        return Err(errors::too_many_channels(count, input.max_tracks));
    }
    let defaults = Defaults::read(moov);
    let track = |trak| {
        let mut track = track(trak, movie_scale, priming)
            .unwrap_or_else(|name| TrackLayout { refused: Some(name), ..TrackLayout::default() });
        track.id = inside(trak, &[b"tkhd"]).and_then(track_id);
        track.samples = track.id.and_then(|id| {
            let defaults = defaults.get(&id).copied().unwrap_or_default();
            samples(trak, (id, defaults), &track, fragments, &input.budget).map(Arc::new)
        });
        track
    };
    Ok(traks().map(track).collect())
}

/// `priming`: samples of delay where there is no edit list.
///
/// # Errors
/// The name of what can't be decoded.
fn track(trak: &[u8], movie_scale: u32, priming: Option<f64>) -> Result<TrackLayout, String> {
    let scale = inside(trak, &[b"mdia", b"mdhd"]).and_then(scale).ok_or("an MP4 track without a time scale")?;
    let stbl = inside(trak, &[b"mdia", b"minf", b"stbl"]).unwrap_or_default();
    let (entries, iso) = entry::entries(inside(stbl, &[b"stsd"]).unwrap_or_default());
    let used = Table::descriptions(stbl);
    let number = used.first().map_or(0, |first| first.saturating_sub(1) as usize);
    let (kind, body) = entries.get(number).copied().ok_or("an MP4 track without a codec")?;
    if used.iter().any(|other| entries.get(other.saturating_sub(1) as usize) != Some(&(kind, body))) {
        return Err("an MP4 track whose codec changes".into());
    }
    let Coding { params, blocks } = entry::coding(kind, body, scale, iso)?;
    let mut edits = edits::read(trak, movie_scale, scale)?;
    let delay_s = priming.map(|samples| samples / f64::from(scale)).or_else(|| opus_delay_s(&params));
    if let (Some(delay_s), [] | [Part::Decoded { begin_s: 0.0, .. }]) = (delay_s, &edits.parts[..]) {
        let duration_s = edits.parts.first().and_then(|part| match part {
            Part::Decoded { duration_s, .. } => *duration_s,
            Part::Silent { .. } => None,
        });
        edits.parts = vec![Part::Decoded { begin_s: delay_s, duration_s }];
    }
    Ok(TrackLayout {
        codec: Some(entry::name(kind)),
        // For HE-AAC twice that of the decoder's configuration.
        sample_rate: be16(body, 24).map(u32::from),
        params: Some(params),
        blocks,
        timing: TrackTiming { start_s: edits.start_s, parts: edits.parts, ..TrackTiming::default() },
        ..TrackLayout::default()
    })
}

/// Seconds of delay that Opus's own header states.
fn opus_delay_s(params: &AudioCodecParameters) -> Option<f64> {
    let head = params.extra_data.as_deref().filter(|_| params.codec == CODEC_ID_OPUS)?;
    be16(head, 10).map(|samples| f64::from(samples) / f64::from(OPUS_RATE))
}

/// Where the packets of a track with this number and these defaults are.
fn samples(
    trak: &[u8],
    (id, defaults): (u32, Defaults),
    track: &TrackLayout,
    fragments: &Arc<[(u64, u64)]>,
    budget: &Budget,
) -> Option<Samples> {
    let stbl = inside(trak, &[b"mdia", b"minf", b"stbl"])?;
    let coding = track.params.clone().map(|params| Coding { params, blocks: track.blocks });
    Some(Samples {
        track: id,
        scale: inside(trak, &[b"mdia", b"mdhd"]).and_then(scale)?,
        table: Table::read(stbl, coding.as_ref().and_then(entry::unit)),
        fragments: Arc::clone(fragments),
        defaults,
        budget: budget.clone(),
    })
}

/// Counts the parts of an edit list from the first packet on, where it comes from a fragment: the list counts on the
/// timeline of the fragments' own times, and those of a live recording may begin at any.
fn from_first_fragment(track: &mut TrackLayout, input: &mut Input) -> Result<(), Failure> {
    let Some(samples) = track.samples.clone() else { return Ok(()) };
    if samples.table.as_ref().is_some_and(|table| Cursor::default().next(table).is_some()) {
        return Ok(());
    }
    for (begin, size) in samples.fragments.iter().take(FIRST_FRAGMENTS) {
        let size = usize::try_from(*size).unwrap_or(usize::MAX).min(MAX_MOOF as usize);
        let moof = input.read(input.start.saturating_add(*begin), size)?;
        let body = boxes(&moof).next().map(|(_, body)| body).unwrap_or_default();
        let found = fragment::samples(body, *begin, samples.track, samples.defaults, 0).map_err(too_many)?;
        let Some(first) = found.first() else { continue };
        let first_s = first.time as f64 / f64::from(samples.scale);
        for part in &mut track.timing.parts {
            if let Part::Decoded { begin_s, .. } = part {
                *begin_s = (*begin_s - first_s).max(0.0);
            }
        }
        break;
    }
    Ok(())
}

/// Adds to a track what its first packet says; gives the bytes by which its packets exceed the end of the file.
fn complete(track: &mut TrackLayout, input: &mut Input) -> Result<u64, Failure> {
    let Some(samples) = track.samples.clone() else { return Ok(0) };
    let (mut cursor, length) = (Cursor::default(), input.length - input.start);
    let (mut missing, mut ticks, mut longest) = (0, 0, 0);
    let mut span = Span::default();
    while let Some(sample) = samples.table.as_ref().and_then(|table| cursor.next(table)) {
        if input.budget.is_spent() {
            break;
        }
        span.add(&sample, length);
        if sample.time == 0
            && let Some(params) = track.params.as_mut().filter(|params| params.codec == CODEC_ID_MP3)
        {
            let packet = input.read(input.start.saturating_add(sample.offset), 4)?;
            params.codec = entry::mpeg_layer(&packet).unwrap_or(params.codec);
        }
        let end = sample.offset.saturating_add(sample.size.into());
        longest = longest.max(sample.duration);
        if end > length {
            (missing, ticks) = (missing.max(end - length), ticks + sample.duration);
            if sample.offset > length && missing > length {
                break; // a table of a file that is not there
            }
        }
    }
    for (begin, size) in ends(&samples.fragments) {
        let moof = input.read(input.start.saturating_add(begin), size.min(MAX_MOOF) as usize)?;
        let header = if be32(&moof, 0) == Some(1) { 16 } else { 8 };
        let body = moof.get(header..).unwrap_or_default();
        for sample in &fragment::samples(body, begin, samples.track, samples.defaults, 0).map_err(too_many)? {
            span.add(sample, length);
        }
    }
    track.timing.decoded_s = span.ticks().map(|ticks| ticks as f64 / f64::from(samples.scale));
    let tolerated = longest.max((f64::from(samples.scale) * TOLERATED_S) as u64);
    Ok(if ticks > tolerated { missing } else { 0 })
}

fn too_many(_: TooManyPackets) -> Failure {
    errors::bad_header(TooManyPackets::TEXT)
}

/// The first and the last packet that the file has, by their timestamps. What is between them is sound, or silence.
#[derive(Debug, Default)]
struct Span(Option<(u64, u64)>);

impl Span {
    /// `length`: bytes of the file.
    fn add(&mut self, sample: &Sample, length: u64) {
        if sample.size > 0 && sample.offset.saturating_add(sample.size.into()) <= length {
            self.0 = Some((self.0.map_or(sample.time, |(first, _)| first), sample.time));
        }
    }

    fn ticks(&self) -> Option<u64> {
        self.0.and_then(|(first, last)| last.checked_sub(first))
    }
}

/// The first and the last fragments: what is between them can only make the recording longer.
fn ends(fragments: &[(u64, u64)]) -> impl Iterator<Item = (u64, u64)> {
    let last = fragments.len().saturating_sub(LAST_FRAGMENTS).max(1);
    fragments.first().into_iter().chain(fragments.get(last..).unwrap_or_default()).copied()
}

/// Samples of delay by Apple's own tag, in files without an edit list.
fn priming(moov: &[u8]) -> Option<f64> {
    let at = moov.windows(8).position(|bytes| bytes == b"iTunSMPB")?;
    let text = moov.get(at + 8..(at + 8 + 200).min(moov.len()))?;
    let digits: String = text.iter().skip_while(|b| **b != b' ').map(|b| char::from(*b)).collect();
    let samples = digits.split_ascii_whitespace().nth(1)?;
    let samples = u32::from_str_radix(samples.get(..8)?, 16).ok()?;
    (samples < 16_384).then(|| f64::from(samples))
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;

    /// A box of this type.
    pub(super) fn boxed(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], &kind, body].concat()
    }

    #[test]
    fn missing_bytes_are_counted_and_a_missing_index_is_noticed() {
        let mut bytes = boxed(*b"ftyp", b"isom");
        bytes.extend(boxed(*b"mdat", &[0; 100]));
        bytes.truncate(bytes.len() - 30);
        let found = walk(&mut input(&bytes)).expect("read");
        assert!(found.missing == 30 && found.moov.is_none());
    }

    #[test]
    fn an_index_larger_than_memory_is_refused() {
        let mut bytes = boxed(*b"ftyp", b"isom");
        bytes.extend([&(MAX_MOOV as u32 + 9).to_be_bytes()[..], b"moov"].concat());
        let failure = walk(&mut input(&bytes)).expect_err("too large");
        assert_eq!(failure.code, domain::FailureCode::AudioBadHeader, "{failure}");
    }

    #[test]
    fn apples_tag_gives_the_delay() {
        let text = b"....iTunSMPB\0\0\0\x84data\0\0\0\x01\0\0\0\0 00000000 00000840 000001C0 00000000000AC0C0";
        assert_eq!(priming(text), Some(f64::from(0x840u16)));
    }

    /// A `moov` box with this many tracks, numbered as `id` says, and an entry of defaults for each.
    fn index(count: u32, id: impl Fn(u32) -> u32) -> Vec<u8> {
        let scale = |kind: [u8; 4]| boxed(kind, &[&[0; 12][..], &8_000u32.to_be_bytes()].concat());
        let entries = boxed(*b"stsd", &[&[0; 8][..], &boxed(*b"ulaw", &[1; 44])].concat());
        let tables = boxed(*b"minf", &boxed(*b"stbl", &entries));
        let sound = boxed(*b"hdlr", b"\0\0\0\0\0\0\0\0soun");
        let media = boxed(*b"mdia", &[sound, scale(*b"mdhd"), tables].concat());
        let number = |at: u32| id(at).to_be_bytes();
        let trak =
            |at| boxed(*b"trak", &[boxed(*b"tkhd", &[&[0; 12][..], &number(at)].concat()), media.clone()].concat());
        let trex = |at| boxed(*b"trex", &[&[0; 4][..], &number(at), &[0; 4], &[0, 0, 0, 7], &[0, 0, 0, 9]].concat());
        let extends = boxed(*b"mvex", &(0..count).flat_map(trex).collect::<Vec<_>>());
        [scale(*b"mvhd"), (0..count).flat_map(trak).collect(), extends].concat()
    }

    #[test]
    fn an_index_of_countless_tracks_is_refused_by_their_count() {
        let moov = index(100_000, |at| at);
        let begun = std::time::Instant::now();
        let failure = tracks(&moov, &Arc::from([]), &input(&[])).expect_err("too many");
        assert_eq!(failure.code, domain::FailureCode::AudioTooManyChannels, "{failure}");
        // Read one by one, each with a search for its defaults, they would take minutes.
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }

    #[test]
    fn each_track_has_its_own_defaults() {
        let found = tracks(&index(2, |at| at + 1), &Arc::from([]), &input(&[])).expect("two tracks");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].codec.as_deref(), Some("ulaw"));
        let defaults = Defaults::read(&index(2, |at| at + 1));
        assert_eq!(
            found.iter().map(|track| track.samples.as_ref().map(|s| s.defaults)).collect::<Vec<_>>(),
            [defaults.get(&1).copied(), defaults.get(&2).copied()]
        );
        assert!(defaults.len() == 2 && defaults[&1] != Defaults::default());
    }

    #[test]
    fn a_file_of_more_boxes_than_are_walked_over_is_refused_and_not_read_in_part() {
        let few = boxed(*b"free", &[]).repeat(250_000);
        assert!(walk(&mut input(&few)).is_ok());
        let many = boxed(*b"free", &[]).repeat(MAX_BOXES + 1);
        let failure = walk(&mut input(&many)).expect_err("too many");
        assert_eq!(failure.code, domain::FailureCode::AudioBadHeader, "{failure}");
    }
}
