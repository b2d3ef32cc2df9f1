//! Values that C code fills.
#![expect(unsafe_code, reason = "the types of a C library can be zeroed in no other way")]

use super::sys;

/// A type of which every bit pattern is a valid value, including all zeros.
///
/// # Safety
/// The type must consist of integers, floating-point numbers and raw pointers, and of arrays, structures and unions of
/// them.
pub(super) unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        // SAFETY: nvml.h declares them as such numbers, pointers, arrays and structures.
        $(unsafe impl Plain for $type {})*
    };
}

plain!(
    u32,
    u64,
    sys::nvmlUtilization_t,
    sys::nvmlMemory_t,
    sys::nvmlMemory_v2_t,
    sys::nvmlPciInfo_t,
    sys::nvmlDeviceAttributes_t,
    sys::nvmlEventData_t,
    sys::nvmlGpmMetric_t,
    sys::nvmlProcessUtilizationSample_t,
    sys::nvmlSample_t,
);

/// A value of zeros for the library to write to.
pub(super) fn zeroed<T: Plain>() -> T {
    // SAFETY: zeros are a valid value of a plain type.
    unsafe { std::mem::zeroed() }
}
