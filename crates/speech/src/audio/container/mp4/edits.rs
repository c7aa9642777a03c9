//! The edit list of a track: which parts of it make the recording, in which order.

use super::boxes::inside;
use crate::audio::bytes::{be16, be32, be64};
use crate::audio::container::Part;

/// Entries that are followed. Each may lead to another place, from where a second is decoded anew.
const MAX_EDITS: usize = 1_024;

/// What an edit list says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Edits {
    /// Seconds before the first part: the empty edits at the beginning.
    pub(super) start_s: f64,
    pub(super) parts: Vec<Part>,
}

/// One entry.
struct Edit {
    /// In ticks of the movie.
    duration: u64,
    /// In ticks of the media; negative for an empty edit.
    time: i64,
    /// Speed, 65,536 times.
    rate: u32,
}

/// Reads a track's edit list.
///
/// # Errors
/// The name of what can't be obeyed.
pub(super) fn read(track: &[u8], movie_scale: u32, media_scale: u32) -> Result<Edits, String> {
    let Some(list) = inside(track, &[b"edts", b"elst"]) else { return Ok(Edits::default()) };
    let edits: Vec<Edit> = entries(list).take(MAX_EDITS + 1).collect();
    if edits.len() > MAX_EDITS {
        return Err(format!("an edit list of more than {MAX_EDITS} parts"));
    }
    // Writers that leave the speed out don't mean that the whole recording stands still.
    let plays = edits.iter().any(|edit| edit.time >= 0 && edit.rate != 0);
    let (mut found, last) = (Edits::default(), edits.len().saturating_sub(1));
    for (number, edit) in edits.iter().enumerate() {
        let duration_s = edit.duration as f64 / f64::from(movie_scale);
        let silent = edit.time < 0 || edit.rate == 0 && plays;
        match (silent, edit.rate) {
            (true, _) if found.parts.is_empty() => found.start_s += duration_s,
            (true, _) => found.parts.push(Part::Silent { duration_s }),
            (false, 0 | 0x1_0000) if edit.duration == 0 && number != last => {}
            (false, 0 | 0x1_0000) => found.parts.push(Part::Decoded {
                begin_s: edit.time as f64 / f64::from(media_scale),
                duration_s: (edit.duration > 0).then_some(duration_s),
            }),
            (false, rate) => {
                return Err(format!("an edit list that plays at {:.2} times the speed", f64::from(rate) / 65_536.0));
            }
        }
    }
    Ok(found)
}

fn entries(list: &[u8]) -> impl Iterator<Item = Edit> + '_ {
    let wide = list.first() == Some(&1);
    let (size, count) = (if wide { 20 } else { 12 }, be32(list, 4).unwrap_or(0) as usize);
    (0..count).map_while(move |number| {
        let at = 8 + number * size;
        let rate = u32::from(be16(list, at + size - 4)?) << 16 | u32::from(be16(list, at + size - 2).unwrap_or(0));
        Some(if wide {
            Edit { duration: be64(list, at)?, time: be64(list, at + 8)?.cast_signed(), rate }
        } else {
            let duration = be32(list, at)?;
            // Like a time of -1, an endless duration of a live recording.
            let duration = if duration == u32::MAX { 0 } else { duration };
            Edit { duration: duration.into(), time: be32(list, at + 4)?.cast_signed().into(), rate }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::boxed;
    use super::*;

    /// Parts of (duration in ms, time in ticks of 8 kHz, speed times 65,536).
    fn edits(list: &[(u32, i32, u32)]) -> Result<Edits, String> {
        let mut body = [0u32.to_be_bytes(), (list.len() as u32).to_be_bytes()].concat();
        for (duration, time, rate) in list {
            body.extend([duration.to_be_bytes(), time.to_be_bytes(), rate.to_be_bytes()].concat());
        }
        read(&boxed(*b"edts", &boxed(*b"elst", &body)), 1_000, 8_000)
    }

    const PLAIN: u32 = 0x1_0000;

    #[test]
    fn empty_edits_and_dwells_are_silence_and_come_in_any_place() {
        let list = [(500, -1, PLAIN), (1_000, 800, PLAIN), (250, -1, PLAIN), (2_000, 0, PLAIN), (100, 4_000, 0)];
        let found = edits(&list).expect("can be obeyed");
        assert_eq!(found.start_s, 0.5);
        assert_eq!(
            found.parts,
            [
                Part::Decoded { begin_s: 0.1, duration_s: Some(1.0) },
                Part::Silent { duration_s: 0.25 },
                Part::Decoded { begin_s: 0.0, duration_s: Some(2.0) },
                Part::Silent { duration_s: 0.1 },
            ]
        );
    }

    #[test]
    fn a_list_without_speeds_or_durations_is_played_and_other_speeds_are_refused() {
        let whole = vec![Part::Decoded { begin_s: 0.0, duration_s: None }];
        assert_eq!(edits(&[(0, 0, PLAIN)]).map(|edits| edits.parts), Ok(whole.clone()));
        assert_eq!(edits(&[(0, 0, 0)]).map(|edits| edits.parts), Ok(whole));
        assert!(edits(&[(1_000, 0, PLAIN / 2)]).expect_err("half speed").contains("0.50"));
        assert!(edits(&vec![(1, 0, PLAIN); 1_025]).expect_err("too many").contains("1024"));
        assert_eq!(read(b"", 1_000, 8_000), Ok(Edits::default()));
    }
}
