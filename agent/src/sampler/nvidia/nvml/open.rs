//! Loading and starting the library.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use std::ffi::c_char;
use std::path::{Path, PathBuf};

use super::sys::{self, NvmlLib};
use super::{Device, NvmlError, OrOlder, call, text};

/// Most devices that are looked at; NVML itself knows no machine with as many.
const MOST_DEVICES: u32 = 256;

/// First driver with the field ids 251 to 273 in their new order (NVML's "known issues").
const RENUMBERED: (u32, u32) = (580, 82);

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::sampler::nvidia) enum OpenError {
    /// The loader refused it.
    #[error("{} cannot be loaded: {why}", .path.display())]
    Load {
        /// What was loaded.
        path: PathBuf,
        /// The loader's words.
        why: String,
    },
    /// It is another library.
    #[error("{} is no NVML: it has no function nvmlInit", .0.display())]
    Foreign(PathBuf),
    /// It does not start.
    #[error(transparent)]
    Init(#[from] NvmlError),
}

/// The library, started, until the process ends.
#[derive(Clone, Copy)]
pub(in crate::sampler::nvidia) struct Nvml(&'static Loaded);

struct Loaded {
    library: NvmlLib,
    driver_version: Option<String>,
    has_new_field_ids: bool,
}

impl std::fmt::Debug for Nvml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Nvml").field(&self.0.driver_version).finish()
    }
}

impl Nvml {
    /// Loads `path` and starts it: `nvmlInit_v2`, else `nvmlInit`, else `nvmlInitWithFlags`. What it allocates stays
    /// until the process ends.
    pub(in crate::sampler::nvidia) fn open(path: &Path) -> Result<Self, OpenError> {
        // SAFETY: loading runs the library's initializers, which is what the user asked for; this process exists to
        // run that code.
        let library = unsafe { NvmlLib::new(path) }.map_err(|error| OpenError::Load {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        if library.nvmlInit_v2.is_err() && library.nvmlInit.is_err() && library.nvmlInitWithFlags.is_err() {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        let loaded: &'static mut Loaded = Box::leak(Box::new(Loaded {
            library,
            driver_version: None,
            has_new_field_ids: false,
        }));
        // Borrowed again at the end, when nothing else uses it.
        Self::start(&loaded.library)?;
        let version = driver_version(&loaded.library);
        loaded.has_new_field_ids = version.as_deref().is_some_and(is_renumbered);
        loaded.driver_version = version;
        Ok(Self(loaded))
    }

    fn start(library: &NvmlLib) -> Result<(), NvmlError> {
        let library = Bare(library);
        // SAFETY: these take nothing, and flags.
        unsafe {
            call!(library, nvmlInit_v2())
                .or_older(|| call!(library, nvmlInit()))
                .or_older(|| call!(library, nvmlInitWithFlags(0)))
        }
    }

    /// The library's functions; each is there or not.
    pub(in crate::sampler::nvidia) fn symbols(self) -> &'static NvmlLib {
        &self.0.library
    }

    /// Version of the kernel driver, e.g. `580.95.05`.
    pub(in crate::sampler::nvidia) fn driver_version(self) -> Option<&'static str> {
        self.0.driver_version.as_deref()
    }

    /// Whether field ids 251 to 273 are numbered as from driver 580.82 on.
    pub(super) fn has_new_field_ids(self) -> bool {
        self.0.has_new_field_ids
    }

    /// Whether the third version of the process lists writes 32 bytes a process, as with drivers 535.43 to 535.86, where
    /// all others write 24: the additional number moved to `nvmlDeviceGetRunningProcessDetailList` afterwards, without
    /// another name for what remained (nvidia-settings, `src/nvml.h` of 530.41.03, 535.43.02 and 535.104.05).
    pub(in crate::sampler::nvidia) fn has_wide_process_lists(self) -> bool {
        let library = self.symbols();
        library.nvmlDeviceGetConfComputeMemSizeInfo.is_ok() && library.nvmlDeviceGetRunningProcessDetailList.is_err()
    }

    /// Version of NVML, e.g. `13.580.95.05`.
    pub(in crate::sampler::nvidia) fn nvml_version(self) -> Result<Option<String>, NvmlError> {
        let mut buffer: [c_char; sys::NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE as usize] = [0; _];
        // SAFETY: it writes at most as much as it is told, a zero at the end included.
        unsafe { call!(self, nvmlSystemGetNVMLVersion(buffer.as_mut_ptr(), buffer.len() as u32)) }?;
        Ok(text(&buffer))
    }

    /// CUDA version that the driver supports, e.g. `13.0`.
    pub(in crate::sampler::nvidia) fn cuda_version(self) -> Result<String, NvmlError> {
        let mut version = 0;
        // SAFETY: both write one int.
        unsafe {
            call!(self, nvmlSystemGetCudaDriverVersion_v2(&raw mut version))
                .or_older(|| call!(self, nvmlSystemGetCudaDriverVersion(&raw mut version)))
        }?;
        Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    /// How many GPUs there are, lost ones included.
    pub(in crate::sampler::nvidia) fn count(self) -> Result<u32, NvmlError> {
        let mut count = 0;
        // SAFETY: both write one unsigned int.
        unsafe {
            call!(self, nvmlDeviceGetCount_v2(&raw mut count))
                .or_older(|| call!(self, nvmlDeviceGetCount(&raw mut count)))
        }?;
        Ok(count.min(MOST_DEVICES))
    }

    /// The GPU of that index, which is NVML's order and may be another after a reboot.
    pub(in crate::sampler::nvidia) fn device(self, index: u32) -> Result<Device, NvmlError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: both write one handle.
        unsafe {
            call!(self, nvmlDeviceGetHandleByIndex_v2(index, &raw mut handle))
                .or_older(|| call!(self, nvmlDeviceGetHandleByIndex(index, &raw mut handle)))
        }?;
        Ok(Device::new(self, handle))
    }
}

/// So that `call!` works before there is an [`Nvml`].
#[derive(Clone, Copy)]
struct Bare<'a>(&'a NvmlLib);

impl<'a> Bare<'a> {
    fn symbols(self) -> &'a NvmlLib {
        self.0
    }
}

fn driver_version(library: &NvmlLib) -> Option<String> {
    let library = Bare(library);
    let mut buffer: [c_char; sys::NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE as usize] = [0; _];
    // SAFETY: it writes at most as much as it is told, a zero at the end included.
    unsafe {
        call!(
            library,
            nvmlSystemGetDriverVersion(buffer.as_mut_ptr(), buffer.len() as u32)
        )
    }
    .ok()?;
    text(&buffer)
}

fn is_renumbered(driver: &str) -> bool {
    let mut numbers = driver.split('.').map_while(|number| number.parse::<u32>().ok());
    let major = numbers.next().unwrap_or(0);
    (major, numbers.next().unwrap_or(0)) >= RENUMBERED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_tells_how_fields_are_numbered() {
        for (version, new) in [
            ("580.65.06", false),
            ("580.82.07", true),
            ("581.0", true),
            ("570.86.16", false),
            ("595.45.04", true),
            ("", false),
            ("weird", false),
        ] {
            assert_eq!(is_renumbered(version), new, "{version}");
        }
    }

    #[test]
    fn what_is_no_nvml_is_said_to_be_none() {
        let error = Nvml::open(Path::new("/nonexistent/libnvidia-ml.so.1")).unwrap_err();
        assert!(matches!(error, OpenError::Load { .. }), "{error}");
        let error = Nvml::open(Path::new("libc.so.6")).unwrap_err();
        assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    }
}
