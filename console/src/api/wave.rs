//! The header of `processed_audio.wav`: the fields that a waveform needs.

/// Where the samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaveHeader {
    /// Channels, interleaved.
    pub channels: u16,
    /// Hz.
    pub sample_rate: u32,
    /// Bytes before the first sample.
    pub data_at: usize,
    /// Bytes of samples, as the header says.
    pub data_bytes: u64,
}

impl WaveHeader {
    /// Reads a header of 16-bit PCM, plain RIFF or RF64. `None`: it needs more bytes, or is not such a header.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (mut at, mut format, mut long_data) = (12, None, None);
        loop {
            let (id, size) = (bytes.get(at..at + 4)?, long(at + 4)?);
            let body = at + 8;
            match id {
                b"fmt " => format = Some((word(body + 2)?, long(body + 4)?)),
                b"ds64" => long_data = Some(u64::from(long(body + 8)?) | u64::from(long(body + 12)?) << 32),
                b"data" => {
                    let (channels, sample_rate) = format?;
                    let data_bytes = long_data.filter(|_| size == u32::MAX).unwrap_or(u64::from(size));
                    return Some(Self { channels, sample_rate, data_at: body, data_bytes });
                }
                _ => {}
            }
            at = body + size as usize + (size as usize & 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WaveHeader;

    #[test]
    fn a_plain_header_is_read_and_a_part_of_it_is_not() {
        let mut wav =
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x10\0data\x08\0\0\0".to_vec();
        let header = WaveHeader { channels: 2, sample_rate: 16_000, data_at: 44, data_bytes: 8 };
        assert_eq!(WaveHeader::read(&wav), Some(header));
        wav.truncate(40);
        assert_eq!(WaveHeader::read(&wav), None);
        assert_eq!(WaveHeader::read(b"hello"), None);
    }
}
