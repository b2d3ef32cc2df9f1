//! Lists: processes, their utilization, and the driver's sample buffers.

use std::ffi::{c_int, c_uint, c_ulonglong, c_void};

use serde_json::Value;

use super::call::{Call, Handle, answer, number};
use super::code;
use super::memory::At;
use super::system::exported;

const NONE: u64 = 0xffff_ffff;

fn list<'a>(node: &'a Value, key: &str) -> &'a [Value] {
    node[key].as_array().map_or(&[], Vec::as_slice)
}

/// Entries of one process list; a list that the file lacks is not supported.
fn processes(
    name: &'static str,
    kind: &str,
    device: Handle,
    count: *mut c_uint,
    to: *mut c_void,
    size: usize,
) -> Result<(), c_int> {
    let call = Call::on(name, device)?;
    let node = call.node();
    if node.get(kind).is_none() {
        return Err(code::NOT_SUPPORTED);
    }
    // Without an error, as the drivers 535.43 to 535.86 do.
    let size = if name.ends_with("_v3") && call.state["wide"] == true {
        32
    } else {
        size
    };
    let processes = list(node, kind);
    let room = At::of(count).get_four(0) as usize;
    if room < processes.len() {
        let says = node["says"][kind].as_u64().unwrap_or(processes.len() as u64);
        At::of(count).four(0, says);
        return Err(code::INSUFFICIENT_SIZE);
    }
    At::of(count).four(0, processes.len() as u64);
    for (index, process) in processes.iter().enumerate() {
        let at = At::of(to).after(index * size);
        at.four(0, number(&process["pid"]));
        // NVML_VALUE_NOT_AVAILABLE
        at.eight(8, process["memory"].as_u64().unwrap_or(u64::MAX));
        if size >= 24 {
            at.four(16, process["gi"].as_u64().unwrap_or(NONE));
            at.four(20, process["ci"].as_u64().unwrap_or(NONE));
        }
    }
    Ok(())
}

macro_rules! process_lists {
    ($($name:ident $kind:literal $size:literal;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(device: Handle, count: *mut c_uint, to: *mut c_void) -> c_int {
            answer(processes(stringify!($name), $kind, device, count, to, $size))
        }
    )*};
}

process_lists! {
    nvmlDeviceGetComputeRunningProcesses "compute" 16;
    nvmlDeviceGetComputeRunningProcesses_v2 "compute" 24;
    nvmlDeviceGetComputeRunningProcesses_v3 "compute" 24;
    nvmlDeviceGetGraphicsRunningProcesses "graphics" 16;
    nvmlDeviceGetGraphicsRunningProcesses_v2 "graphics" 24;
    nvmlDeviceGetGraphicsRunningProcesses_v3 "graphics" 24;
    nvmlDeviceGetMPSComputeRunningProcesses "mps" 16;
    nvmlDeviceGetMPSComputeRunningProcesses_v2 "mps" 24;
    nvmlDeviceGetMPSComputeRunningProcesses_v3 "mps" 24;
}

exported! {
    fn nvmlDeviceGetConfComputeMemSizeInfo(device: Handle, _to: *mut c_void) {
        Call::on(NAME, device)?;
        Err(code::NOT_SUPPORTED)
    }

    fn nvmlDeviceGetRunningProcessDetailList(device: Handle, _to: *mut c_void) {
        Call::on(NAME, device)?;
        Err(code::NOT_SUPPORTED)
    }

    fn nvmlDeviceGetProcessUtilization(device: Handle, to: *mut c_void, count: *mut c_uint, since: c_ulonglong) {
        let call = Call::on(NAME, device)?;
        let node = call.node();
        if node.get("utilization").is_none() || node["mig"]["mode"] == 1 {
            return Err(code::NOT_SUPPORTED);
        }
        let all = list(node, "utilization");
        let newer: Vec<&Value> = all.iter().filter(|sample| number(&sample["time"]) > since).collect();
        let room = At::of(count).get_four(0) as usize;
        if newer.is_empty() {
            return Err(code::NOT_FOUND);
        }
        let says = node["says"]["utilization"].as_u64().unwrap_or(newer.len() as u64);
        if At::of(to).is_null() || room < newer.len() {
            At::of(count).four(0, says);
            return Err(code::INSUFFICIENT_SIZE);
        }
        At::of(count).four(0, newer.len() as u64);
        for (index, sample) in newer.iter().enumerate() {
            let at = At::of(to).after(index * 32);
            at.four(0, number(&sample["pid"]));
            at.eight(8, number(&sample["time"]));
            for (place, key) in ["sm", "memory", "encoder", "decoder"].iter().enumerate() {
                at.four(16 + place * 4, number(&sample[*key]));
            }
        }
        Ok(())
    }

    fn nvmlDeviceGetSamples(
        device: Handle,
        kind: c_uint,
        since: c_ulonglong,
        value_type: *mut c_uint,
        count: *mut c_uint,
        to: *mut c_void
    ) {
        let call = Call::on(NAME, device)?;
        let node = call.node();
        let samples = &node["samples"][kind.to_string()];
        let mig = node["mig"]["mode"] == 1 && [1, 2, 3, 4].contains(&kind);
        let samples = samples.as_array().filter(|_| !mig).ok_or(code::NOT_SUPPORTED)?;
        At::of(value_type).four(0, 1);
        if At::of(to).is_null() {
            At::of(count).four(0, samples.len() as u64);
            return Ok(());
        }
        let room = At::of(count).get_four(0) as usize;
        if room == 0 {
            return Err(code::INVALID_ARGUMENT);
        }
        let newer: Vec<&Value> = samples.iter().filter(|sample| number(&sample[0]) > since).take(room).collect();
        if newer.is_empty() {
            return Err(code::NOT_FOUND);
        }
        for (index, sample) in newer.iter().enumerate() {
            At::of(to).eight(index * 16, number(&sample[0]));
            // Only four bytes of the union are the value.
            At::of(to).eight(index * 16 + 8, 0x5555_5555_0000_0000 | number(&sample[1]));
        }
        At::of(count).four(0, newer.len() as u64);
        Ok(())
    }
}
