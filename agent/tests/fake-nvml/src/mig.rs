//! GPU instances and compute instances.

use std::ffi::{c_int, c_uint, c_void};

use super::call::{Call, Handle, Place, answer, number};
use super::code;
use super::memory::At;
use super::system::exported;

fn id(name: &'static str, key: &str, device: Handle, to: *mut c_uint) -> Result<(), c_int> {
    let call = Call::on(name, device)?;
    if call.place().slot.is_none() {
        return Err(code::NOT_SUPPORTED);
    }
    At::of(to).four(0, number(&call.node()[key]));
    Ok(())
}

exported! {
    fn nvmlDeviceGetMigMode(device: Handle, now: *mut c_uint, pending: *mut c_uint) {
        let call = Call::on(NAME, device)?;
        let mode = call.node()["mig"]["mode"].as_u64().ok_or(code::NOT_SUPPORTED)?;
        At::of(now).four(0, mode);
        At::of(pending).four(0, call.node()["mig"]["pending"].as_u64().unwrap_or(mode));
        Ok(())
    }
    fn nvmlDeviceGetMaxMigDeviceCount(device: Handle, to: *mut c_uint) {
        let call = Call::on(NAME, device)?;
        let mig = &call.node()["mig"];
        let slots = mig["slots"].as_array().filter(|_| mig["mode"] == 1);
        At::of(to).four(0, slots.map_or(0, |slots| slots.len() as u64));
        Ok(())
    }
    fn nvmlDeviceGetMigDeviceHandleByIndex(device: Handle, index: c_uint, to: *mut Handle) {
        let call = Call::on(NAME, device)?;
        let place = Place { slot: Some(index as usize), ..call.place() };
        if call.node()["mig"]["mode"] != 1 {
            return Err(code::NOT_SUPPORTED);
        }
        place.node(&call.state).ok_or(code::NOT_FOUND)?;
        At::of(to).eight(0, place.handle(&call.state) as u64);
        Ok(())
    }
    fn nvmlDeviceIsMigDeviceHandle(device: Handle, to: *mut c_uint) {
        let call = Call::on(NAME, device)?;
        At::of(to).four(0, u64::from(call.place().slot.is_some()));
        Ok(())
    }
    fn nvmlDeviceGetGpuInstanceId(device: Handle, to: *mut c_uint) { id(NAME, "gi", device, to) }
    fn nvmlDeviceGetComputeInstanceId(device: Handle, to: *mut c_uint) { id(NAME, "ci", device, to) }
    fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device: Handle, to: *mut Handle) {
        let call = Call::on(NAME, device)?;
        let place = Place { slot: None, ..call.place() };
        At::of(to).eight(0, place.handle(&call.state) as u64);
        Ok(())
    }
    // Eight numbers and the memory in MiB.
    fn nvmlDeviceGetAttributes_v2(device: Handle, to: *mut c_void) {
        let call = Call::on(NAME, device)?;
        if call.place().slot.is_none() {
            return Err(code::NOT_SUPPORTED);
        }
        let numbers = call.numbers(&[])?;
        for (index, number) in numbers.iter().take(8).enumerate() {
            At::of(to).four(index * 4, *number);
        }
        At::of(to).eight(32, numbers.get(8).copied().unwrap_or_default());
        Ok(())
    }
}
