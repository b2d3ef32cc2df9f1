//! What is read from the arguments of a family's commands.

use crate::metric::Instrument;

/// Instruments and meaning of what the eBPF programs read from the arguments of a family's commands.
#[derive(Debug)]
pub struct Arguments {
    /// Buffers that were handed to the device, by direction.
    pub transfers: &'static Instrument,
    /// Their bytes, by direction.
    pub io: &'static Instrument,
    /// Frames that were submitted.
    pub frames: &'static Instrument,
    /// Changes of the model.
    pub switches: &'static Instrument,
    /// The process that has marked the device as in use.
    pub owner: &'static Instrument,
    /// Commands whose durations are a series of their own.
    pub own_durations: &'static [&'static str],
    /// Number of the channels to the device, which come first, by the device's address on its bus.
    pub input_channels: fn(address: Option<&str>) -> u32,
}
