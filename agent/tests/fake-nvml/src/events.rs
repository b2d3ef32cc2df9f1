//! Events: those that were appended to the file after a device was registered.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::call::{Call, Handle, Place, answer, number};
use super::memory::At;
use super::system::exported;
use super::{code, state};

#[derive(Default)]
struct Set {
    /// A registration: device, kinds of events, and number of events at that time.
    registered: Vec<(usize, u64, usize)>,
    /// Number of events already examined.
    next: usize,
}

static SETS: Mutex<BTreeMap<u64, Set>> = Mutex::new(BTreeMap::new());

const FIRST: u64 = 0x00e0_0000_0000_1000;

fn events(state: &Value) -> &[Value] {
    state["events"].as_array().map_or(&[], Vec::as_slice)
}

/// The next event for this set; `Err` if there is no such set.
fn next(handle: Handle) -> Result<Option<(Value, Handle)>, c_int> {
    let state = state::read();
    let mut sets = SETS.lock().unwrap();
    let set = sets.get_mut(&(handle as u64)).ok_or(code::INVALID_ARGUMENT)?;
    while let Some(event) = events(&state).get(set.next) {
        let (index, device) = (set.next, number(&event["device"]) as usize);
        let kind = event["type"].as_u64().unwrap_or(8);
        set.next += 1;
        // As NVIDIA's own mock does, which delivers an event to the set that waits first.
        let set_of = event["set"].as_u64().map_or(device, |set| set as usize);
        let wanted = |(of, kinds, since): &(usize, u64, usize)| *of == set_of && kinds & kind != 0 && *since <= index;
        if set.registered.iter().any(wanted) {
            let place = Place { device, slot: None };
            return Ok(Some((event.clone(), place.handle(&state))));
        }
    }
    Ok(None)
}

fn wait(name: &'static str, set: Handle, to: *mut c_void, milliseconds: c_uint) -> Result<(), c_int> {
    Call::new(name)?;
    let until = Instant::now() + Duration::from_millis(milliseconds.into());
    loop {
        if let Some((event, device)) = next(set)? {
            let to = At::of(to);
            to.eight(0, device as u64);
            to.eight(8, event["type"].as_u64().unwrap_or(8));
            to.eight(16, number(&event["data"]));
            to.four(24, event["gi"].as_u64().unwrap_or(0xffff_ffff));
            to.four(28, event["ci"].as_u64().unwrap_or(0xffff_ffff));
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(code::TIMEOUT);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

exported! {
    fn nvmlEventSetCreate(to: *mut Handle) {
        Call::new(NAME)?;
        let mut sets = SETS.lock().unwrap();
        let handle = sets.keys().next_back().map_or(FIRST, |last| last + 16);
        sets.insert(handle, Set::default());
        At::of(to).eight(0, handle);
        Ok(())
    }
    fn nvmlDeviceRegisterEvents(device: Handle, kinds: c_ulonglong, set: Handle) {
        let call = Call::on(NAME, device)?;
        let place = call.place();
        let known = call.node()["values"]["nvmlDeviceGetSupportedEventTypes"].as_u64().unwrap_or_default();
        if place.slot.is_some() || kinds & !known != 0 {
            return Err(code::NOT_SUPPORTED);
        }
        let mut sets = SETS.lock().unwrap();
        let set = sets.get_mut(&(set as u64)).ok_or(code::INVALID_ARGUMENT)?;
        set.registered.push((place.device, kinds, events(&call.state).len()));
        Ok(())
    }
    fn nvmlEventSetWait_v2(set: Handle, to: *mut c_void, milliseconds: c_uint) { wait(NAME, set, to, milliseconds) }
    fn nvmlEventSetFree(set: Handle) {
        Call::new(NAME)?;
        SETS.lock().unwrap().remove(&(set as u64)).map(drop).ok_or(code::INVALID_ARGUMENT)
    }
}
