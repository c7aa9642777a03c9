//! Matroska files for tests: taken apart and written anew.

/// An element: its id with the bits that say how long it is, and its content.
pub(crate) struct Element {
    pub(crate) id: u32,
    pub(crate) body: Vec<u8>,
}

/// The elements in `bytes`, one after the other.
pub(crate) fn elements(mut bytes: &[u8]) -> Vec<Element> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let id_length = bytes[0].leading_zeros() as usize + 1;
        let id = bytes[..id_length].iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
        let size_length = bytes[id_length].leading_zeros() as usize + 1;
        let first = u64::from(bytes[id_length]) & ((1 << (8 - size_length)) - 1);
        let rest = &bytes[id_length + 1..id_length + size_length];
        let size = rest.iter().fold(first, |size, byte| size << 8 | u64::from(*byte));
        let unknown = size == (1 << (7 * size_length)) - 1;
        let begin = id_length + size_length;
        let end = if unknown { bytes.len() } else { (begin + size as usize).min(bytes.len()) };
        found.push(Element { id, body: bytes[begin..end].to_vec() });
        bytes = &bytes[end..];
    }
    found
}

/// An element's bytes.
pub(crate) fn element(id: u32, body: &[u8]) -> Vec<u8> {
    let id: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    [&id[..], &(body.len() as u64 | 1 << 56).to_be_bytes(), body].concat()
}

/// The file with each element replaced by what `change` makes of it; `None` leaves it out. Those that hold others are
/// taken apart first: the segment, its tracks, and clusters with their groups. What refers to positions is left out.
pub(crate) fn rewrite(file: &[u8], change: &mut dyn FnMut(u32, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    const HOLDING_OTHERS: [u32; 5] = [0x1853_8067, 0x1654_ae6b, 0xae, 0x1f43_b675, 0xa0];
    const POSITIONS: [u32; 3] = [0x114d_9b74, 0x1c53_bb6b, 0xbf];
    let mut written = Vec::new();
    for Element { id, body } in elements(file) {
        if POSITIONS.contains(&id) {
            continue;
        }
        let body = if HOLDING_OTHERS.contains(&id) { rewrite(&body, change) } else { body };
        if let Some(body) = change(id, body) {
            written.extend(element(id, &body));
        }
    }
    written
}
