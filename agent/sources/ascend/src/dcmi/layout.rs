//! Structures that the library fills, field by field, as on every 64-bit Linux.
//!
//! From `dcmi_interface_api.h` of the Ascend driver's source (github.com/hicann/driver, commit 999c25d, driver 26).
//! Newer versions have extended structures at their end, so each is read into a larger buffer.

use std::ffi::{c_int, c_uint, c_ulong, c_ulonglong};
use std::mem::{offset_of, size_of};

/// `struct dcmi_hbm_info`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct HbmInfo {
    /// MiB.
    pub(super) memory_size: c_ulonglong,
    /// MHz.
    pub(super) freq: c_uint,
    /// MiB.
    pub(super) memory_usage: c_ulonglong,
    /// Degrees Celsius.
    pub(super) temp: c_int,
    /// Per cent.
    pub(super) bandwidth_util_rate: c_uint,
}

/// `struct dcmi_get_memory_info_stru`: the DDR memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryInfo {
    /// MiB.
    pub(super) memory_size: c_ulonglong,
    /// MiB; includes free huge pages.
    pub(super) memory_available: c_ulonglong,
    /// MHz.
    pub(super) freq: c_uint,
    /// KiB.
    pub(super) hugepage_size: c_ulong,
    pub(super) hugepages_total: c_ulong,
    pub(super) hugepages_free: c_ulong,
    /// Per cent.
    pub(super) utilization: c_uint,
    pub(super) reserve: [u8; 60],
}

/// `struct dcmi_proc_mem_info`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct ProcessMemory {
    pub(super) id: c_int,
    /// Bytes.
    pub(super) usage: c_ulong,
}

/// `struct dcmi_chip_info_v2`; the older `dcmi_chip_info` ends before its last field.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct ChipInfo {
    pub(super) kind: [u8; 32],
    pub(super) name: [u8; 32],
    pub(super) version: [u8; 32],
    pub(super) aicore_count: c_uint,
    pub(super) npu_name: [u8; 32],
}

/// `struct dcmi_pcie_info_all`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct PcieInfo {
    pub(super) vendor: c_uint,
    pub(super) subvendor: c_uint,
    pub(super) device: c_uint,
    pub(super) subdevice: c_uint,
    pub(super) domain: c_int,
    pub(super) bus: c_uint,
    pub(super) slot: c_uint,
    pub(super) function: c_uint,
    pub(super) reserve: [u8; 32],
}

/// `struct dcmi_multi_utilization_info`, in per cent.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Utilizations {
    pub(super) cube: c_uint,
    pub(super) vector: c_uint,
    pub(super) aicore: c_uint,
    pub(super) npu: c_uint,
    pub(super) reserved: [c_uint; 8],
}

/// `struct dcmi_ecc_info`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct EccInfo {
    pub(super) enabled: c_int,
    pub(super) single: c_uint,
    pub(super) double: c_uint,
    pub(super) total_single: c_uint,
    pub(super) total_double: c_uint,
    pub(super) single_isolated_pages: c_uint,
    pub(super) double_isolated_pages: c_uint,
}

/// `struct dcmi_aicore_info`, in MHz.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct AicoreInfo {
    pub(super) rated: c_uint,
    pub(super) current: c_uint,
}

/// `dcmi_proc_mem_info` has no parameter for its buffer's capacity. The documentation specifies at most 32 entries, the
/// driver's source iterates over up to 64 (`dcmi_common.h`); a later increase must not exceed the buffer.
pub(super) const PROCESS_SLOTS: usize = 512;

/// Bytes that a later library may write after a structure that it has extended.
pub(super) const SLACK: usize = 1024;

/// Limit of cards (`MAX_CARD_NUM`).
pub(super) const MOST_CARDS: usize = 64;

const _: () = {
    assert!(size_of::<HbmInfo>() == 32 && offset_of!(HbmInfo, memory_usage) == 16 && offset_of!(HbmInfo, temp) == 24);
    assert!(size_of::<MemoryInfo>() == 112 && offset_of!(MemoryInfo, hugepage_size) == 24);
    assert!(offset_of!(MemoryInfo, utilization) == 48 && offset_of!(MemoryInfo, reserve) == 52);
    assert!(size_of::<ProcessMemory>() == 16 && offset_of!(ProcessMemory, usage) == 8);
    assert!(size_of::<ChipInfo>() == 132 && offset_of!(ChipInfo, npu_name) == 100);
    assert!(size_of::<PcieInfo>() == 64 && offset_of!(PcieInfo, reserve) == 32);
    assert!(size_of::<Utilizations>() == 48);
    assert!(size_of::<EccInfo>() == 28);
    assert!(size_of::<AicoreInfo>() == 8);
};
