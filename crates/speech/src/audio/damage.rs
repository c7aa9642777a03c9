//! How many bad packets a recording may have.

use super::errors;
use domain::Failure;

/// Bad packets in a row at the beginning, after which the rest is not tried.
const MAX_BAD_PACKETS_FIRST: u64 = 1_000;
/// Bad packets that are tolerated in any recording.
const TOLERATED_BAD_PACKETS: u64 = 2;
/// One more bad packet is tolerated for each this many packets.
const PACKETS_PER_BAD_PACKET: u64 = 25;

/// The packets of a track so far.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct PacketCount {
    all: u64,
    bad: u64,
}

impl PacketCount {
    /// Counts a packet. It may turn out to be bad.
    pub(super) fn add(&mut self) {
        self.all += 1;
    }

    /// The packet counted last can't be decoded.
    pub(super) fn add_bad(&mut self) {
        self.bad += 1;
    }

    /// Packets that can't be decoded.
    pub(super) fn bad(&self) -> u64 {
        self.bad
    }

    /// Whether so many packets were bad, and none good, that the rest is not worth a try.
    pub(super) fn is_hopeless(&self) -> bool {
        self.bad == self.all && self.all > MAX_BAD_PACKETS_FIRST
    }

    /// Whether the recording is worth its result. `has_sound`: a packet was decoded to samples.
    ///
    /// # Errors
    /// `audio.corrupt`.
    pub(super) fn check(&self, has_sound: bool) -> Result<(), Failure> {
        let tolerated = TOLERATED_BAD_PACKETS + self.all / PACKETS_PER_BAD_PACKET;
        if self.bad > tolerated || !has_sound && self.bad > 0 {
            return Err(errors::corrupt(format!("{} of {} packets can't be decoded", self.bad, self.all)));
        }
        Ok(())
    }
}
