//! Tags in front of a file (ID3, version 2), which any format may have, and behind frames that follow each other (ID3
//! of both versions, APE and Lyrics3).

use super::Input;
use crate::audio::bytes::{be32, le32};
use domain::Failure;

/// Tags in a row that are skipped. More are no recording's, and could be gigabytes long.
const MAX_TAGS: usize = 8;
/// Bytes at a file's end that hold what tells the kind and size of any tag there.
const TAIL: u64 = 355;

/// Bytes that show which tag begins there.
const ANY_TAG: usize = 1024;
/// Zeros that may fill up a block of a medium.
const MAX_ZEROS: u64 = 64 * 1024;

/// Moves `input.start` behind the tags in front.
pub(super) fn skip(input: &mut Input) -> Result<(), Failure> {
    for _ in 0..MAX_TAGS {
        let header = input.read(input.start, 10)?;
        input.start += length(&header);
    }
    Ok(())
}

/// Where the tags at the end begin.
pub(super) fn end(input: &mut Input) -> Result<u64, Failure> {
    let mut end = input.length;
    for _ in 0..MAX_TAGS {
        let from = end.saturating_sub(TAIL).max(input.start);
        let tail = input.read(from, (end - from) as usize)?;
        let tag = length_at_end(&tail);
        if tag == 0 || tag > end - input.start {
            break;
        }
        end -= tag;
    }
    Ok(end)
}

/// How many bytes from `at` on are neither tags nor zeros that fill up a block.
pub(super) fn unknown(input: &mut Input, mut at: u64) -> Result<u64, Failure> {
    for _ in 0..MAX_TAGS {
        at += length_at_beginning(&input.read(at, ANY_TAG)?);
    }
    let left = end(input)?.saturating_sub(at);
    let zeros = input.read(at, left.min(MAX_ZEROS) as usize)?;
    Ok(if left <= MAX_ZEROS && zeros.iter().all(|byte| *byte == 0) { 0 } else { left })
}

/// Bytes of the tag that `head` begins with, 0 without one.
fn length(head: &[u8]) -> u64 {
    let Some(size) = be32(head, 6).filter(|_| head.starts_with(b"ID3")) else { return 0 };
    let footer = if head[5] & 0x10 != 0 { 10 } else { 0 };
    10 + seven_bits(size) + footer
}

/// Bytes of the tag of any kind that `head` begins with, 0 without one: between recordings that were joined, tags that
/// are meant for a file's end come first. `head` must have all of a Lyrics3 tag.
pub(super) fn length_at_beginning(head: &[u8]) -> u64 {
    if head.starts_with(b"TAG+") && head.get(227..).is_some_and(|rest| rest.starts_with(b"TAG")) {
        return 355;
    }
    if head.starts_with(b"TAG") {
        return 128;
    }
    if let (true, Some(size), Some(flags)) = (head.starts_with(b"APETAGEX"), le32(head, 12), le32(head, 20)) {
        // A header comes before the items and a footer; the footer alone, behind items.
        return 32 + if flags >> 29 & 1 == 1 { u64::from(size) } else { 0 };
    }
    if head.starts_with(b"LYRICSBEGIN") {
        let end = head.windows(9).position(|word| word == b"LYRICS200" || word == b"LYRICSEND");
        return end.map_or(11, |at| at as u64 + 9);
    }
    length(head)
}

/// Bytes of the tag that `tail` ends with, 0 without one.
fn length_at_end(tail: &[u8]) -> u64 {
    let back = |bytes: usize| tail.len().checked_sub(bytes).and_then(|at| tail.get(at..)).unwrap_or_default();
    if back(128).starts_with(b"TAG") {
        return if back(355).starts_with(b"TAG+") { 355 } else { 128 };
    }
    let ape = back(32);
    if let (true, Some(size), Some(flags)) = (ape.starts_with(b"APETAGEX"), le32(ape, 12), le32(ape, 20)) {
        return u64::from(size) + if flags >> 31 == 1 { 32 } else { 0 };
    }
    if back(9) == b"LYRICS200" {
        let digits = back(15).get(..6).and_then(|digits| std::str::from_utf8(digits).ok());
        return digits.and_then(|digits| digits.parse::<u64>().ok()).map_or(0, |size| size + 15);
    }
    if let (true, Some(size)) = (back(10).starts_with(b"3DI"), be32(back(10), 6)) {
        return seven_bits(size) + 20;
    }
    0
}

/// A number of which each byte has seven bits.
fn seven_bits(size: u32) -> u64 {
    u64::from((size & 0x7f) | (size >> 1 & 0x3f80) | (size >> 2 & 0x1f_c000) | (size >> 3 & 0xfe0_0000))
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;

    #[test]
    fn a_tags_length_has_seven_bits_a_byte() {
        assert_eq!(length(b"ID3\x04\0\0\0\0\x01\x02xxfLaC"), 10 + 130);
        assert_eq!(length(b"fLaC"), 0);
    }

    #[test]
    fn tags_behind_the_audio_are_found_whatever_their_order() {
        let id3v1 = [&b"TAG"[..], &[0; 125]].concat();
        let lyrics = b"LYRICSBEGININD0000200000026LYRICS200".to_vec();
        assert_eq!(lyrics.len() - 15, 21);
        let lyrics = [&lyrics[..21], b"000021LYRICS200"].concat();
        let ape = |flags: u32| {
            let footer = [&b"APETAGEX"[..], &2_000u32.to_le_bytes(), &40u32.to_le_bytes(), &[0; 4]].concat();
            let footer = [&footer[..], &flags.to_le_bytes(), &[0; 8]].concat();
            let header = if flags == 0 { vec![] } else { footer.clone() };
            [header, b"an item.".to_vec(), footer].concat()
        };
        let audio = vec![0x55; 500];
        for tags in [
            vec![],
            vec![id3v1.clone()],
            vec![ape(0)],
            vec![ape(1 << 31), id3v1.clone()],
            vec![lyrics, id3v1],
            vec![b"ID3\x04\0\x10\0\0\0\x03abc3DI\x04\0\x10\0\0\0\x03".to_vec()],
        ] {
            let bytes = [&audio[..], &tags.concat()].concat();
            assert_eq!(end(&mut input(&bytes)).expect("read"), 500, "{tags:?}");
        }
    }
}
