//! Warnings: a recording was analysed, and something about it makes the result worth less.

use serde::{Deserialize, Serialize};

crate::label_enum! {
    /// Stable code of a warning.
    pub enum WarningCode: "warning" {
        /// Bytes behind the recording are no sound that can be read.
        AudioBytesIgnored = "audio.bytes_ignored",
        /// Speech was found only after the sound was amplified.
        AudioTooQuiet = "audio.too_quiet",
        /// The container's times contradict its packets: these were counted.
        AudioWrongTimes = "audio.wrong_times",
        /// Channels hold the same sound: nobody speaks on one of them alone.
        ChannelsNotSeparated = "channels.not_separated",
    }
}

/// What makes a result worth less.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// What kind.
    pub code: WarningCode,
    /// Numbers of the channels concerned; empty for the mix of all.
    pub channels: Vec<u16>,
    /// A sentence with the numbers.
    pub message: String,
}
