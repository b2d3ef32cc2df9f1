//! The GPUs of the host, including lost ones.

use std::collections::BTreeMap;

use super::duplicates;
use super::fault::Fault;
use super::gpu::{Gpu, Health};
use super::nvml::{Device, Nvml, NvmlError};
use super::presence;
use super::recorder::Recorder;
use accelscope_core::device::Derivation;
use accelscope_core::host::HostRoots;

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

    /// All GPUs that are known.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Gpu> {
        self.by_index.values()
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
        if self.by_index.get(&index).is_none_or(|gpu| !is_still(gpu)) {
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
                    let health = Health::of_lost(Fault::of_handle(error.code));
                    match self.by_index.get_mut(&index) {
                        Some(gpu) => {
                            // A handle that it has is another GPU's by now.
                            gpu.device = None;
                            gpu.health = health;
                        }
                        None => self.lost.push((index, health)),
                    }
                    return Ok(());
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
            self.by_index.entry(index).or_insert_with(|| {
                let mut gpu = Gpu::new(index, None, uuid);
                gpu.reported = Some(duplicates::reported(uuid).into());
                gpu
            });
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
            && uuid
                .as_ref()
                .map_or(true, |uuid| uuid.as_deref() == gpu.reported.as_deref())
        {
            gpu.device = Some(device);
            // Every field may have been refused for an invalid handle.
            gpu.forget_refusals();
            return gpu;
        }
        let pci = device.pci().ok();
        let reported = uuid.unwrap_or_else(|error| {
            recorder.skip(format!("uuid.{}", error.code.as_str()));
            None
        });
        let id = reported.clone().unwrap_or_else(|| {
            let place = pci.map_or_else(|| at_index(index), |pci| format!("bus\0{pci}"));
            self.derived(&place)
        });
        let mut gpu = Gpu::new(index, Some(device), &id);
        gpu.reported = reported.map(Into::into);
        gpu.pci = pci;
        gpu.minor = device.minor_number().ok();
        gpu
    }

    fn derived(&self, place: &str) -> String {
        let machine = self.roots.machine_id().unwrap_or_default();
        Derivation::Nvidia.id(place, &machine, &self.node_name)
    }

    /// Lost GPUs that no process has identified, from the kernel driver's list. Only if the number of unidentified GPUs
    /// in that list equals that of lost ones: in a container that sees some of the host's GPUs, the others are not
    /// lost. Otherwise such a GPU has an id that is derived from its index until it is back.
    pub(super) fn find_lost(&mut self, recorder: &mut Recorder) {
        let lost = std::mem::take(&mut self.lost);
        if lost.is_empty() {
            return;
        }
        let is_known = |one: &presence::Listed| {
            let mut gpus = self.by_index.values();
            gpus.any(|gpu| match (gpu.pci, &one.address) {
                (Some(pci), Some(address)) => pci == *address,
                _ => gpu.reported.as_deref() == Some(&*one.uuid),
            })
        };
        let mut unknown = presence::listed(&self.roots);
        unknown.retain(|one| !is_known(one));
        if unknown.len() != lost.len() {
            recorder.skip("lost_gpu.unidentified");
            unknown.clear();
        }
        let mut unknown = unknown.into_iter();
        for (index, health) in lost {
            let mut gpu = match unknown.next() {
                Some(one) => {
                    let mut gpu = Gpu::new(index, None, &one.uuid);
                    gpu.reported = Some(one.uuid.as_str().into());
                    (gpu.minor, gpu.pci) = (one.minor, one.address);
                    gpu.model = one.model.map(Into::into);
                    gpu
                }
                None => Gpu::new(index, None, &self.derived(&at_index(index))),
            };
            gpu.health = health;
            self.by_index.insert(index, gpu);
        }
    }

    /// Gives GPUs that report the same UUID different ids. After all GPUs of the pass were found.
    pub(super) fn distinguish(&mut self) {
        duplicates::distinguish(self.by_index.values_mut());
    }
}

fn at_index(index: u32) -> String {
    format!("index\0{index}")
}

/// Whether its handle is still that of the same GPU: the library uses a handle again after GPUs were added and removed.
fn is_still(gpu: &Gpu) -> bool {
    gpu.device.is_some_and(|device| match (&gpu.reported, device.uuid()) {
        (Some(reported), Ok(Some(now))) => **reported == *now,
        // Unknown, which the next call for it shows.
        _ => true,
    })
}

fn begin(gpu: &mut Gpu, recorder: &mut Recorder) {
    let was_lost = std::mem::take(&mut gpu.health).lost;
    let is_mig = gpu
        .ask("mig_mode", recorder, Device::mig_mode)
        .is_some_and(|(now, _)| now == 1);
    if is_mig != gpu.is_mig || (was_lost && !gpu.health.lost) {
        gpu.is_mig = is_mig;
        gpu.forget_refusals();
    }
}
