//! The GPUs of the host, including lost ones.

use std::collections::BTreeMap;

use uuid::{Uuid, uuid};

use super::gpu::{Gpu, Health};
use super::nvml::{Code, Device, Nvml, NvmlError};
use super::presence;
use super::recorder::Recorder;
use accelscope_core::host::HostRoots;

/// Namespace of the ids of GPUs without a UUID. Random once; a change would give them new ids.
const GPUS: Uuid = uuid!("1f5c2f0e-8b0b-4f6e-9d5e-5c3f0c6b8a41");

/// All GPUs that NVML counts.
#[derive(Debug)]
pub(super) struct Gpus {
    nvml: Nvml,
    roots: HostRoots,
    node_name: String,
    count: u32,
    by_index: BTreeMap<u32, Gpu>,
    /// Indices of GPUs that could not be identified in this pass, with the reasons.
    lost: Vec<(u32, Health)>,
}

impl Gpus {
    pub(super) fn new(nvml: Nvml, roots: HostRoots, node_name: String) -> Self {
        Self {
            nvml,
            roots,
            node_name,
            count: 0,
            by_index: BTreeMap::new(),
            lost: Vec::new(),
        }
    }

    pub(super) fn gpu(&mut self, index: u32) -> Option<&mut Gpu> {
        self.by_index.get_mut(&index)
    }

    /// Starts a pass; returns the number of GPUs.
    pub(super) fn count(&mut self) -> Result<u32, NvmlError> {
        let count = self.nvml.count()?;
        if std::mem::replace(&mut self.count, count) != count {
            self.by_index.clear();
        }
        self.lost.clear();
        Ok(count)
    }

    /// Looks up the GPU of that index. A known GPU that is lost is kept.
    pub(super) fn find(&mut self, index: u32, recorder: &mut Recorder) -> Result<(), NvmlError> {
        if self.by_index.get(&index).is_none_or(|gpu| gpu.device.is_none()) {
            match self.nvml.device(index) {
                Ok(device) => {
                    let before = self.by_index.remove(&index);
                    let gpu = self.identified(index, device, before, recorder);
                    self.by_index.insert(index, gpu);
                }
                Err(error) => {
                    recorder.skip(format!("handle.{}", error.code.as_str()));
                    if error.code.ends_process() {
                        return Err(error);
                    }
                    if !self.by_index.contains_key(&index) && (error.code.is_lost() || error.code == Code::Unknown) {
                        let health = Health {
                            lost: true,
                            ..Health::default()
                        };
                        self.lost.push((index, health));
                    }
                }
            }
        }
        if let Some(gpu) = self.by_index.get_mut(&index) {
            begin(gpu, recorder);
        }
        Ok(())
    }

    /// Marks the GPU of that index as suspended in this pass; `uuid` is its id, if a preceding process read it.
    pub(super) fn suspend(&mut self, index: u32, uuid: Option<&str>) {
        if let Some(uuid) = uuid {
            self.by_index
                .entry(index)
                .or_insert_with(|| Gpu::new(index, None, uuid));
        }
        let health = Health {
            suspended: true,
            ..Health::default()
        };
        match self.by_index.get_mut(&index) {
            Some(gpu) => gpu.health = health,
            None => self.lost.push((index, health)),
        }
    }

    /// Ends a pass: a GPU that did not answer gets a new handle in the next one.
    pub(super) fn end(&mut self) {
        for gpu in self.by_index.values_mut() {
            if gpu.health.lost || !gpu.health.answered {
                gpu.device = None;
            }
        }
    }

    /// `before` is the GPU that had that index: if the UUID cannot be read, it is assumed to be the same one.
    fn identified(&self, index: u32, device: Device, before: Option<Gpu>, recorder: &mut Recorder) -> Gpu {
        let uuid = device.uuid();
        if let Some(mut gpu) = before
            && uuid.as_ref().map_or(true, |uuid| uuid.as_deref() == Some(&*gpu.uuid))
        {
            gpu.device = Some(device);
            // Every field may have been refused for an invalid handle.
            gpu.forget_refusals();
            return gpu;
        }
        let pci = device.pci().ok();
        let uuid = match uuid {
            Ok(Some(uuid)) => uuid,
            other => {
                if let Err(error) = other {
                    recorder.skip(format!("uuid.{}", error.code.as_str()));
                }
                let place = pci.map_or_else(|| format!("index\0{index}"), |pci| format!("bus\0{pci}"));
                self.derived(&place)
            }
        };
        let mut gpu = Gpu::new(index, Some(device), &uuid);
        gpu.pci = pci;
        gpu.minor = device.minor_number().ok();
        gpu
    }

    fn derived(&self, place: &str) -> String {
        let machine = self.roots.machine_id().unwrap_or_default();
        let name = format!("nvidia\0{place}\0{machine}\0{}", self.node_name);
        Uuid::new_v5(&GPUS, name.as_bytes()).to_string()
    }

    /// Lost GPUs that no process has identified, from the kernel driver's list. Only if the number of unidentified GPUs
    /// in that list equals that of lost ones: in a container that sees some of the host's GPUs, the others are not
    /// lost.
    pub(super) fn find_lost(&mut self, recorder: &mut Recorder) {
        let lost = std::mem::take(&mut self.lost);
        if lost.is_empty() {
            return;
        }
        let listed = presence::listed(&self.roots);
        let unknown: Vec<_> = listed
            .into_iter()
            .filter(|one| self.by_index.values().all(|gpu| *gpu.uuid != *one.uuid))
            .collect();
        if unknown.len() != lost.len() {
            recorder.skip("lost_gpu.unidentified");
            return;
        }
        for ((index, health), one) in lost.into_iter().zip(unknown) {
            let mut gpu = Gpu::new(index, None, &one.uuid);
            gpu.minor = one.minor;
            gpu.health = health;
            self.by_index.insert(index, gpu);
        }
    }
}

fn begin(gpu: &mut Gpu, recorder: &mut Recorder) {
    let was_lost = std::mem::take(&mut gpu.health).lost;
    if gpu.device.is_none() {
        gpu.health = Health {
            lost: true,
            ..Health::default()
        };
        return;
    }
    let is_mig = gpu
        .ask("mig_mode", recorder, Device::mig_mode)
        .is_some_and(|(now, _)| now == 1);
    if is_mig != gpu.is_mig || (was_lost && !gpu.health.lost) {
        gpu.is_mig = is_mig;
        gpu.forget_refusals();
    }
}
