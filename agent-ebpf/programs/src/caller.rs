// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Who calls: the part of the key that does not depend on the call.

use agent_ebpf::{Key, V1_FREEZER, V1_PLACE, V1_SET, Watched};

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

/// The control group in the first hierarchy in which that is not the root, as [`Key::cgroup_v1`] has it. A process may be in
/// a container in some of them only, and processes of different containers in one group of others.
#[inline(always)]
fn cgroup_v1<K: Kernel>(task: u64) -> u64 {
    let at = setting!(offsets.css_set_subsys);
    if at == u32::MAX {
        return 0;
    }
    let set = K::word(task, setting!(offsets.task_cgroups));
    let mut hierarchies = setting!(v1_subsystem);
    let mut id = 0;
    for _ in 0..size_of::<u32>() {
        let state = K::word(set, at + 8 * (hierarchies & 0xf));
        let cgroup = K::word(state, setting!(offsets.css_cgroup));
        let node = K::word(cgroup, setting!(offsets.cgroup_kn));
        id = K::word(node, setting!(offsets.kn_id));
        if id > ROOT {
            let place = hierarchies >> 4 & 7;
            let others = if place == V1_FREEZER { 0 } else { hash(set.wrapping_sub(cgroup)) };
            return id & ((1 << V1_SET) - 1) | u64::from(others) << V1_SET | u64::from(place) << V1_PLACE;
        }
        hierarchies >>= 8;
        if hierarchies == 0 {
            break;
        }
    }
    id
}

/// 20 bits that depend on the set of control groups, of which the kernel has one for all processes in the same groups of all
/// hierarchies: of the distance between that and one of the groups, since the verifier only lets an address be subtracted.
#[inline(always)]
fn hash(distance: u64) -> u32 {
    (distance as u32).wrapping_mul(0x9e37_79b1) >> 12
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
