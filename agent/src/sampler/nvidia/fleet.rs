//! The GPUs, whatever becomes of them.

use uuid::{Uuid, uuid};

use super::gpu::{Findings, Gpu};
use super::nvml::{Code, Device, Nvml, NvmlError};
use super::presence;
use super::sheet::Sheet;
use crate::host::HostRoots;

/// Namespace of the ids of GPUs whose UUID the driver does not tell. Random once; a change would give them new ids.
const GPUS: Uuid = uuid!("1f5c2f0e-8b0b-4f6e-9d5e-5c3f0c6b8a41");

/// All GPUs that NVML counts.
#[derive(Debug)]
pub(super) struct Fleet {
    nvml: Nvml,
    roots: HostRoots,
    node_name: String,
    gpus: Vec<Gpu>,
}

impl Fleet {
    pub(super) fn new(nvml: Nvml, roots: HostRoots, node_name: String) -> Self {
        Self {
            nvml,
            roots,
            node_name,
            gpus: Vec::new(),
        }
    }

    pub(super) fn gpus(&mut self) -> &mut [Gpu] {
        &mut self.gpus
    }

    /// Looks which there are, and starts a new pass. A GPU that was known and is lost stays; one that is lost from the
    /// beginning is known by what the kernel driver lists.
    pub(super) fn refresh(&mut self, sheet: &mut Sheet) -> Result<(), NvmlError> {
        let count = self.nvml.count()?;
        if usize::try_from(count).is_ok_and(|count| count != self.gpus.len()) {
            self.gpus.clear();
        }
        let mut lost = Vec::new();
        for index in 0..count {
            let at = self.gpus.iter().position(|gpu| gpu.index == index);
            if at.is_some_and(|at| self.gpus[at].device.is_some()) {
                continue;
            }
            match self.nvml.device(index) {
                Ok(device) => {
                    let before = at.map(|at| self.gpus.remove(at));
                    let gpu = self.identified(index, device, before, sheet);
                    self.gpus.push(gpu);
                }
                Err(error) => {
                    sheet.skip(format!("handle.{}", error.code.as_str()));
                    if error.code.ends_process() {
                        return Err(error);
                    }
                    if at.is_none() && (error.code.is_lost() || error.code == Code::Unknown) {
                        lost.push(index);
                    }
                }
            }
        }
        self.find_lost(&lost, sheet);
        self.gpus.sort_by_key(|gpu| gpu.index);
        for gpu in &mut self.gpus {
            begin(gpu, sheet);
        }
        Ok(())
    }

    /// Ends a pass: a GPU that told nothing gets another handle in the next one.
    pub(super) fn end(&mut self) {
        for gpu in &mut self.gpus {
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

    /// Only where as many are listed and not known as were lost: in a container that sees some of the host's GPUs, the
    /// others are not lost.
    fn find_lost(&mut self, lost: &[u32], sheet: &mut Sheet) {
        if lost.is_empty() {
            return;
        }
        let listed = presence::listed(&self.roots);
        let unknown: Vec<_> = listed
            .into_iter()
            .filter(|one| self.gpus.iter().all(|gpu| *gpu.uuid != *one.uuid))
            .collect();
        if unknown.len() != lost.len() {
            sheet.skip("lost_gpu.unidentified");
            return;
        }
        for (index, one) in lost.iter().zip(unknown) {
            let mut gpu = Gpu::new(*index, None, &one.uuid);
            gpu.minor = one.minor;
            self.gpus.push(gpu);
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
