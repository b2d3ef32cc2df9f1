//! MIG: the instances into which a GPU is partitioned, and their memory.

mod instances;
mod profile;

use crate::key;
use std::collections::HashSet;

pub(super) use instances::{instances, or_gone};

use crate::catalogue::nvidia_parts;
use crate::gpu::Gpu;
use crate::nvml::{Device, MigDevice};
use crate::recorder::Recorder;
use accelscope_core::metric::Attribute;

impl MigDevice {
    /// Ids of both instances.
    pub(super) fn ids(&self) -> impl Iterator<Item = Attribute> + use<> {
        ids(Some(self.gpu_instance), self.compute_instance)
    }
}

/// Attributes that identify an instance.
pub(super) fn ids(gpu: Option<u32>, compute: Option<u32>) -> impl Iterator<Item = Attribute> {
    let gpu = gpu.map(|id| (key::NVIDIA_GPU_INSTANCE, id.into()));
    let compute = compute.map(|id| (key::NVIDIA_COMPUTE_INSTANCE, id.into()));
    gpu.into_iter().chain(compute)
}

/// Reads the partition.
pub(super) fn read(gpu: &mut Gpu, recorder: &mut Recorder) {
    let Some((mode, _)) = gpu.ask("mig_mode", recorder, Device::mig_mode) else {
        return;
    };
    recorder.gauge(&nvidia_parts::MIG_ENABLED, &gpu.label, [], i64::from(mode == 1));
    let mut recorded = HashSet::new();
    for instance in instances(gpu, recorder) {
        let name = instance.ask(gpu, "mig_name", recorder, Device::name).flatten();
        let sizes = instance.ask(gpu, "mig_attributes", recorder, Device::mig_sizes);
        let uuid = instance.ask(gpu, "mig_uuid", recorder, Device::uuid).flatten();
        let memory = instance.ask(gpu, "mig_memory", recorder, Device::memory);
        let profile = profile::compute(name.as_deref(), sizes.as_ref());
        let texts = [(key::NVIDIA_MIG_UUID, uuid), (key::NVIDIA_MIG_PROFILE, profile.clone())];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text?.into())));
        recorder.gauge(&nvidia_parts::MIG_INFO, &gpu.label, instance.ids().chain(texts), 1i64);
        if let Some(sizes) = sizes {
            let count = i64::from(sizes.multiprocessors);
            recorder.gauge(&nvidia_parts::MIG_MULTIPROCESSORS, &gpu.label, instance.ids(), count);
        }
        // Compute instances share the memory of their GPU instance, and each reports all of it.
        if let Some(memory) = memory
            && recorded.insert(instance.gpu_instance)
        {
            let profile = profile.map(|profile| (key::NVIDIA_MIG_PROFILE, profile::gpu(&profile).into()));
            let of: Vec<Attribute> = ids(Some(instance.gpu_instance), None).chain(profile).collect();
            recorder.whole(
                &nvidia_parts::MIG_MEMORY_LIMIT,
                &gpu.label,
                of.iter().cloned(),
                memory.total,
            );
            recorder.whole(&nvidia_parts::MIG_MEMORY_USAGE, &gpu.label, of, memory.used);
        }
    }
}
