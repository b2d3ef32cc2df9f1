//! The GPUs, whatever becomes of them.

use std::collections::BTreeMap;

use uuid::{Uuid, uuid};

use super::gpu::{Findings, Gpu};
use super::nvml::{Code, Device, Nvml, NvmlError};
use super::presence;
use super::sheet::Sheet;
use accelscope_core::host::HostRoots;

/// Namespace of the ids of GPUs whose UUID the driver does not tell. Random once; a change would give them new ids.
const GPUS: Uuid = uuid!("1f5c2f0e-8b0b-4f6e-9d5e-5c3f0c6b8a41");

/// All GPUs that NVML counts.
#[derive(Debug)]
pub(super) struct Fleet {
    nvml: Nvml,
    roots: HostRoots,
    node_name: String,
    count: u32,
    /// Those that are known, by their index.
    gpus: BTreeMap<u32, Gpu>,
    /// Indices of this pass that nothing is known of, and why.
    lost: Vec<(u32, Findings)>,
}

impl Fleet {
    pub(super) fn new(nvml: Nvml, roots: HostRoots, node_name: String) -> Self {
        Self {
            nvml,
            roots,
            node_name,
            count: 0,
            gpus: BTreeMap::new(),
            lost: Vec::new(),
        }
    }

    pub(super) fn gpu(&mut self, index: u32) -> Option<&mut Gpu> {
        self.gpus.get_mut(&index)
    }

    /// Begins a pass: how many GPUs there are.
    pub(super) fn count(&mut self) -> Result<u32, NvmlError> {
        let count = self.nvml.count()?;
        if std::mem::replace(&mut self.count, count) != count {
            self.gpus.clear();
        }
        self.lost.clear();
        Ok(count)
    }

    /// Looks whether the GPU of that index is there. One that was known and is lost stays.
    pub(super) fn look(&mut self, index: u32, sheet: &mut Sheet) -> Result<(), NvmlError> {
        if self.gpus.get(&index).is_none_or(|gpu| gpu.device.is_none()) {
            match self.nvml.device(index) {
                Ok(device) => {
                    let before = self.gpus.remove(&index);
                    let gpu = self.identified(index, device, before, sheet);
                    self.gpus.insert(index, gpu);
                }
                Err(error) => {
                    sheet.skip(format!("handle.{}", error.code.as_str()));
                    if error.code.ends_process() {
                        return Err(error);
                    }
                    if !self.gpus.contains_key(&index) && (error.code.is_lost() || error.code == Code::Unknown) {
                        let findings = Findings {
                            lost: true,
                            ..Findings::default()
                        };
                        self.lost.push((index, findings));
                    }
                }
            }
        }
        if let Some(gpu) = self.gpus.get_mut(&index) {
            begin(gpu, sheet);
        }
        Ok(())
    }

    /// The GPU of that index is left alone in this pass; `uuid` is what a process before knew of it.
    pub(super) fn rest(&mut self, index: u32, uuid: Option<&str>) {
        if let Some(uuid) = uuid {
            self.gpus.entry(index).or_insert_with(|| Gpu::new(index, None, uuid));
        }
        let findings = Findings {
            hangs: true,
            ..Findings::default()
        };
        match self.gpus.get_mut(&index) {
            Some(gpu) => gpu.findings = findings,
            None => self.lost.push((index, findings)),
        }
    }

    /// Ends a pass: a GPU that told nothing gets another handle in the next one.
    pub(super) fn end(&mut self) {
        for gpu in self.gpus.values_mut() {
            if gpu.findings.lost || !gpu.findings.answered {
                gpu.device = None;
            }
        }
    }

    /// `before` is what was at that index: while a GPU does not tell its UUID, it is taken for the same one.
    fn identified(&self, index: u32, device: Device, before: Option<Gpu>, sheet: &mut Sheet) -> Gpu {
        let uuid = device.uuid();
        if let Some(mut gpu) = before
            && uuid.as_ref().map_or(true, |uuid| uuid.as_deref() == Some(&*gpu.uuid))
        {
            gpu.device = Some(device);
            // A handle that was void may have been refused everything.
            gpu.forget_refusals();
            return gpu;
        }
        let pci = device.pci().ok();
        let uuid = match uuid {
            Ok(Some(uuid)) => uuid,
            other => {
                if let Err(error) = other {
                    sheet.skip(format!("uuid.{}", error.code.as_str()));
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

    /// GPUs that were lost before this process, or all processes, knew them are known by what the kernel driver lists.
    /// Only where as many are listed and not known as were lost: in a container that sees some of the host's GPUs, the
    /// others are not lost.
    pub(super) fn find_lost(&mut self, sheet: &mut Sheet) {
        let lost = std::mem::take(&mut self.lost);
        if lost.is_empty() {
            return;
        }
        let listed = presence::listed(&self.roots);
        let unknown: Vec<_> = listed
            .into_iter()
            .filter(|one| self.gpus.values().all(|gpu| *gpu.uuid != *one.uuid))
            .collect();
        if unknown.len() != lost.len() {
            sheet.skip("lost_gpu.unidentified");
            return;
        }
        for ((index, findings), one) in lost.into_iter().zip(unknown) {
            let mut gpu = Gpu::new(index, None, &one.uuid);
            gpu.minor = one.minor;
            gpu.findings = findings;
            self.gpus.insert(index, gpu);
        }
    }
}

fn begin(gpu: &mut Gpu, sheet: &mut Sheet) {
    let was_lost = std::mem::take(&mut gpu.findings).lost;
    if gpu.device.is_none() {
        gpu.findings = Findings {
            lost: true,
            ..Findings::default()
        };
        return;
    }
    let is_mig = gpu
        .ask("mig_mode", sheet, Device::mig_mode)
        .is_some_and(|(now, _)| now == 1);
    if is_mig != gpu.is_mig || (was_lost && !gpu.findings.lost) {
        gpu.is_mig = is_mig;
        gpu.forget_refusals();
    }
}
