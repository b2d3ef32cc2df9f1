//! Forwards the versioned names of NVML to the library of PCP's test suite, which has only the names of 2012.
//!
//! That library's process entries have 24 bytes, the layout of today's `_v3` and not of the real function without a
//! version: so `_v3` alone is forwarded to it. Its PCI structure is none that a driver ever had, and is translated.
//! Its path is in a file beside this library, with `.pcp` appended to this one's name; the `libpcp.so.3` that it needs is in the same directory.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::missing_safety_doc,
    clippy::not_unsafe_ptr_arg_deref,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it stands for a library written in C, and ends the process when it is broken"
)]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::Library;

fn library() -> &'static Library {
    static LIBRARY: OnceLock<(Library, Library)> = OnceLock::new();
    let (_, library) = LIBRARY.get_or_init(|| {
        let path = PathBuf::from(std::fs::read_to_string(own_path() + ".pcp").expect("the path of PCP's library"));
        // The loader uses an already loaded library for a dependency of the same name.
        let pcp = unsafe { Library::new(path.with_file_name("libpcp.so.3")) }.unwrap();
        (pcp, unsafe { Library::new(path) }.unwrap())
    });
    library
}

/// Where this library was loaded from. A worker has no variables by which it could be told anything.
fn own_path() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut paths = maps.lines().filter_map(|line| line.split_once('/'));
    let found = paths.find(|(_, path)| path.ends_with("/libnvidia-ml.so.1"));
    format!("/{}", found.expect("it is called as NVML is").1)
}

macro_rules! forwarded {
    ($($name:ident = $old:literal($($argument:ident: $kind:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $kind),*) -> c_int {
            let old = unsafe { library().get::<unsafe extern "C" fn($($kind),*) -> c_int>($old) }.unwrap();
            unsafe { old($($argument),*) }
        }
    )*};
}

forwarded! {
    nvmlInit_v2 = b"nvmlInit\0"();
    nvmlShutdown = b"nvmlShutdown\0"();
    nvmlDeviceGetCount_v2 = b"nvmlDeviceGetCount\0"(count: *mut c_uint);
    nvmlDeviceGetHandleByIndex_v2 = b"nvmlDeviceGetHandleByIndex\0"(index: c_uint, device: *mut *mut c_void);
    nvmlDeviceGetName = b"nvmlDeviceGetName\0"(device: *mut c_void, to: *mut c_char, length: c_uint);
    nvmlDeviceGetFanSpeed = b"nvmlDeviceGetFanSpeed\0"(device: *mut c_void, to: *mut c_uint);
    nvmlDeviceGetTemperature = b"nvmlDeviceGetTemperature\0"(device: *mut c_void, sensor: c_uint, to: *mut c_uint);
    nvmlDeviceGetUtilizationRates = b"nvmlDeviceGetUtilizationRates\0"(device: *mut c_void, to: *mut c_void);
    nvmlDeviceGetMemoryInfo = b"nvmlDeviceGetMemoryInfo\0"(device: *mut c_void, to: *mut c_void);
    nvmlDeviceGetPerformanceState = b"nvmlDeviceGetPerformanceState\0"(device: *mut c_void, to: *mut c_uint);
    nvmlDeviceGetComputeRunningProcesses_v3 =
        b"nvmlDeviceGetComputeRunningProcesses\0"(device: *mut c_void, count: *mut c_uint, to: *mut c_void);
}

/// The library begins the structure with 32 bytes of text where drivers have 16.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetPciInfo_v3(device: *mut c_void, to: *mut c_void) -> c_int {
    type Function = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
    let mut told = [0_u8; 256];
    let old = unsafe { library().get::<Function>(b"nvmlDeviceGetPciInfo\0") }.unwrap();
    let code = unsafe { old(device, told.as_mut_ptr().cast()) };
    let to = to.cast::<u8>();
    unsafe {
        // Domain, bus, device and both ids, then the address as text.
        to.add(16).copy_from_nonoverlapping(told.as_ptr().add(32), 20);
        to.add(36).copy_from_nonoverlapping(told.as_ptr().add(52), 32);
    }
    code
}
