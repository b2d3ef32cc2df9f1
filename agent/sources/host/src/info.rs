//! What kind of host it is: names of host, operating system, kernel and CPU.

use std::sync::Arc;

use crate::catalogue::HOST_INFO;
use crate::key::{ACCEL_HOST_KERNEL_VERSION, HOST_CPU_MODEL_NAME, HOST_NAME, OS_NAME, OS_VERSION};
use crate::os_release;
use crate::readings::Readings;
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::{Attributes, Timestamp};
use accelscope_core::source::Context;

/// Files of os-release(5), in order of precedence.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
/// Limit in bytes of the small files.
const MAX_BYTES: usize = 64 << 10;
/// Bytes of `/proc/cpuinfo` that are read: the first CPU's part, which the kernel makes without those of the others.
const FIRST_CPU: usize = 4 << 10;
/// Lines with the CPU's name: x86, ARM and LoongArch; MIPS; PowerPC; older ARM.
const MODELS: [&str; 5] = ["model name", "Model Name", "cpu model", "cpu", "Processor"];
/// The board's name, of a board whose CPU has none.
const BOARD: &str = "firmware/devicetree/base/model";

/// The attributes of [`HOST_INFO`].
#[derive(Debug)]
pub(crate) struct Info {
    roots: HostRoots,
    /// Name of the node, where only that is known.
    node_name: String,
    attributes: Arc<Attributes>,
}

impl Info {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            roots: context.roots.clone(),
            node_name: context.node_name.clone(),
            attributes: Arc::new(Attributes::empty()),
        }
    }

    /// Reads the files.
    pub(crate) fn update(&mut self) {
        let os = OS_RELEASE
            .iter()
            .find_map(|path| self.roots.read_answering(path, MAX_BYTES).ok());
        let os = os.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let known = [
            (HOST_NAME, self.host_name()),
            (OS_NAME, os_release::value(&os, "NAME")),
            (OS_VERSION, os_release::value(&os, "VERSION_ID")),
            (ACCEL_HOST_KERNEL_VERSION, kernel(&self.roots)),
            (HOST_CPU_MODEL_NAME, cpu_model(&self.roots)),
        ];
        let known = known.into_iter().filter_map(|(key, value)| Some((key, value?.into())));
        let attributes = Attributes::new(known);
        if attributes != *self.attributes {
            self.attributes = Arc::new(attributes);
        }
    }

    /// The point; none where nothing is known.
    pub(crate) fn point(&self, out: &mut Readings<'_>) {
        if !self.attributes.is_empty() {
            out.gauge(&HOST_INFO, &self.attributes, 1_i64, Timestamp::now());
        }
    }

    /// The kernel's own file has the name of the reader's UTS namespace, which in a container is the pod's. So there the host's
    /// configuration and the node's name come first.
    fn host_name(&self) -> Option<String> {
        let kernel = || sysfs::text(&self.roots.proc().join("sys/kernel/hostname"));
        if self.roots.path("/").as_os_str() == "/" {
            return kernel();
        }
        let file = self
            .roots
            .read_answering("/etc/hostname", MAX_BYTES)
            .unwrap_or_default();
        let file = String::from_utf8_lossy(&file);
        let names = [file.trim(), self.node_name.as_str()];
        names
            .into_iter()
            .find(|name| !name.is_empty())
            .map(str::to_owned)
            .or_else(kernel)
    }
}

/// Release of the kernel.
pub(crate) fn kernel(roots: &HostRoots) -> Option<String> {
    sysfs::text(&roots.proc().join("sys/kernel/osrelease"))
}

/// Name of the CPU.
fn cpu_model(roots: &HostRoots) -> Option<String> {
    let mut file = crate::kept::Kept::new(roots.proc().join("cpuinfo"));
    let mut buffer = [0; FIRST_CPU];
    let text = file.read(&mut buffer).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let named = |wanted: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(name, _)| name.trim_end() == wanted)?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let board = || {
        let board = sysfs::text(&roots.sys().join(BOARD))?;
        Some(board.trim_end_matches('\0').to_owned()).filter(|board| !board.is_empty())
    };
    MODELS.into_iter().find_map(named).or_else(board)
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
