//! From what a program captured to an owner that attribution knows.

use std::sync::Arc;

use agent_ebpf::{Ident, OTHER_EXECUTABLE};

use super::process_of;
use accelscope_core::metric::CgroupOwner;

/// What stands for the executables and commands beyond those that are told apart.
pub(crate) const OTHER: &str = "_OTHER";

/// Ids up to this are a hierarchy's root, which says nothing of whom a process belongs to.
pub(crate) const ROOT: u64 = 1;

pub(super) fn of(ident: &Ident, per_process: bool, ticks: u64) -> Arc<CgroupOwner> {
    let key = &ident.key;
    let executable = if key.executable == OTHER_EXECUTABLE {
        OTHER.into()
    } else {
        let name = ident.name.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into()
    };
    Arc::new(CgroupOwner {
        unified: key.cgroup_v2,
        legacy: key.cgroup_v1,
        executable,
        pid: (per_process && key.pid != 0).then_some(key.pid),
        alone: key.pid != 0,
        process: process_of(ident, ticks),
    })
}
