//! Loading and initialisation of the library.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use std::ffi::c_char;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::sys::NvmlLib;
use super::{Device, NvmlError, OrOlder, call, check, text};

/// Limit of devices; NVML itself supports no machine with as many.
const MOST_DEVICES: u32 = 256;

/// Reason why the library cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The loader failed.
    #[error("{} cannot be loaded: {why}", .path.display())]
    Load {
        /// Name or path of the library.
        path: PathBuf,
        /// The loader's message.
        why: String,
    },
    /// It is another library.
    #[error("{} is no NVML: it has no function nvmlInit", .0.display())]
    Foreign(PathBuf),
    /// Its initialisation failed.
    #[error(transparent)]
    Init(#[from] NvmlError),
}

/// The library, initialised until the process ends.
#[derive(Clone, Copy)]
pub(crate) struct Nvml(&'static Loaded);

struct Loaded {
    library: NvmlLib,
    driver_version: OnceLock<Option<String>>,
}

impl std::fmt::Debug for Nvml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Nvml").field(&self.0.driver_version).finish()
    }
}

impl Nvml {
    /// Loads `path` and initialises it: `nvmlInit_v2`, else `nvmlInit`, else `nvmlInitWithFlags`. Its allocations stay
    /// until the process ends.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        // SAFETY: loading runs the library's initializers, as the user has configured; this process exists to run that
        // code.
        let library = unsafe { NvmlLib::new(path) }.map_err(|error| OpenError::Load {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        let (call, init) = match (library.nvmlInit_v2.as_ref(), library.nvmlInit.as_ref()) {
            (Ok(init), _) => ("nvmlInit_v2", Ok(init)),
            (Err(_), init) => ("nvmlInit", init),
        };
        // SAFETY: two of them take nothing, the third takes flags.
        let started = match (init, library.nvmlInitWithFlags.as_ref()) {
            (Ok(init), _) => unsafe { init() },
            (Err(_), Ok(init)) => unsafe { init(0) },
            (Err(_), Err(_)) => return Err(OpenError::Foreign(path.to_owned())),
        };
        check(call, started)?;
        Ok(Self(Box::leak(Box::new(Loaded {
            library,
            driver_version: OnceLock::new(),
        }))))
    }

    /// The library's functions, each of which may be missing.
    pub(super) fn symbols(self) -> &'static NvmlLib {
        &self.0.library
    }

    /// Version of the kernel driver, e.g. `580.95.05`.
    pub(crate) fn driver_version(self) -> Option<&'static str> {
        let version = || {
            // SAFETY: the function writes at most the length that it is given.
            written(|to, length| unsafe { call!(self, nvmlSystemGetDriverVersion(to, length)) })
        };
        self.0.driver_version.get_or_init(version).as_deref()
    }

    /// Whether field ids 251 to 273 are numbered as from driver 580.82 on.
    pub(super) fn has_new_field_ids(self) -> bool {
        let version = self.driver_version().unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next(), numbers.next()) >= (Some(580), Some(82))
    }

    /// Whether the third version of the process lists has 32 bytes per process, as with drivers 535.43 to 535.86, while
    /// all others have 24: the additional number was moved to `nvmlDeviceGetRunningProcessDetailList` afterwards,
    /// without a new name for the remainder (nvidia-settings, `src/nvml.h` of 530.41.03, 535.43.02 and 535.104.05).
    pub(super) fn has_wide_process_lists(self) -> bool {
        let library = self.symbols();
        library.nvmlDeviceGetConfComputeMemSizeInfo.is_ok() && library.nvmlDeviceGetRunningProcessDetailList.is_err()
    }

    /// Version of NVML, e.g. `13.580.95.05`.
    pub(crate) fn nvml_version(self) -> Option<String> {
        // SAFETY: the function writes at most the length that it is given.
        written(|to, length| unsafe { call!(self, nvmlSystemGetNVMLVersion(to, length)) })
    }

    /// CUDA version that the driver supports, e.g. `13.0`.
    pub(crate) fn cuda_version(self) -> Option<String> {
        let mut version = 0;
        // SAFETY: the function writes one int.
        unsafe { call!(self, nvmlSystemGetCudaDriverVersion_v2(&raw mut version)) }.ok()?;
        Some(format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    /// Number of GPUs, including lost ones.
    pub(crate) fn count(self) -> Result<u32, NvmlError> {
        let mut count = 0;
        // SAFETY: both write one unsigned int.
        unsafe {
            call!(self, nvmlDeviceGetCount_v2(&raw mut count))
                .or_older(|| call!(self, nvmlDeviceGetCount(&raw mut count)))
        }?;
        Ok(count.min(MOST_DEVICES))
    }

    /// The GPU of that index, which is NVML's order and may change with a reboot.
    pub(crate) fn device(self, index: u32) -> Result<Device, NvmlError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: both write one handle.
        unsafe {
            call!(self, nvmlDeviceGetHandleByIndex_v2(index, &raw mut handle))
                .or_older(|| call!(self, nvmlDeviceGetHandleByIndex(index, &raw mut handle)))
        }?;
        Ok(Device::new(self, handle))
    }
}

/// Text that a function of the library writes about the library or its driver.
fn written(write: impl FnOnce(*mut c_char, u32) -> Result<(), NvmlError>) -> Option<String> {
    const LENGTH: u32 = 96;
    let mut buffer = [0; LENGTH as usize];
    write(buffer.as_mut_ptr(), LENGTH).ok()?;
    text(&buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_nvml_is_said_to_be_none() {
        let error = Nvml::open(Path::new("/nonexistent/libnvidia-ml.so.1")).unwrap_err();
        assert!(matches!(error, OpenError::Load { .. }), "{error}");
        let error = Nvml::open(Path::new("libc.so.6")).unwrap_err();
        assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    }
}
