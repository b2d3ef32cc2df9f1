//! A GPU or MIG instance, and its plain getters.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use std::ffi::c_char;
use std::mem::size_of;

use super::sys::{self, nvmlDevice_t};
use super::{Nvml, NvmlError, OrOlder, call, text, zeroed};

/// A handle: valid until the process ends, even after its device was removed (calls then fail).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Device {
    nvml: Nvml,
    handle: nvmlDevice_t,
}

// SAFETY: a handle is an opaque number for the library, which may be called by several threads (nvml.h, "NVML is
// thread-safe").
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

/// Framebuffer memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    /// Used by processes; includes the reserved memory with drivers that do not report it.
    pub(crate) used: u64,
    /// Used by the driver and firmware; `None` before driver 510.
    pub(crate) reserved: Option<u64>,
}

/// Address on the PCI bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pci {
    pub(crate) domain: u32,
    pub(crate) bus: u32,
    pub(crate) device: u32,
}

impl Pci {
    /// Reads an address in the kernel's notation.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split([':', '.']).map(|part| u32::from_str_radix(part, 16).ok());
        Some(Self {
            domain: numbers.next()??,
            bus: numbers.next()??,
            device: numbers.next()??,
        })
    }
}

impl std::fmt::Display for Pci {
    /// Address in the kernel's notation. NVML has no function number: it is always 0.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.0", self.domain, self.bus, self.device)
    }
}

/// Functions that take numbers and write others, one value or several.
macro_rules! getters {
    ($($(#[doc = $doc:literal])* $name:ident($($key:ident),*) -> $type:ty = $function:ident($($value:ident),+);)*) => {
        impl Device {
            $(
                $(#[doc = $doc])*
                pub(in crate) fn $name(self, $($key: u32),*) -> Result<$type, NvmlError> {
                    $(let mut $value = zeroed();)+
                    // SAFETY: the handle is the library's, any number may be asked for, and the function writes one
                    // value through each pointer, which has the type that it names.
                    unsafe { call!(self.nvml, $function(self.handle, $($key,)* $(&raw mut $value),+)) }?;
                    Ok(($($value),+))
                }
            )*
        }
    };
}

/// Functions that write text.
macro_rules! texts {
    ($($(#[doc = $doc:literal])* $name:ident = $function:ident, $size:literal;)*) => {
        impl Device {
            $(
                $(#[doc = $doc])*
                pub(in crate) fn $name(self) -> Result<Option<String>, NvmlError> {
                    let mut buffer: [c_char; $size] = [0; $size];
                    // SAFETY: the handle is the library's, and the function writes at most the length that it is given.
                    unsafe { call!(self.nvml, $function(self.handle, buffer.as_mut_ptr(), $size)) }?;
                    Ok(text(&buffer))
                }
            )*
        }
    };
}

getters! {
    /// Shares of time in percent over the driver's sampling period, 1/6 to 1 s.
    utilization_rates() -> sys::nvmlUtilization_t = nvmlDeviceGetUtilizationRates(value);
    /// Milliwatts; averaged over a second on Ampere (but GA100) and newer.
    power_usage() -> u32 = nvmlDeviceGetPowerUsage(value);
    /// Milliwatts that may be drawn, all limiters considered.
    enforced_power_limit() -> u32 = nvmlDeviceGetEnforcedPowerLimit(value);
    /// Milliwatts to which the user set it.
    power_management_limit() -> u32 = nvmlDeviceGetPowerManagementLimit(value);
    /// Milliwatts that it has after start.
    default_power_limit() -> u32 = nvmlDeviceGetPowerManagementDefaultLimit(value);
    /// Millijoules since the driver was loaded; Volta and newer.
    total_energy_consumption() -> u64 = nvmlDeviceGetTotalEnergyConsumption(value);
    /// Bits of `nvmlClocksEventReason*`.
    clocks_event_reasons() -> u64 = nvmlDeviceGetCurrentClocksEventReasons(value);
    /// The same under the name that it had before driver 535.
    clocks_throttle_reasons() -> u64 = nvmlDeviceGetCurrentClocksThrottleReasons(value);
    /// Bits that the device can set.
    supported_event_reasons() -> u64 = nvmlDeviceGetSupportedClocksEventReasons(value);
    /// The same under the name that it had before driver 535.
    supported_throttle_reasons() -> u64 = nvmlDeviceGetSupportedClocksThrottleReasons(value);
    /// 0 (fastest) to 15, 32 if unknown.
    performance_state() -> u32 = nvmlDeviceGetPerformanceState(value);
    /// Percent of the highest speed; what the driver intends, and it can be above 100.
    fan_speed() -> u32 = nvmlDeviceGetFanSpeed(value);
    /// How many fans.
    num_fans() -> u32 = nvmlDeviceGetNumFans(value);
    /// Generation of the link at present.
    pcie_link_generation() -> u32 = nvmlDeviceGetCurrPcieLinkGeneration(value);
    /// Generation that device and slot can do.
    max_pcie_link_generation() -> u32 = nvmlDeviceGetMaxPcieLinkGeneration(value);
    /// Lanes at present.
    pcie_link_width() -> u32 = nvmlDeviceGetCurrPcieLinkWidth(value);
    /// Lanes that device and slot can do.
    max_pcie_link_width() -> u32 = nvmlDeviceGetMaxPcieLinkWidth(value);
    /// Replays since the driver was loaded.
    pcie_replay_counter() -> u32 = nvmlDeviceGetPcieReplayCounter(value);
    /// Number of `/dev/nvidia<N>`.
    minor_number() -> u32 = nvmlDeviceGetMinorNumber(value);
    /// `sys::NVML_DEVICE_ARCH_*`.
    architecture() -> u32 = nvmlDeviceGetArchitecture(value);
    /// Degrees Celsius of a sensor, `sys::nvmlTemperatureSensors_enum_*`.
    temperature(sensor) -> u32 = nvmlDeviceGetTemperature(value);
    /// Degrees Celsius, `sys::nvmlTemperatureThresholds_enum_*`.
    temperature_threshold(threshold) -> u32 = nvmlDeviceGetTemperatureThreshold(value);
    /// Megahertz of a clock, `sys::nvmlClockType_enum_*`.
    clock(kind) -> u32 = nvmlDeviceGetClockInfo(value);
    /// Megahertz that it can reach.
    max_clock(kind) -> u32 = nvmlDeviceGetMaxClockInfo(value);
    /// Percent of a fan's highest speed.
    fan_speed_of(fan) -> u32 = nvmlDeviceGetFanSpeed_v2(value);
    /// Percent, and the microseconds over which it was sampled.
    encoder_utilization() -> (u32, u32) = nvmlDeviceGetEncoderUtilization(percent, micros);
    /// Percent, and the microseconds over which it was sampled.
    decoder_utilization() -> (u32, u32) = nvmlDeviceGetDecoderUtilization(percent, micros);
    /// Percent, and the microseconds over which it was sampled; Turing and newer.
    jpeg_utilization() -> (u32, u32) = nvmlDeviceGetJpgUtilization(percent, micros);
    /// Percent, and the microseconds over which it was sampled; Turing and newer.
    ofa_utilization() -> (u32, u32) = nvmlDeviceGetOfaUtilization(percent, micros);
    /// Whether MIG is on now and after the next reset; 1 if so.
    mig_mode() -> (u32, u32) = nvmlDeviceGetMigMode(now, later);
    /// Whether ECC is on now and after the next reset; 1 if so.
    ecc_mode() -> (u32, u32) = nvmlDeviceGetEccMode(now, later);
    /// Errors detected by ECC, `sys::nvmlMemoryErrorType_enum_*`, `sys::nvmlEccCounterType_enum_*`.
    total_ecc_errors(kind, counter) -> u64 = nvmlDeviceGetTotalEccErrors(count);
    /// The same for one memory, `sys::nvmlMemoryLocation_enum_*`.
    memory_errors(kind, counter, location) -> u64 = nvmlDeviceGetMemoryErrorCounter(count);
    /// Memory rows that were remapped after correctable and uncorrectable errors, whether a remapping awaits a reset,
    /// and whether one failed. Ampere and newer.
    remapped_rows() -> (u32, u32, u32, u32) =
        nvmlDeviceGetRemappedRows(corrected, uncorrected, pending, failed);
    /// Number of slots for MIG devices of the GPU, most of which may be empty.
    mig_slots() -> u32 = nvmlDeviceGetMaxMigDeviceCount(count);
}

texts! {
    /// `GPU-` or `MIG-` and a UUID: the same for as long as the hardware lives.
    uuid = nvmlDeviceGetUUID, 96;
    /// Product name, e.g. `NVIDIA H100 80GB HBM3`.
    name = nvmlDeviceGetName, 96;
    /// Of the board; GeForce has none.
    serial = nvmlDeviceGetSerial, 30;
    /// Version of the video BIOS.
    vbios_version = nvmlDeviceGetVbiosVersion, 32;
    /// Of the board.
    board_part_number = nvmlDeviceGetBoardPartNumber, 80;
}

impl Device {
    pub(super) const fn new(nvml: Nvml, handle: nvmlDevice_t) -> Self {
        Self { nvml, handle }
    }

    /// The library that it belongs to.
    pub(super) const fn nvml(self) -> Nvml {
        self.nvml
    }

    /// For calls that have no method.
    pub(super) const fn handle(self) -> nvmlDevice_t {
        self.handle
    }

    /// Identifies its handle, which the library may use again for another device after this one was removed.
    pub(crate) fn key(self) -> usize {
        self.handle.addr()
    }

    /// Framebuffer memory.
    pub(crate) fn memory(self) -> Result<Memory, NvmlError> {
        let mut info = sys::nvmlMemory_v2_t {
            version: size_of::<sys::nvmlMemory_v2_t>() as u32 | 2 << 24,
            ..zeroed()
        };
        // SAFETY: it writes the structure of that version.
        unsafe { call!(self.nvml, nvmlDeviceGetMemoryInfo_v2(self.handle, &raw mut info)) }
            .map(|()| Memory {
                total: info.total,
                used: info.used,
                reserved: Some(info.reserved),
            })
            .or_older(|| {
                let mut info: sys::nvmlMemory_t = zeroed();
                // SAFETY: it writes one such structure.
                unsafe { call!(self.nvml, nvmlDeviceGetMemoryInfo(self.handle, &raw mut info)) }?;
                Ok(Memory {
                    total: info.total,
                    used: info.used,
                    reserved: None,
                })
            })
    }

    /// Place on the bus.
    pub(crate) fn pci(self) -> Result<Pci, NvmlError> {
        // Older structures are shorter, with the numbers at the same place.
        let mut info: sys::nvmlPciInfo_t = zeroed();
        // SAFETY: each writes such a structure or a shorter one.
        unsafe {
            call!(self.nvml, nvmlDeviceGetPciInfo_v3(self.handle, &raw mut info))
                .or_older(|| call!(self.nvml, nvmlDeviceGetPciInfo_v2(self.handle, &raw mut info)))
                .or_older(|| call!(self.nvml, nvmlDeviceGetPciInfo(self.handle, &raw mut info)))
        }?;
        Ok(Pci {
            domain: info.domain,
            bus: info.bus,
            device: info.device,
        })
    }

    /// Distance in degrees Celsius from the first slowdown temperature; Ada and newer.
    pub(crate) fn margin_temperature(self) -> Result<i32, NvmlError> {
        let mut margin = sys::nvmlMarginTemperature_t {
            version: size_of::<sys::nvmlMarginTemperature_t>() as u32 | 1 << 24,
            marginTemperature: 0,
        };
        // SAFETY: it writes the structure of that version.
        unsafe { call!(self.nvml, nvmlDeviceGetMarginTemperature(self.handle, &raw mut margin)) }?;
        Ok(margin.marginTemperature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_size_that_their_versions_name() {
        assert_eq!(size_of::<sys::nvmlMemory_v2_t>(), 40);
        assert_eq!(size_of::<sys::nvmlFieldValue_t>(), 40);
        assert_eq!(size_of::<sys::nvmlProcessInfo_v1_t>(), 16);
        assert_eq!(size_of::<sys::nvmlProcessInfo_v2_t>(), 24);
        assert_eq!(size_of::<sys::nvmlPciInfo_t>(), 68);
        assert_eq!(size_of::<sys::nvmlMarginTemperature_t>(), 8);
        assert_eq!(size_of::<sys::nvmlProcessUtilizationSample_t>(), 32);
        assert_eq!(size_of::<sys::nvmlSample_t>(), 16);
        assert_eq!(size_of::<sys::nvmlEventData_t>(), 32);
        assert_eq!(size_of::<sys::nvmlDeviceAttributes_t>(), 40);
        assert_eq!(size_of::<sys::nvmlGpmMetric_t>(), 40);
        assert_eq!(size_of::<sys::nvmlGpmSupport_t>(), 8);
    }

    #[test]
    fn the_address_is_written_as_the_kernel_writes_it() {
        let pci = Pci {
            domain: 0,
            bus: 0xb3,
            device: 1,
        };
        assert_eq!(pci.to_string(), "0000:b3:01.0");
        assert_eq!(Pci::parse("0000:b3:01.0"), Some(pci));
        assert_eq!(Pci::parse("0000:b3"), None);
    }
}
