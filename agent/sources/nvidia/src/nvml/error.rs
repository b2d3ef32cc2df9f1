//! Return codes (`nvmlReturn_t`, nvml.h 13.5).

use std::mem::discriminant;

use nvml_wrapper::error::{NvmlError as WrapperError, nvml_try};

use super::sys::nvmlReturn_t;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $number:literal, $word:literal, $meaning:literal;)*) => {
        /// Return code of a failed call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(in crate) enum Code {
            $($(#[doc = $doc])* $variant,)*
            /// A code that is not in nvml.h 13.5.
            Other(nvmlReturn_t),
        }

        impl Code {
            const fn of(number: nvmlReturn_t) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// Short form for attributes.
            pub(in crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(_) => "other",
                }
            }

            const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                    Self::Other(_) => "an error of a newer NVML",
                }
            }
        }

        const KNOWN: &[(nvmlReturn_t, Code)] = &[$(($number, Code::$variant)),*];
    };
}

codes! {
    Uninitialized = 1, "uninitialized", "NVML is not initialized";
    InvalidArgument = 2, "invalid_argument", "an argument is invalid";
    NotSupported = 3, "not_supported", "not supported by this device";
    NoPermission = 4, "no_permission", "not permitted to this user";
    AlreadyInitialized = 5, "already_initialized", "already initialized";
    NotFound = 6, "not_found", "not found";
    InsufficientSize = 7, "insufficient_size", "the buffer is too small";
    InsufficientPower = 8, "insufficient_power", "the device's power cables are not attached properly";
    DriverNotLoaded = 9, "driver_not_loaded", "the NVIDIA kernel driver is not loaded";
    Timeout = 10, "timeout", "the driver's own time-out passed";
    IrqIssue = 11, "irq_issue", "the kernel found a fault with the device's interrupts";
    LibraryNotFound = 12, "library_not_found", "a library that NVML needs was not found";
    /// The library or the driver has no such function.
    FunctionNotFound = 13, "function_not_found", "this version of the driver has no such function";
    CorruptedInforom = 14, "corrupted_inforom", "the device's infoROM is corrupted";
    GpuIsLost = 15, "gpu_is_lost", "the GPU has fallen off the bus or is otherwise inaccessible";
    ResetRequired = 16, "reset_required", "the GPU must be reset before it can be used again";
    OperatingSystem = 17, "operating_system", "the operating system blocks access to the GPU";
    LibRmVersionMismatch = 18, "lib_rm_version_mismatch",
        "the library and the loaded kernel driver are of different versions";
    InUse = 19, "in_use", "the GPU is in use";
    Memory = 20, "memory", "out of memory";
    NoData = 21, "no_data", "no data yet";
    VgpuEccNotSupported = 22, "vgpu_ecc_not_supported", "not available on a vGPU because of ECC";
    InsufficientResources = 23, "insufficient_resources", "the GPU ran out of resources other than memory";
    FreqNotSupported = 24, "freq_not_supported", "the frequency is not supported";
    ArgumentVersionMismatch = 25, "argument_version_mismatch", "the driver does not know this version of the structure";
    Deprecated = 26, "deprecated", "the driver no longer supports this";
    NotReady = 27, "not_ready", "the system is not ready for the request";
    GpuNotFound = 28, "gpu_not_found", "no GPU was found";
    InvalidState = 29, "invalid_state", "the resource is in the wrong state";
    ResetTypeNotSupported = 30, "reset_type_not_supported", "this kind of reset is not supported";
    Unknown = 999, "unknown", "an internal error of the driver";
}

impl Code {
    /// Whether the same call returns the same error for as long as the process lives.
    pub(crate) const fn is_for_good(self) -> bool {
        matches!(
            self,
            Self::NotSupported
                | Self::FunctionNotFound
                | Self::ArgumentVersionMismatch
                | Self::Deprecated
                | Self::VgpuEccNotSupported
        )
    }

    /// Whether a field that is or is not supported may have failed with it: the same call may return a value later.
    pub(crate) const fn may_pass(self) -> bool {
        !self.is_for_good() && !matches!(self, Self::InvalidArgument | Self::NotFound)
    }

    /// Whether the device does not answer until it is reset or comes back.
    pub(crate) const fn is_lost(self) -> bool {
        matches!(self, Self::GpuIsLost | Self::ResetRequired | Self::GpuNotFound)
    }

    /// Whether every call will fail in this process: the driver was unloaded or replaced.
    pub(crate) const fn ends_process(self) -> bool {
        matches!(
            self,
            Self::Uninitialized | Self::DriverNotLoaded | Self::LibRmVersionMismatch
        )
    }
}

/// A failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {} ({})", .code.meaning(), .code.as_str())]
pub(crate) struct NvmlError {
    /// Name of the function.
    pub(crate) call: &'static str,
    /// Return code.
    pub(crate) code: Code,
}

impl NvmlError {
    /// Converts the wrapper's error, which has names for some codes and the number of the others.
    pub(super) fn of_wrapper(call: &'static str, error: &WrapperError) -> Self {
        let same = |number: nvmlReturn_t| match (nvml_try(number), error) {
            (Err(WrapperError::UnexpectedVariant(a)), WrapperError::UnexpectedVariant(b)) => a == *b,
            (Err(named), error) => discriminant(&named) == discriminant(error),
            (Ok(()), _) => false,
        };
        let known = KNOWN.iter().find(|(number, _)| same(*number));
        let code = match (known, error) {
            (Some((_, code)), _) => *code,
            (None, WrapperError::UnexpectedVariant(number)) => Code::Other(*number),
            (None, _) => Code::Unknown,
        };
        Self { call, code }
    }
}

/// The result of a function by its return code.
pub(super) const fn check(call: &'static str, code: nvmlReturn_t) -> Result<(), NvmlError> {
    match code {
        0 => Ok(()),
        code => Err(NvmlError {
            call,
            code: Code::of(code),
        }),
    }
}

/// The error of a function that the library lacks.
pub(super) const fn missing(call: &'static str) -> NvmlError {
    NvmlError {
        call,
        code: Code::FunctionNotFound,
    }
}

/// Fallback from a function's newer name to its older one.
pub(crate) trait OrOlder: Sized {
    /// Result of `older` if the library or the driver lacks the newer function; the newer one's error if both are
    /// missing.
    fn or_older(self, older: impl FnOnce() -> Self) -> Self;
}

impl<T> OrOlder for Result<T, NvmlError> {
    fn or_older(self, older: impl FnOnce() -> Self) -> Self {
        match self {
            Err(
                error @ NvmlError {
                    code: Code::FunctionNotFound | Code::ArgumentVersionMismatch,
                    ..
                },
            ) => older().map_err(|other| {
                if other.code == Code::FunctionNotFound {
                    error
                } else {
                    other
                }
            }),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvml::sys;

    #[test]
    fn every_code_of_the_header_is_known_and_no_other() {
        for (number, code) in KNOWN {
            assert_eq!(Code::of(*number), *code);
        }
        // Codes 1 to 30 and 999, without a gap.
        assert_eq!(KNOWN.len(), 31);
        assert_eq!(
            Code::of(sys::nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH),
            Code::LibRmVersionMismatch
        );
        assert_eq!(
            Code::of(sys::nvmlReturn_enum_NVML_ERROR_RESET_TYPE_NOT_SUPPORTED),
            Code::ResetTypeNotSupported
        );
        assert_eq!(Code::of(31), Code::Other(31));
    }

    #[test]
    fn only_a_lacking_function_falls_back() {
        let newer: Result<u8, _> = Err(missing("newer_v2"));
        assert_eq!(newer.or_older(|| Ok(1)), Ok(1));
        assert_eq!(newer.or_older(|| Err(missing("older"))), Err(missing("newer_v2")));
        let refused: Result<u8, _> = Err(check("newer_v2", 3).unwrap_err());
        assert_eq!(refused.or_older(|| Ok(1)).unwrap_err().code, Code::NotSupported);
    }
}
