//! MP4 files for tests: taken apart and written anew.

/// A box's bytes.
pub(crate) fn boxed(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], &kind, body].concat()
}

/// The boxes in `bytes`: type and content.
pub(crate) fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut found = Vec::new();
    while bytes.len() >= 8 {
        let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let size = if size == 0 { bytes.len() } else { size };
        found.push(([bytes[4], bytes[5], bytes[6], bytes[7]], bytes[8..size].to_vec()));
        bytes = &bytes[size..];
    }
    found
}

/// What becomes of a box's content, by its type.
pub(crate) type Change<'a> = &'a dyn Fn([u8; 4], Vec<u8>) -> Option<Vec<u8>>;

/// The file with each box below `moov` replaced by what `change` makes of it; `None` leaves it out. The index must be
/// the last box, since nothing before it may move.
pub(crate) fn rewrite(file: &[u8], change: Change<'_>) -> Vec<u8> {
    const HOLDING_OTHERS: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];
    let mut written = Vec::new();
    for (kind, body) in boxes(file) {
        let body = if HOLDING_OTHERS.contains(&&kind) { rewrite(&body, change) } else { body };
        if let Some(body) = change(kind, body) {
            written.extend(boxed(kind, &body));
        }
    }
    written
}

/// The file with this edit list on every track: milliseconds, ticks of the media (-1: nothing), and speed.
pub(crate) fn with_edits(file: &[u8], edits: &[(u32, i32, f64)]) -> Vec<u8> {
    let mut list = [0u32.to_be_bytes(), (edits.len() as u32).to_be_bytes()].concat();
    for (duration, time, speed) in edits {
        list.extend([duration.to_be_bytes(), time.to_be_bytes(), ((speed * 65_536.0) as u32).to_be_bytes()].concat());
    }
    let edts = boxed(*b"edts", &boxed(*b"elst", &list));
    rewrite(file, &|kind, body| match &kind {
        b"edts" => None,
        b"trak" => Some([body, edts.clone()].concat()),
        _ => Some(body),
    })
}
