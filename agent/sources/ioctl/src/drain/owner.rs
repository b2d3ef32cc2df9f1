//! From what a program captured to an owner that attribution can resolve.

use std::sync::Arc;

use agent_ebpf::Ident;

use crate::device_table::OTHER;
use accelscope_core::host::cgroups::CgroupId;
use accelscope_core::metric::{CgroupOwner, ProcessKey};

/// Ids up to this are the root of a hierarchy, which identifies no owner.
const ROOT: u64 = 1;

/// `ticks` is the number of clock ticks a second.
pub(super) fn of(ident: &Ident, per_process: bool, ticks: u64) -> Arc<CgroupOwner> {
    let key = &ident.key;
    let executable = if key.is_other_executables() {
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
        process: process(ident, ticks),
    })
}

/// All owners that have no totals of their own. Their calls are shown for [`OTHER`], without a container.
pub(super) fn others() -> Arc<CgroupOwner> {
    Arc::new(CgroupOwner {
        unified: 0,
        legacy: 0,
        executable: OTHER.into(),
        pid: None,
        alone: false,
        process: None,
    })
}

/// Whether an owner is [`others`].
pub(crate) fn is_others(owner: &CgroupOwner) -> bool {
    owner.unified == 0 && owner.legacy == 0 && &*owner.executable == OTHER
}

/// The control groups of an owner by what a program captured, without the hierarchies' roots.
pub(crate) fn groups(unified: u64, legacy: u64) -> impl Iterator<Item = CgroupId> {
    let ids = [CgroupId::unified(unified), CgroupId::captured(legacy)];
    ids.into_iter().filter(|id| id.id > ROOT)
}

/// The process that made the key, where its start is known.
fn process(ident: &Ident, ticks: u64) -> Option<ProcessKey> {
    let tick = 1_000_000_000_u64.checked_div(ticks)?;
    (ident.started != 0 && tick != 0).then(|| ProcessKey {
        pid: ident.pid,
        start_ticks: ident.started / tick,
    })
}
