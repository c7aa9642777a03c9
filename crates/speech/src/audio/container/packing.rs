//! What a container did to packets after coding: Matroska's content encodings.

use flate2::read::ZlibDecoder;
use std::io::Read;
use symphonia_core::errors::{Result, decode_error};

/// Most bytes of one packet: a second of any codec is less.
const MAX_PACKET: u64 = 1024 * 1024;

/// How a track's packets are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audio) enum Packing {
    /// Compressed by zlib.
    Zlib,
    /// Without these bytes, with which every packet begins.
    Stripped(Vec<u8>),
}

impl Packing {
    /// The packet as it was coded.
    ///
    /// # Errors
    /// A decode error for data that zlib did not write, or that unpack to more than a packet.
    pub(in crate::audio) fn unpack(&self, packed: &[u8]) -> Result<Box<[u8]>> {
        match self {
            Self::Stripped(begin) => Ok([begin, packed].concat().into()),
            Self::Zlib => {
                let mut packet = Vec::new();
                let read = ZlibDecoder::new(packed).take(MAX_PACKET + 1).read_to_end(&mut packet);
                if read.is_err() || packet.len() as u64 > MAX_PACKET {
                    return decode_error("a packet that zlib did not compress");
                }
                Ok(packet.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write;

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    }

    #[test]
    fn packets_are_unpacked_and_bombs_are_not() {
        assert_eq!(*Packing::Zlib.unpack(&compressed(b"packet")).expect("unpacked"), *b"packet");
        assert_eq!(*Packing::Stripped(b"pa".to_vec()).unpack(b"cket").expect("unpacked"), *b"packet");
        assert!(Packing::Zlib.unpack(b"packet").is_err());
        assert!(Packing::Zlib.unpack(&compressed(&vec![0; 100 << 20])).is_err());
    }
}
