//! Boxes of an MP4 file: a size, four characters, and a content, which may be boxes again.

use crate::audio::bytes::{be32, be64};

/// A box: type and content.
pub(super) type TypedBox<'a> = (&'a [u8], &'a [u8]);

/// The boxes in `bytes`, one after the other.
pub(super) fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = TypedBox<'_>> {
    std::iter::from_fn(move || {
        let kind = bytes.get(4..8)?;
        let (size, begin) = match be32(bytes, 0)? {
            0 => (bytes.len(), 8),
            1 => (usize::try_from(be64(bytes, 8)?).unwrap_or(usize::MAX), 16),
            size => (size as usize, 8),
        };
        let size = size.min(bytes.len());
        let body = bytes.get(begin..size)?;
        bytes = &bytes[size..];
        Some((kind, body))
    })
}

/// The box at the end of a path of boxes.
pub(super) fn inside<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, kind| boxes(bytes).find(|(k, _)| k == kind).map(|(_, body)| body))
}

/// Ticks a second of a `mvhd` or `mdhd` box.
pub(super) fn scale(header: &[u8]) -> Option<u32> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    be32(header, at).filter(|scale| *scale > 0)
}

/// Number of the track, of a `tkhd` box.
pub(super) fn track_id(header: &[u8]) -> Option<u32> {
    be32(header, if *header.first()? == 1 { 20 } else { 12 })
}
