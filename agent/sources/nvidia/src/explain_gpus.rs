//! Findings about single GPUs.

use std::collections::{BTreeMap, BTreeSet};

use super::NAME;
use super::catalogue::{nvidia, nvidia_parts};
use super::fault::{Fault, Severity};
use super::key;
use accelscope_core::metric::{Attributes, Batch, Point, Value};
use accelscope_core::sampler::Finding;

/// What to do about calls that hang or crash.
pub(super) const HUNG_REMEDY: &str = "what hangs is left alone by the running agent, which shows it as \
     nvidia.reading.suspended; look at `dmesg` for NVRM lines, drain the node and reset the GPU (`nvidia-smi -r`) or reboot";

/// The GPUs of one reading.
#[derive(Debug, Default)]
pub(super) struct SeenGpus {
    by_id: BTreeMap<String, Seen>,
    /// Number of GPUs that the driver lists.
    listed: usize,
}

#[derive(Debug, Default)]
struct Seen {
    index: Option<i64>,
    /// Its address and model, where they are known.
    about: Vec<String>,
    has_failed: bool,
    faults: BTreeSet<Fault>,
    /// Groups of readings that are suspended, with the reason.
    suspended: BTreeSet<(String, String)>,
}

impl SeenGpus {
    pub(super) fn of(batches: &[Batch]) -> Self {
        let mut all = Self::default();
        for point in batches.iter().flat_map(|batch| &batch.points) {
            if let (true, Value::Int(count)) = (point.instrument.name == nvidia::DEVICES.name, &point.value) {
                all.listed = usize::try_from(*count).unwrap_or_default();
            }
            if let Some(id) = point.attributes.text(key::HW_ID) {
                all.by_id.entry(id.to_owned()).or_default().add(point);
            }
        }
        // Counters of a GPU that is no longer there.
        all.by_id.retain(|_, gpu| gpu.index.is_some());
        all
    }

    pub(super) fn count(&self) -> usize {
        self.listed.max(self.by_id.len())
    }

    /// Number of GPUs that do not work or are not read.
    pub(super) fn failed(&self) -> usize {
        let works = |gpu: &&Seen| !gpu.has_failed && !gpu.faults.contains(&Fault::NoPermission);
        self.count() - self.by_id.values().filter(works).count()
    }

    /// One for each fault, in the order of the GPUs' indices.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut gpus: Vec<_> = self.by_id.iter().collect();
        gpus.sort_by_key(|(_, gpu)| gpu.index);
        gpus.into_iter().flat_map(|(id, gpu)| gpu.findings(id)).collect()
    }
}

impl Seen {
    fn add(&mut self, point: &Point) {
        let of = &*point.attributes;
        let text = |key| of.text(key).unwrap_or_default().to_owned();
        let name = point.instrument.name;
        if name == nvidia::DEVICE_INFO.name {
            self.index = of.int(key::NVIDIA_GPU_INDEX);
            let about = [key::ACCEL_DEVICE_ADDRESS, key::HW_MODEL].map(text);
            self.about = about.into_iter().filter(|text| !text.is_empty()).collect();
        } else if name == nvidia_parts::DEVICE_FAULT.name {
            let kind = text(key::ERROR_TYPE);
            self.faults
                .extend(Fault::ALL.into_iter().find(|fault| fault.as_str() == kind));
        } else if name == nvidia_parts::READING_SUSPENDED.name {
            self.suspended.insert((text(key::NVIDIA_TOPIC), text(key::ERROR_TYPE)));
        } else {
            self.has_failed |= is_failed(of) && point.value == Value::Int(1);
        }
    }

    fn findings(&self, id: &str) -> Vec<Finding> {
        let index = self.index.unwrap_or_default();
        let about: Vec<&str> = std::iter::once(id)
            .chain(self.about.iter().map(String::as_str))
            .collect();
        let gpu = format!("GPU {index} ({})", about.join(", "));
        let of_fault = |fault: &Fault| {
            let what = format!("{gpu} {} ({})", fault.meaning(), fault.as_str());
            let remedy = fault.remedy().replace("INDEX", &index.to_string());
            match fault.severity() {
                Severity::Failed => Finding::fail(NAME, what),
                _ => Finding::warn(NAME, what),
            }
            .with_remedy(remedy)
        };
        let of_suspension = |(topic, reason): &(String, String)| {
            let whole = topic == "all";
            let what = match topic.as_str() {
                "all" => format!("{gpu} is suspended: whatever it was asked for {reason}"),
                topic => format!("{gpu}: its {topic} readings are suspended, since they {reason}"),
            };
            let finding = if whole {
                Finding::fail(NAME, what)
            } else {
                Finding::warn(NAME, what)
            };
            finding.with_remedy(HUNG_REMEDY)
        };
        let faults = self.faults.iter().map(of_fault);
        faults.chain(self.suspended.iter().map(of_suspension)).collect()
    }
}

fn is_failed(of: &Attributes) -> bool {
    of.text(key::HW_STATE) == Some("failed")
}
