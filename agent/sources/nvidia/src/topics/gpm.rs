//! GPU performance monitoring (GPM): utilization of the units of a GPU or of a MIG instance, on Hopper and newer. NVML
//! has no other utilization of instances; on older GPUs (A100) it is unknown.

use crate::key;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::features;
use super::mig::{self, instances, or_gone};
use crate::catalogue::nvidia_parts;
use crate::gpu::Gpu;
use crate::nvml::{Device, GpmSample, NvmlError};
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::metric::Attributes;

/// "The interval between these two calls should be greater than 100ms" (nvml.h 13.5, `nvmlGpmMetricsGet`).
const LEAST: Duration = Duration::from_millis(120);
/// Longest interval: after a longer one, the host was suspended or the GPU was lost.
const MOST: Duration = Duration::from_secs(600);

/// `nvmlGpmMetricId_t`, all of them percentages.
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
    /// GPUs and instances without a sample before this reading.
    fresh: Vec<(Place, Attributes, Device)>,
}

struct Taken {
    sample: GpmSample,
    device: Device,
    /// The library took it between these two.
    begun: Instant,
    ended: Instant,
}

impl Taken {
    /// Time between both, never overestimated: the process may have stood still during either.
    fn since(&self, before: &Self) -> Duration {
        self.begun.saturating_duration_since(before.ended)
    }

    /// Whether both are of the same handle: the library uses a handle again after GPUs were added and removed.
    fn can_follow(&self, before: &Self) -> bool {
        self.device.key() == before.device.key() && self.since(before) <= MOST
    }
}

impl Topic for Gpm {
    fn name(&self) -> &'static str {
        "gpm"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let uuid = Arc::clone(&gpu.uuid);
        let about = (Arc::clone(&uuid), gpu.is_mig);
        if !self.supported.contains_key(&about) {
            let answer = gpu.ask("gpm_support", recorder, Device::has_gpm);
            // A driver without GPM supports it on no GPU.
            let answer = answer.or_else(|| gpu.refuses("gpm_support").then_some(false));
            if let Some(answer) = answer {
                self.supported.insert(about.clone(), answer);
            }
        }
        let Some(is_supported) = self.supported.get(&about).copied() else {
            return;
        };
        features::record(gpu, recorder, "gpm", is_supported);
        let places: BTreeSet<Option<u32>> = match (is_supported, gpu.is_mig) {
            (false, _) => BTreeSet::new(),
            (true, false) => [None].into(),
            (true, true) => instances(gpu, recorder)
                .iter()
                .map(|one| Some(one.gpu_instance))
                .collect(),
        };
        self.before
            .retain(|(of, instance), _| *of != uuid || places.contains(instance));
        for instance in places {
            let field = if instance.is_some() {
                "gpm_mig_sample"
            } else {
                "gpm_sample"
            };
            let taken = gpu.ask(field, recorder, |device| match instance {
                None => take(device, None),
                Some(_) => or_gone(take(device, instance)),
            });
            let place = (Arc::clone(&uuid), instance);
            let (Some(taken), Some(device)) = (taken, gpu.device) else {
                self.before.remove(&place);
                continue;
            };
            match self.before.remove(&place) {
                Some(before) if taken.since(&before) < LEAST => {
                    self.before.insert(place, before);
                    continue;
                }
                Some(before) if taken.can_follow(&before) => {
                    record(&gpu.label, instance, &before.sample, &taken.sample, recorder);
                }
                _ => self.fresh.push((place.clone(), gpu.label.clone(), device)),
            }
            self.before.insert(place, taken);
        }
    }

    /// New GPUs and instances are sampled again a moment later, once for all: otherwise they would have no values until
    /// the next reading.
    fn finish(&mut self, recorder: &mut Recorder) {
        for (place, label, device) in std::mem::take(&mut self.fresh) {
            let Some(before) = self.before.get(&place) else {
                continue;
            };
            std::thread::sleep(LEAST.saturating_sub(before.ended.elapsed()));
            match take(device, place.1) {
                Ok(taken) => {
                    record(&label, place.1, &before.sample, &taken.sample, recorder);
                    self.before.insert(place, taken);
                }
                Err(error) => recorder.skip(format!("gpm_sample.{}", error.code.as_str())),
            }
        }
    }
}

fn record(label: &Attributes, instance: Option<u32>, first: &GpmSample, second: &GpmSample, recorder: &mut Recorder) {
    recorder.now();
    match between(first, second) {
        Ok(shares) => {
            for (unit, share) in shares {
                let more = mig::ids(instance, None).chain([(key::NVIDIA_GPM_UNIT, unit.into())]);
                recorder.gauge(&nvidia_parts::GPM_UTILIZATION, label, more, share);
            }
        }
        Err(error) => recorder.skip(format!("gpm_metrics.{}", error.code.as_str())),
    }
}

fn take(device: Device, instance: Option<u32>) -> Result<Taken, NvmlError> {
    let mut sample = GpmSample::new(device)?;
    let begun = Instant::now();
    sample.fill(instance)?;
    Ok(Taken {
        sample,
        device,
        begun,
        ended: Instant::now(),
    })
}

/// Metrics between two samples, as ratios. Unsupported metrics are left out.
fn between(first: &GpmSample, second: &GpmSample) -> Result<Vec<(&'static str, f64)>, NvmlError> {
    let values = first.metrics_until(second, METRICS.map(|(id, _)| id))?;
    let ratios = METRICS.iter().zip(values).filter_map(|((_, unit), percent)| {
        // A little above 100 is rounding; NaN and other values are invalid.
        let percent = percent.filter(|percent| (0.0..=101.0).contains(percent))?;
        Some((*unit, (percent / 100.0).min(1.0)))
    });
    Ok(ratios.collect())
}
