//! GPU performance monitoring (GPM): how busy the parts of a GPU or of a MIG instance are, on Hopper and newer. Nothing
//! else in NVML tells how busy an instance is; on older GPUs (A100) it cannot be known.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::features;
use super::mig::{self, instances, or_gone};
use crate::gpu::Gpu;
use crate::nvml::sys::{self, nvmlGpmMetric_t, nvmlGpmSample_t};
use crate::nvml::{Code, Device, NvmlError, call, check};
use crate::sheet::Sheet;
use crate::topic::Topic;
use accelscope_core::metric::catalogue::nvidia_parts;
use accelscope_core::metric::{Attributes, Point, key};

/// "The interval between these two calls should be greater than 100ms" (nvml.h 13.5, `nvmlGpmMetricsGet`).
const LEAST: Duration = Duration::from_millis(120);
/// A longer interval is none that anybody asked for: the host slept, or the GPU was away.
const MOST: Duration = Duration::from_secs(600);

/// `nvmlGpmMetricId_t`, percentages all.
const METRICS: [(u32, &str); 13] = [
    (1, "graphics"),
    (2, "sm"),
    (3, "sm_occupancy"),
    (4, "integer"),
    (5, "tensor"),
    (6, "tensor_dfma"),
    (7, "tensor_hmma"),
    (8, "tensor_dmma"),
    (9, "tensor_imma"),
    (10, "dram"),
    (11, "fp64"),
    (12, "fp32"),
    (13, "fp16"),
];

/// A GPU or a GPU instance of it.
type Place = (Arc<str>, Option<u32>);

/// Compares each sample with the one before.
#[derive(Default)]
pub(super) struct Gpm {
    supported: HashMap<(Arc<str>, bool), bool>,
    before: HashMap<Place, Taken>,
    /// Those without a sample before this reading.
    fresh: Vec<(Place, Attributes, Device)>,
}

struct Taken {
    sample: Sample,
    at: Instant,
}

impl Topic for Gpm {
    fn name(&self) -> &'static str {
        "gpm"
    }

    fn read(&mut self, gpu: &mut Gpu, sheet: &mut Sheet) {
        let uuid = Arc::clone(&gpu.uuid);
        let about = (Arc::clone(&uuid), gpu.is_mig);
        if !self.supported.contains_key(&about) {
            let answer = gpu.ask("gpm_support", sheet, is_supported);
            // A driver that does not know GPM has none.
            let answer = answer.or_else(|| gpu.refuses("gpm_support").then_some(false));
            if let Some(answer) = answer {
                self.supported.insert(about.clone(), answer);
            }
        }
        let Some(is_supported) = self.supported.get(&about).copied() else {
            return;
        };
        features::say(gpu, sheet, "gpm", is_supported);
        let places: BTreeSet<Option<u32>> = match (is_supported, gpu.is_mig) {
            (false, _) => BTreeSet::new(),
            (true, false) => [None].into(),
            (true, true) => instances(gpu, sheet).iter().map(|one| Some(one.gpu_instance)).collect(),
        };
        self.before
            .retain(|(of, instance), _| *of != uuid || places.contains(instance));
        for instance in places {
            let field = if instance.is_some() {
                "gpm_mig_sample"
            } else {
                "gpm_sample"
            };
            let taken = gpu.ask(field, sheet, |device| match instance {
                None => take(device, None),
                Some(_) => or_gone(take(device, instance)),
            });
            let place = (Arc::clone(&uuid), instance);
            let (Some(taken), Some(device)) = (taken, gpu.device) else {
                self.before.remove(&place);
                continue;
            };
            match self.before.remove(&place) {
                Some(before) if taken.at.duration_since(before.at) < LEAST => {
                    self.before.insert(place, before);
                    continue;
                }
                Some(before) if taken.at.duration_since(before.at) <= MOST => {
                    tell(&gpu.label, instance, &before.sample, &taken.sample, sheet);
                }
                _ => self.fresh.push((place.clone(), gpu.label.clone(), device)),
            }
            self.before.insert(place, taken);
        }
    }

    /// What was read for the first time is read again a moment later, once for all: else nothing would be known of it
    /// until the next reading.
    fn finish(&mut self, sheet: &mut Sheet) {
        for (place, label, device) in std::mem::take(&mut self.fresh) {
            let Some(before) = self.before.get(&place) else {
                continue;
            };
            std::thread::sleep(LEAST.saturating_sub(before.at.elapsed()));
            match take(device, place.1) {
                Ok(taken) => {
                    tell(&label, place.1, &before.sample, &taken.sample, sheet);
                    self.before.insert(place, taken);
                }
                Err(error) => sheet.skip(format!("gpm_sample.{}", error.code.as_str())),
            }
        }
    }
}

fn tell(label: &Attributes, instance: Option<u32>, first: &Sample, second: &Sample, sheet: &mut Sheet) {
    let time = sheet.now();
    match between(first, second) {
        Ok(shares) => {
            for (unit, share) in shares {
                let more = mig::ids(instance, None).chain([(key::NVIDIA_GPM_UNIT, unit.into())]);
                sheet.push(Point {
                    instrument: &nvidia_parts::GPM_UTILIZATION,
                    attributes: label.with(more).into(),
                    owner: None,
                    value: share.into(),
                    time,
                    start: None,
                });
            }
        }
        Err(error) => sheet.skip(format!("gpm_metrics.{}", error.code.as_str())),
    }
}

fn is_supported(device: Device) -> Result<bool, NvmlError> {
    let mut support = sys::nvmlGpmSupport_t {
        version: sys::NVML_GPM_SUPPORT_VERSION,
        isSupportedDevice: 0,
    };
    // SAFETY: it reads and writes the structure that its version says.
    unsafe {
        call!(
            device.nvml(),
            nvmlGpmQueryDeviceSupport(device.handle(), &raw mut support)
        )
    }?;
    Ok(support.isSupportedDevice == 1)
}

fn take(device: Device, instance: Option<u32>) -> Result<Taken, NvmlError> {
    let sample = Sample::new(device)?;
    // Measured before the later sample and after the earlier one, the interval is never thought too long.
    let asked = Instant::now();
    let nvml = device.nvml();
    // SAFETY: both handles are the library's; an instance that is gone is an error.
    unsafe {
        match instance {
            None => call!(nvml, nvmlGpmSampleGet(device.handle(), sample.handle)),
            Some(id) => call!(nvml, nvmlGpmMigSampleGet(device.handle(), id, sample.handle)),
        }
    }?;
    Ok(Taken { sample, at: asked })
}

/// A request with room for more metrics than the bindings know: the structure grew from 210 of them in nvml.h 13.0 to 477
/// in 13.5 (`NVML_GPM_METRIC_MAX`) while its version stayed 1.
#[repr(C)]
struct Room {
    request: sys::nvmlGpmMetricsGet_t,
    _more: [nvmlGpmMetric_t; 400],
}

/// What the GPU did between two samples, in shares. A metric that it does not know is left out.
fn between(first: &Sample, second: &Sample) -> Result<Vec<(&'static str, f64)>, NvmlError> {
    let empty = nvmlGpmMetric_t {
        metricId: 0,
        nvmlReturn: sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN,
        value: 0.0,
        metricInfo: sys::nvmlGpmMetric_t__bindgen_ty_1 {
            shortName: std::ptr::null_mut(),
            longName: std::ptr::null_mut(),
            unit: std::ptr::null_mut(),
        },
    };
    let request = sys::nvmlGpmMetricsGet_t {
        version: sys::NVML_GPM_METRICS_GET_VERSION,
        numMetrics: METRICS.len() as u32,
        sample1: first.handle,
        sample2: second.handle,
        metrics: [empty; _],
    };
    let mut room = Room {
        request,
        _more: [empty; _],
    };
    for (metric, (id, _)) in room.request.metrics.iter_mut().zip(METRICS) {
        metric.metricId = id;
    }
    let to: *mut Room = &raw mut room;
    // SAFETY: both samples are filled, and it writes the metrics that are asked for; there is room for all.
    unsafe { call!(first.device.nvml(), nvmlGpmMetricsGet(to.cast())) }?;
    let request = room.request;
    let told = METRICS.iter().zip(&request.metrics).filter_map(|((_, unit), metric)| {
        check("nvmlGpmMetricsGet", metric.nvmlReturn).ok()?;
        // A little above 100 is rounding; NaN and the rest are nothing.
        let is_share = (0.0..=101.0).contains(&metric.value);
        is_share.then(|| (*unit, (metric.value / 100.0).min(1.0)))
    });
    Ok(told.collect())
}

/// Room for a sample, freed when it is dropped.
struct Sample {
    device: Device,
    handle: nvmlGpmSample_t,
}

// SAFETY: an opaque pointer of the library, which may be called by any thread.
unsafe impl Send for Sample {}

impl Sample {
    fn new(device: Device) -> Result<Self, NvmlError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: it writes one handle.
        unsafe { call!(device.nvml(), nvmlGpmSampleAlloc(&raw mut handle)) }?;
        if handle.is_null() {
            return Err(NvmlError {
                call: "nvmlGpmSampleAlloc",
                code: Code::Memory,
            });
        }
        Ok(Self { device, handle })
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's and used no more.
        let freed = unsafe { call!(self.device.nvml(), nvmlGpmSampleFree(self.handle)) };
        if let Err(error) = freed {
            tracing::debug!(%error, "a sample of the GPU was not freed");
        }
    }
}
