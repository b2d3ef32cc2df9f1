//! Hailo's drivers: what is counted of the arguments of their calls.

use crate::device::Device;
use crate::driver::{ArgumentInstruments, Driver};
use crate::families::Family;
use accelscope_core::metric::catalogue::calls;
use accelscope_hailo_abi::layout::{HOST_TO_DEVICE_INTEGRATED, HOST_TO_DEVICE_PCIE};

/// The launch of a transfer, and the wait for interrupts.
const OWN_DURATION: &[&str] = &["VDMA_LAUNCH_TRANSFER", "VDMA_INTERRUPTS_WAIT", "VDMA_CHANNEL_WAIT_INT"];

static ARGUMENTS: ArgumentInstruments = ArgumentInstruments {
    transfers: &calls::HAILO_TRANSFERS,
    io: &calls::HAILO_IO,
    frames: &calls::HAILO_FRAMES,
    switches: &calls::HAILO_SWITCHES,
    owner: &calls::HAILO_OWNER,
};

/// Whether these are the drivers of a family.
pub(super) fn has(family: Family) -> bool {
    family.name == "hailo"
}

#[derive(Debug)]
pub(super) struct HailoDriver;

impl Driver for HailoDriver {
    fn has_own_duration(&self, command: &str) -> bool {
        OWN_DURATION.contains(&command)
    }

    fn input_channels(&self, device: &Device) -> Option<u32> {
        let integrated = device.address.as_deref() == Some("[integrated]");
        let inputs = if integrated {
            HOST_TO_DEVICE_INTEGRATED
        } else {
            HOST_TO_DEVICE_PCIE
        };
        Some(inputs.into())
    }

    fn arguments(&self) -> Option<&'static ArgumentInstruments> {
        Some(&ARGUMENTS)
    }
}
