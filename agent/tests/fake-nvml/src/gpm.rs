//! GPU performance monitoring: metrics between two samples.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::call::{Call, Handle, answer};
use super::memory::At;
use super::system::exported;
use super::{code, forbidden};

struct Sample {
    device: usize,
    instance: Option<u64>,
    time: Instant,
    metrics: Value,
}

/// Samples by handle; `None` is allocated and not yet filled.
static SAMPLES: Mutex<BTreeMap<u64, Option<Sample>>> = Mutex::new(BTreeMap::new());

const FIRST: u64 = 0x00a0_0000_0000_1000;
/// More than a program without a leak allocates.
const MOST: usize = 4096;

fn fill(call: &Call, sample: Handle, instance: Option<u64>, metrics: &Value) -> Result<(), c_int> {
    let mut samples = SAMPLES.lock().unwrap();
    let filled = samples.get_mut(&(sample as u64)).ok_or(code::INVALID_ARGUMENT)?;
    *filled = Some(Sample {
        device: call.place().device,
        instance,
        time: Instant::now(),
        metrics: metrics.clone(),
    });
    Ok(())
}

fn supported(node: &Value) -> Result<&Value, c_int> {
    let gpm = &node["gpm"];
    if gpm["supported"] == 1 {
        Ok(gpm)
    } else {
        Err(code::NOT_SUPPORTED)
    }
}

fn between(first: &Sample, second: &Sample, id: u32) -> Option<f64> {
    let key = id.to_string();
    match &second.metrics[&key] {
        Value::Object(total) => {
            let before = first.metrics[&key]["total"].as_f64().unwrap_or_default();
            Some(total["total"].as_f64().unwrap_or_default() - before)
        }
        value => value.as_f64(),
    }
}

exported! {
    fn nvmlGpmQueryDeviceSupport(device: Handle, to: *mut c_void) {
        let call = Call::on(NAME, device)?;
        if At::of(to).get_four(0) != 1 {
            return Err(code::ARGUMENT_VERSION_MISMATCH);
        }
        At::of(to).four(4, call.state["devices"][call.place().device]["gpm"]["supported"].as_u64().unwrap_or_default());
        Ok(())
    }
    fn nvmlGpmSampleAlloc(to: *mut Handle) {
        Call::new(NAME)?;
        let mut samples = SAMPLES.lock().unwrap();
        if samples.len() > MOST {
            forbidden("GPM samples are allocated and never freed");
        }
        let handle = samples.keys().next_back().map_or(FIRST, |last| last + 16);
        samples.insert(handle, None);
        At::of(to).eight(0, handle);
        Ok(())
    }
    fn nvmlGpmSampleFree(sample: Handle) {
        Call::new(NAME)?;
        SAMPLES.lock().unwrap().remove(&(sample as u64)).map(drop).ok_or(code::INVALID_ARGUMENT)
    }
    fn nvmlGpmSampleGet(device: Handle, sample: Handle) {
        let call = Call::on(NAME, device)?;
        let gpm = supported(call.node())?;
        fill(&call, sample, None, &gpm["metrics"])
    }
    fn nvmlGpmMigSampleGet(device: Handle, instance: c_uint, sample: Handle) {
        let call = Call::on(NAME, device)?;
        let gpm = supported(call.node())?;
        let metrics = gpm["instances"].get(instance.to_string()).ok_or(code::INVALID_ARGUMENT)?;
        fill(&call, sample, Some(instance.into()), metrics)
    }
    fn nvmlGpmMetricsGet(to: *mut c_void) {
        Call::new(NAME)?;
        let to = At::of(to);
        if to.get_four(0) != 1 {
            return Err(code::ARGUMENT_VERSION_MISMATCH);
        }
        let samples = SAMPLES.lock().unwrap();
        let sample = |offset| samples.get(&to.get_eight(offset)).and_then(Option::as_ref).ok_or(code::INVALID_ARGUMENT);
        let (first, second) = (sample(8)?, sample(16)?);
        if (first.device, first.instance) != (second.device, second.instance) {
            forbidden("GPM samples of two devices or instances are compared");
        }
        if second.time.saturating_duration_since(first.time) <= Duration::from_millis(100) {
            forbidden("GPM samples that are not more than 100 ms apart are compared");
        }
        for index in 0..to.get_four(4) as usize {
            let metric = to.after(24 + index * 40);
            match between(first, second, metric.get_four(0)) {
                Some(value) => {
                    metric.four(4, 0);
                    metric.double(8, value);
                }
                None => metric.four(4, code::NOT_SUPPORTED as u64),
            }
        }
        Ok(())
    }
}
