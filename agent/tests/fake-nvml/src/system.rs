//! Functions of the library and the driver, and enumeration of devices.

use std::ffi::{CStr, c_char, c_int, c_uint};

use super::call::{Call, Handle, Place, answer, start, stop};
use super::code;
use super::memory::At;

macro_rules! exported {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $kind:ty),*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $kind),*) -> c_int {
            #[allow(dead_code, reason = "not every function asks")]
            const NAME: &str = stringify!($name);
            let run = || -> Result<(), c_int> { $body };
            answer(run())
        }
    )*};
}
pub(crate) use exported;

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> c_int {
    start("nvmlInit_v2")
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_: c_uint) -> c_int {
    start("nvmlInitWithFlags")
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> c_int {
    stop("nvmlShutdown")
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(_: c_int) -> *const c_char {
    c"an error of the fake".as_ptr()
}

fn count(function: &'static str, to: *mut c_uint) -> Result<(), c_int> {
    let call = Call::new(function)?;
    let count = call.state["devices"].as_array().map_or(0, Vec::len);
    At::of(to).four(0, count as u64);
    Ok(())
}

fn by_index(function: &'static str, index: c_uint, to: *mut Handle) -> Result<(), c_int> {
    let call = Call::new(function)?;
    let place = Place {
        device: index as usize,
        slot: None,
    };
    let device = place.node(&call.state).ok_or(code::INVALID_ARGUMENT)?;
    if let Some(code) = device["fail"][function].as_i64() {
        return Err(code as c_int);
    }
    if device["lost"] == true {
        return Err(code::GPU_IS_LOST);
    }
    At::of(to).eight(0, place.handle(&call.state) as u64);
    Ok(())
}

fn by_text(function: &'static str, key: &str, text: *const c_char, to: *mut Handle) -> Result<(), c_int> {
    let call = Call::new(function)?;
    let wanted = unsafe { CStr::from_ptr(text) }.to_str().unwrap();
    for device in 0..call.state["devices"].as_array().map_or(0, Vec::len) {
        let slots = call.state["devices"][device]["mig"]["slots"]
            .as_array()
            .map_or(0, Vec::len);
        for slot in std::iter::once(None).chain((0..slots).map(Some)) {
            let place = Place { device, slot };
            if place
                .node(&call.state)
                .is_some_and(|node| node["values"][key] == wanted)
            {
                At::of(to).eight(0, place.handle(&call.state) as u64);
                return Ok(());
            }
        }
    }
    Err(code::NOT_FOUND)
}

exported! {
    fn nvmlDeviceGetCount_v2(to: *mut c_uint) { count(NAME, to) }
    fn nvmlDeviceGetCount(to: *mut c_uint) { count(NAME, to) }
    fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, to: *mut Handle) { by_index(NAME, index, to) }
    fn nvmlDeviceGetHandleByIndex(index: c_uint, to: *mut Handle) { by_index(NAME, index, to) }
    fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, to: *mut Handle) { by_text(NAME, "nvmlDeviceGetUUID", uuid, to) }
    fn nvmlDeviceGetHandleByPciBusId_v2(address: *const c_char, to: *mut Handle) {
        by_text(NAME, "nvmlDeviceGetPciInfo", address, to)
    }
    fn nvmlSystemGetDriverVersion(to: *mut c_char, length: c_uint) { Call::new(NAME)?.text(to, length) }
    fn nvmlSystemGetNVMLVersion(to: *mut c_char, length: c_uint) { Call::new(NAME)?.text(to, length) }
    fn nvmlSystemGetCudaDriverVersion(to: *mut c_int) {
        At::of(to).four(0, Call::new(NAME)?.numbers(&[])?[0]);
        Ok(())
    }
    fn nvmlSystemGetCudaDriverVersion_v2(to: *mut c_int) {
        At::of(to).four(0, Call::new(NAME)?.numbers(&[])?[0]);
        Ok(())
    }
    fn nvmlSystemGetProcessName(pid: c_uint, to: *mut c_char, length: c_uint) {
        Call::new(NAME)?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).map_err(|_| code::NOT_FOUND)?;
        let name: Vec<u8> = line.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let mut name = String::from_utf8_lossy(&name).into_owned();
        name.truncate((length as usize).saturating_sub(1));
        At::of(to).text(&name, length);
        Ok(())
    }
}
