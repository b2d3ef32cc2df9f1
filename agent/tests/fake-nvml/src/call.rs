//! Actions at the start of every call, and the encoding of handles.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::memory::At;
use super::{code, state};

/// `nvmlDevice_t` and the other handles.
pub(crate) type Handle = *mut c_void;

/// Number of initialisations, and the driver's generation at the last of them.
static STARTED: AtomicU64 = AtomicU64::new(0);
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Upper bits of a device's handle; below are the generation (8 bits), a hash of the MIG device (16), the device's
/// index (8) and the MIG slot plus one (8).
const DEVICE: u64 = 0x00d0_0000_0000_0000;

/// The place of a device.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) device: usize,
    pub(crate) slot: Option<usize>,
}

impl Place {
    pub(crate) fn handle(self, state: &Value) -> Handle {
        let slot = self.slot.map_or(0, |slot| slot as u64 + 1);
        let generation = generation(state) & 0xff;
        let hash = self.node(state).map_or(0, |node| incarnation(node, self.slot));
        let bits = DEVICE | generation << 32 | hash << 16 | (self.device as u64) << 8 | slot;
        bits as Handle
    }

    pub(crate) fn node(self, state: &Value) -> Option<&Value> {
        let device = state["devices"].get(self.device)?;
        match self.slot {
            None => Some(device),
            Some(slot) => device["mig"]["slots"].get(slot).filter(|slot| !slot.is_null()),
        }
    }
}

fn incarnation(node: &Value, slot: Option<usize>) -> u64 {
    let text = slot.map_or(String::new(), |_| {
        format!("{}{}{}", node["values"]["nvmlDeviceGetUUID"], node["gi"], node["ci"])
    });
    text.bytes()
        .fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
        & 0xffff
}

fn generation(state: &Value) -> u64 {
    state["generation"].as_u64().unwrap_or_default()
}

/// One call.
pub(crate) struct Call {
    pub(crate) function: &'static str,
    pub(crate) state: Arc<Value>,
    place: Option<Place>,
}

impl Call {
    /// A call without a device.
    pub(crate) fn new(function: &'static str) -> Result<Self, c_int> {
        let call = Self::begin(function, None)?;
        if STARTED.load(Ordering::SeqCst) == 0 {
            return Err(code::UNINITIALIZED);
        }
        Ok(call)
    }

    /// A call on a device or a MIG device.
    pub(crate) fn on(function: &'static str, handle: Handle) -> Result<Self, c_int> {
        let bits = handle as u64;
        if bits & 0xffff_0000_0000_0000 != DEVICE & 0xffff_0000_0000_0000 {
            return Err(code::INVALID_ARGUMENT);
        }
        let place = Place {
            device: (bits >> 8 & 0xff) as usize,
            slot: (bits & 0xff).checked_sub(1).map(|slot| slot as usize),
        };
        let call = Self::begin(function, Some(place))?;
        if STARTED.load(Ordering::SeqCst) == 0 {
            return Err(code::UNINITIALIZED);
        }
        let generation = generation(&call.state);
        if GENERATION.load(Ordering::SeqCst) != generation || bits >> 32 & 0xff != generation & 0xff {
            return Err(code::UNKNOWN);
        }
        let node = place.node(&call.state).ok_or(code::INVALID_ARGUMENT)?;
        if bits >> 16 & 0xffff != incarnation(node, place.slot) {
            return Err(code::INVALID_ARGUMENT);
        }
        if call.state["devices"][place.device]["lost"] == true {
            return Err(code::GPU_IS_LOST);
        }
        Ok(call)
    }

    fn begin(function: &'static str, place: Option<Place>) -> Result<Self, c_int> {
        let state = state::read();
        let call = Self { function, state, place };
        if let Ok(mut calls) = File::options().append(true).open(state::beside("calls")) {
            let on = place.map_or(String::new(), |place| format!(" {}", place.device));
            drop(calls.write_all(format!("{function}{on}\n").as_bytes()));
        }
        if let Some(kind) = call.rule("crash") {
            eprintln!("fake libnvidia-ml: {function} crashes");
            if kind == "segv" {
                unsafe { std::ptr::null_mut::<u8>().write_volatile(0) }
            }
            std::process::abort();
        }
        match call.rule("hang") {
            Some(Value::Number(seconds)) => {
                std::thread::sleep(Duration::from_secs_f64(seconds.as_f64().unwrap_or_default()));
            }
            Some(Value::String(once)) if once == "once" && File::create_new(state::beside("hung")).is_err() => {}
            Some(_) => hang(),
            None => {}
        }
        match call.rule("fail").and_then(Value::as_i64) {
            Some(code) => Err(code as c_int),
            None => Ok(call),
        }
    }

    /// From the MIG device, its GPU or the values for all devices.
    fn rule(&self, kind: &str) -> Option<&Value> {
        let gpu = self
            .place
            .and_then(|place| Place { slot: None, ..place }.node(&self.state));
        let own = self.place.and_then(|place| place.node(&self.state));
        [own, gpu, Some(&*self.state)]
            .into_iter()
            .flatten()
            .find_map(|node| node[kind].get(self.function))
    }

    pub(crate) fn place(&self) -> Place {
        self.place.unwrap()
    }

    /// The file's entry of the device, or that for all devices.
    pub(crate) fn node(&self) -> &Value {
        self.place.map_or(&self.state, |place| place.node(&self.state).unwrap())
    }

    /// The value for these arguments.
    pub(crate) fn value(&self, arguments: &[u32]) -> Result<&Value, c_int> {
        let values = &self.node()["values"];
        let base = self.function.rsplit_once("_v").map_or(self.function, |(base, _)| base);
        let value = values.get(self.function).or_else(|| values.get(base));
        let value = value.ok_or(code::NOT_SUPPORTED)?;
        let value = match value {
            Value::Object(by_argument) if !arguments.is_empty() => {
                let words: Vec<_> = arguments.iter().map(u32::to_string).collect();
                by_argument.get(&words.join(",")).ok_or(code::NOT_SUPPORTED)?
            }
            value => value,
        };
        match value {
            Value::Object(object) if object.len() == 1 && object.contains_key("return") => {
                Err(object["return"].as_i64().unwrap_or(i64::from(code::UNKNOWN)) as c_int)
            }
            value => Ok(value),
        }
    }

    /// The numbers of a scalar or an array.
    pub(crate) fn numbers(&self, arguments: &[u32]) -> Result<Vec<u64>, c_int> {
        Ok(match self.value(arguments)? {
            Value::Array(several) => several.iter().map(number).collect(),
            one => vec![number(one)],
        })
    }

    pub(crate) fn text(&self, to: *mut i8, length: u32) -> Result<(), c_int> {
        let text = self.value(&[])?.as_str().unwrap_or_default();
        if At::of(to).text(text, length) {
            Ok(())
        } else {
            Err(code::INSUFFICIENT_SIZE)
        }
    }
}

pub(crate) fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.as_i64().map(|number| number as u64))
        .unwrap_or_default()
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// The return value in C.
pub(crate) fn answer(result: Result<(), c_int>) -> c_int {
    result.err().unwrap_or(code::SUCCESS)
}

pub(crate) fn start(function: &'static str) -> c_int {
    let call = match Call::begin(function, None) {
        Ok(call) => call,
        Err(code) => return code,
    };
    let code = call.state["init"].as_i64().unwrap_or_default() as c_int;
    if code == code::SUCCESS {
        STARTED.fetch_add(1, Ordering::SeqCst);
        GENERATION.store(generation(&call.state), Ordering::SeqCst);
    }
    code
}

pub(crate) fn stop(function: &'static str) -> c_int {
    answer(Call::new(function).map(|_| {
        STARTED.fetch_sub(1, Ordering::SeqCst);
    }))
}
