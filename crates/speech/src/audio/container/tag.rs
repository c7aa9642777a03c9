//! ID3 tags in front of a file, which any format may have.

use super::Input;
use crate::audio::bytes::be32;
use domain::Failure;

/// Tags in a row that are skipped. More are no recording's, and could be gigabytes long.
const MAX_TAGS: usize = 8;

/// Moves `input.start` behind the tags.
pub(super) fn skip(input: &mut Input) -> Result<(), Failure> {
    for _ in 0..MAX_TAGS {
        let header = input.read(input.start, 10)?;
        input.start += length(&header);
    }
    Ok(())
}

/// Bytes of the tag that `head` begins with, 0 without one.
fn length(head: &[u8]) -> u64 {
    let Some(size) = be32(head, 6).filter(|_| head.starts_with(b"ID3")) else { return 0 };
    let seven_bits = (size & 0x7f) | (size >> 1 & 0x3f80) | (size >> 2 & 0x1f_c000) | (size >> 3 & 0xfe0_0000);
    let footer = if head[5] & 0x10 != 0 { 10 } else { 0 };
    10 + u64::from(seven_bits) + footer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tags_length_has_seven_bits_a_byte() {
        assert_eq!(length(b"ID3\x04\0\0\0\0\x01\x02xxfLaC"), 10 + 130);
        assert_eq!(length(b"fLaC"), 0);
    }
}
