//! Loading and initialisation of the library.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use std::path::{Path, PathBuf};

use nvml_wrapper::FieldIdScheme;
use nvml_wrapper::error::NvmlError as WrapperError;

use super::sys::NvmlLib;
use super::{Device, NvmlError, OrOlder, call, check};

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
    library: Library,
    driver_version: Option<String>,
}

/// The table of the library's functions.
enum Library {
    Wrapped(nvml_wrapper::Nvml),
    /// A library without `nvmlInit_v2`, which the wrapper does not support.
    Bare(NvmlLib),
}

impl Library {
    fn open(path: &Path) -> Result<Self, OpenError> {
        let wrapped = nvml_wrapper::Nvml::builder().lib_path(path.as_os_str()).init();
        wrapped.map(Self::Wrapped).or_else(|error| match error {
            WrapperError::LibloadingError(error) => Err(not_loaded(path, &error)),
            WrapperError::FailedToLoadSymbol(_) => Self::bare(path),
            error => Err(NvmlError::of_wrapper("nvmlInit_v2", &error).into()),
        })
    }

    fn bare(path: &Path) -> Result<Self, OpenError> {
        // SAFETY: loading runs the library's initializers, as the user has configured; this process exists to run that
        // code.
        let library = unsafe { NvmlLib::new(path) }.map_err(|error| not_loaded(path, &error))?;
        // SAFETY: one takes nothing, the other flags.
        let started = match (library.nvmlInit.as_ref(), library.nvmlInitWithFlags.as_ref()) {
            (Ok(init), _) => unsafe { init() },
            (Err(_), Ok(init)) => unsafe { init(0) },
            (Err(_), Err(_)) => return Err(OpenError::Foreign(path.to_owned())),
        };
        check("nvmlInit", started)?;
        Ok(Self::Bare(library))
    }

    fn wrapper(&self) -> Option<&nvml_wrapper::Nvml> {
        match self {
            Self::Wrapped(wrapper) => Some(wrapper),
            Self::Bare(_) => None,
        }
    }
}

fn not_loaded(path: &Path, error: &dyn std::fmt::Display) -> OpenError {
    OpenError::Load {
        path: path.to_owned(),
        why: error.to_string(),
    }
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
        let library = Library::open(path)?;
        let driver_version = library.wrapper().and_then(|wrapper| wrapper.sys_driver_version().ok());
        Ok(Self(Box::leak(Box::new(Loaded {
            library,
            driver_version,
        }))))
    }

    /// The library's functions, each of which may be missing.
    pub(super) fn symbols(self) -> &'static NvmlLib {
        match &self.0.library {
            Library::Wrapped(wrapper) => wrapper.lib(),
            Library::Bare(library) => library,
        }
    }

    /// Version of the kernel driver, e.g. `580.95.05`.
    pub(crate) fn driver_version(self) -> Option<&'static str> {
        self.0.driver_version.as_deref()
    }

    /// Whether field ids 251 to 273 are numbered as from driver 580.82 on.
    pub(super) fn has_new_field_ids(self) -> bool {
        let wrapper = self.0.library.wrapper();
        wrapper.is_some_and(|wrapper| wrapper.field_id_scheme() != FieldIdScheme::V12)
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
        self.0.library.wrapper()?.sys_nvml_version().ok()
    }

    /// CUDA version that the driver supports, e.g. `13.0`.
    pub(crate) fn cuda_version(self) -> Option<String> {
        use nvml_wrapper::{cuda_driver_version_major as major, cuda_driver_version_minor as minor};
        let version = self.0.library.wrapper()?.sys_cuda_driver_version().ok()?;
        Some(format!("{}.{}", major(version), minor(version)))
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
