// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Who calls: the part of the key that does not depend on the call.

use agent_ebpf::{HASHED_TEXT, Key, V1_PLACE, V1_SET, Watched};
use aya_ebpf::helpers::generated;

use crate::{
    kernel::{Kernel, UNKNOWN},
    maps::setting,
};

/// Where `struct qstr` has hash and length of a name, before the name's address.
const HASH_BEFORE_NAME: u32 = 8;
const LENGTH_BEFORE_NAME: u32 = 4;

/// Ids up to this are a hierarchy's root, or none.
const ROOT: u64 = 1;

/// The key of a call by the current task.
#[inline(always)]
pub(crate) fn key<K: Kernel>(task: u64, tgid: u32, watched: &Watched, command: u32) -> Key {
    let cgroup_v2 = K::cgroup(task);
    let cgroup_v1 = if setting!(v1) == 1 { cgroup_v1::<K>(task) } else { 0 };
    let alone = setting!(per_process) == 1 || (cgroup_v2 <= ROOT && cgroup_v1 <= ROOT);
    Key {
        cgroup_v2,
        cgroup_v1,
        executable: executable::<K>(task),
        variant: 0,
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
            let others = hash(set.wrapping_sub(cgroup));
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

/// The name by which the current program was run, as a number: [`Key::executable`].
#[inline(always)]
pub(crate) fn executable<K: Kernel>(task: u64) -> u64 {
    let entry = entry::<K>(task);
    let name = setting!(offsets.dentry_name);
    if entry != 0 && name != UNKNOWN {
        // Two loads: verifiers take the union of both for its first field.
        let hash = K::half(entry, name - HASH_BEFORE_NAME);
        if hash != 0 {
            return u64::from(hash) | u64::from(K::half(entry, name - LENGTH_BEFORE_NAME)) << 32;
        }
    }
    text(shown::<K>(task, entry))
}

/// The entry of the directory in which the program was found; 0 for a kernel thread. A rename changes the entry's name,
/// another name of the same file is another entry, and the entry of a removed file keeps its name.
#[inline(always)]
pub(crate) fn entry<K: Kernel>(task: u64) -> u64 {
    let mm = K::word(task, setting!(offsets.task_mm));
    let file = K::word(mm, setting!(offsets.mm_exe_file));
    K::word(file, setting!(offsets.file_dentry))
}

/// The address of the name that is shown for a program: that of its executable, else the leader's `comm`; 0 where neither
/// is known.
#[inline(always)]
pub(crate) fn shown<K: Kernel>(task: u64, entry: u64) -> u64 {
    let name = K::word(entry, setting!(offsets.dentry_name));
    if name != 0 {
        return name;
    }
    let (leader, comm) = (
        K::word(task, setting!(offsets.task_leader)),
        setting!(offsets.task_comm),
    );
    if leader == 0 || comm == UNKNOWN {
        return 0;
    }
    leader + u64::from(comm)
}

/// A number for the text at an address in the kernel (FNV-1a over words); 0 where it cannot be read. Not inlined: it is rare.
/// Its own name, because the compiler's would hold a hash of the folder in which this was built.
#[inline(never)]
#[unsafe(no_mangle)]
fn text(address: u64) -> u64 {
    /// Enough of a text for a stack: names in memory are told apart by this many bytes.
    const BYTES: usize = 64;
    const WORDS: usize = BYTES / 8;
    let mut words = [0_u64; WORDS];
    // SAFETY: the words as bytes; the helper checks the address, and writes at most their length, zero included.
    let read =
        unsafe { generated::bpf_probe_read_kernel_str(words.as_mut_ptr().cast(), BYTES as u32, address as *const _) };
    if address == 0 || read <= 0 {
        return 0;
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in words {
        hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 32;
    }
    hash | HASHED_TEXT
}
