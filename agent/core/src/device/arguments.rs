//! Values that are read from the arguments of a family's commands.

use crate::metric::Instrument;

/// Instruments and meaning of the values that the eBPF programs read from the arguments of a family's commands.
#[derive(Debug)]
pub struct Arguments {
    /// Buffers transferred, by direction.
    pub transfers: &'static Instrument,
    /// Bytes transferred, by direction.
    pub io: &'static Instrument,
    /// Submitted frames.
    pub frames: &'static Instrument,
    /// Changes of the model.
    pub switches: &'static Instrument,
    /// The process that has marked the device as in use.
    pub owner: &'static Instrument,
    /// Commands with a duration series of their own.
    pub own_durations: &'static [&'static str],
    /// Number of channels to the device, by the device's address on its bus. These channels come before the others.
    pub input_channels: fn(address: Option<&str>) -> u32,
}
