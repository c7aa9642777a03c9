//! EBML, of which Matroska is made: elements with an id and a size, and numbers whose first byte says how long they are.

use super::Input;
use crate::audio::bytes::{be32, be64};
use domain::Failure;

/// Bytes of an element's header: an id of at most four, and a size of at most eight.
pub(super) const HEADER: usize = 12;

/// The elements in `bytes`, one after the other: id and body.
pub(super) fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let element = parse(bytes, 0)?;
        let end = element.end.map_or(bytes.len(), |end| usize::try_from(end).unwrap_or(usize::MAX)).min(bytes.len());
        let body = bytes.get(element.body as usize..end)?;
        bytes = &bytes[end..];
        Some((element.id, body))
    })
}

/// An unsigned number, as elements hold it.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A number with a fraction, as elements hold it.
pub(super) fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => Some(f32::from_bits(be32(bytes, 0)?).into()),
        8 => Some(f64::from_bits(be64(bytes, 0)?)),
        _ => None,
    }
}

/// Where an element is in the file.
pub(super) struct Element {
    pub(super) id: u32,
    /// Where its body begins.
    pub(super) body: u64,
    /// Where it ends; `None` when its size is unknown.
    pub(super) end: Option<u64>,
}

/// The elements between two offsets, `most` of them, as far as elements of known size lead.
pub(super) fn children(input: &mut Input, mut at: u64, end: u64, most: usize) -> Result<Vec<Element>, Failure> {
    let mut found = Vec::new();
    while at < end && found.len() < most {
        let Some(element) = element(input, at)? else { break };
        let next = element.end;
        found.push(element);
        match next {
            Some(next) if next > at => at = next,
            _ => break,
        }
    }
    Ok(found)
}

/// The element at an offset; `None` where the bytes are none.
pub(super) fn element(input: &mut Input, at: u64) -> Result<Option<Element>, Failure> {
    let bytes = input.read(at, HEADER)?;
    Ok(parse(&bytes, at))
}

/// As [`element`], in bytes that begin at the offset.
pub(super) fn parse(bytes: &[u8], at: u64) -> Option<Element> {
    let id_length = bytes.first()?.leading_zeros() as usize + 1;
    if id_length > 4 {
        return None;
    }
    let mut padded = [0; 4];
    padded[4 - id_length..].copy_from_slice(bytes.get(..id_length)?);
    let (size, size_length) = vint(&bytes[id_length..])?;
    let known = size != (1u64 << (7 * size_length)) - 1;
    let body = at + (id_length + size_length) as u64;
    Some(Element { id: be32(&padded, 0)?, body, end: if known { body.checked_add(size) } else { None } })
}

/// A number whose first byte says how long it is, and its length.
pub(super) fn vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let marker = u64::from(first) & ((1u64 << (8 - length)) - 1);
    Some((bytes.get(1..length)?.iter().fold(marker, |value, byte| value << 8 | u64::from(*byte)), length))
}
