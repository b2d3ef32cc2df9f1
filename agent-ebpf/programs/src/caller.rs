// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Who calls: the part of the key that does not depend on the call.

use agent_ebpf::{Key, Watched};

use crate::{kernel::Kernel, maps::setting};

/// Ids up to this are a hierarchy's root, or none.
const ROOT: u64 = 1;

/// The key of a call by the current task.
#[inline(always)]
pub(crate) fn key<K: Kernel>(task: u64, tgid: u32, watched: &Watched, command: u32) -> Key {
    let cgroup_v2 = K::cgroup(task);
    let cgroup_v1 = if setting!(v1) == 1 { cgroup_v1::<K>(task) } else { 0 };
    let (executable, executable_device) = executable::<K>(task);
    let alone = setting!(per_process) == 1 || (cgroup_v2 <= ROOT && cgroup_v1 <= ROOT);
    Key {
        cgroup_v2,
        cgroup_v1,
        executable,
        executable_device,
        pid: if alone { tgid } else { 0 },
        device: watched.device,
        command,
    }
}

#[inline(always)]
fn cgroup_v1<K: Kernel>(task: u64) -> u64 {
    let at = setting!(offsets.css_set_subsys);
    if at == u32::MAX {
        return 0;
    }
    let set = K::word(task, setting!(offsets.task_cgroups));
    let state = K::word(set, at + 8 * setting!(v1_subsystem));
    let cgroup = K::word(state, setting!(offsets.css_cgroup));
    let node = K::word(cgroup, setting!(offsets.cgroup_kn));
    K::word(node, setting!(offsets.kn_id))
}

#[inline(always)]
fn executable<K: Kernel>(task: u64) -> (u64, u32) {
    let mm = K::word(task, setting!(offsets.task_mm));
    let file = K::word(mm, setting!(offsets.mm_exe_file));
    let inode = K::word(file, setting!(offsets.file_inode));
    let number = K::word(inode, setting!(offsets.inode_ino));
    let system = K::word(inode, setting!(offsets.inode_sb));
    (number, K::half(system, setting!(offsets.sb_dev)))
}
