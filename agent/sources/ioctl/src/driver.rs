//! How the calls of a family are counted beyond what its [`DeviceFamily`](accelscope_core::device::DeviceFamily) describes.

use std::fmt;

use super::device::Device;
use accelscope_core::metric::Instrument;

/// A family's drivers. The defaults are those of a driver of which nothing is known.
pub(super) trait Driver: fmt::Debug + Sync {
    /// Whether the durations of a command are a series of their own.
    fn has_own_duration(&self, _command: &str) -> bool {
        false
    }

    /// Number of input channels, where launches on them are frames.
    fn input_channels(&self, _device: &Device) -> Option<u32> {
        None
    }

    /// Instruments of what the eBPF programs read from the arguments of commands.
    fn arguments(&self) -> Option<&'static ArgumentInstruments> {
        None
    }
}

/// Instruments of what is read from the arguments of commands.
#[derive(Debug)]
pub(super) struct ArgumentInstruments {
    /// Buffers, by direction.
    pub(super) transfers: &'static Instrument,
    /// Bytes of the buffers, by direction.
    pub(super) io: &'static Instrument,
    /// Frames submitted.
    pub(super) frames: &'static Instrument,
    /// Changes of the model.
    pub(super) switches: &'static Instrument,
    /// The process that has marked the device as in use.
    pub(super) owner: &'static Instrument,
}
