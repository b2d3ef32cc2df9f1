// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Control groups that are made or renamed, so that one that is gone before the agent looks still has a name.

use agent_ebpf::{EVENT_CGROUP, GroupMade, PATH, counter};
use aya_ebpf::{
    EbpfContext, helpers::bpf_probe_read_kernel_str_bytes, macros::raw_tracepoint, programs::RawTracePointContext,
};

use crate::{
    atomic::note,
    kernel::{Kernel, Probed},
    maps::{EVENTS, setting},
};

#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
fn cgroup_mkdir(context: RawTracePointContext) -> i32 {
    tell(&context)
}

/// Hierarchies of version 1 only. The path is the new one.
#[raw_tracepoint(tracepoint = "cgroup_rename")]
fn cgroup_rename(context: RawTracePointContext) -> i32 {
    tell(&context)
}

#[inline(always)]
fn tell(context: &RawTracePointContext) -> i32 {
    let cgroup: u64 = context.arg(0);
    let path: u64 = context.arg(1);
    let Some(mut entry) = EVENTS.reserve::<GroupMade>(0) else {
        note(counter::EVENT_LOST);
        return 0;
    };
    let node = Probed::word(cgroup, setting!(offsets.cgroup_kn));
    let root = Probed::word(cgroup, setting!(offsets.cgroup_root));
    let told = entry.as_mut_ptr();
    // SAFETY: the entry is this program's until it is submitted, and every byte is written that its length covers.
    unsafe {
        (*told).event.kind = EVENT_CGROUP;
        (*told).event.pid = context.tgid();
        (*told).made.id = Probed::word(node, setting!(offsets.kn_id));
        (*told).made.hierarchy = Probed::half(root, setting!(offsets.root_hierarchy));
        (*told).made.length = match bpf_probe_read_kernel_str_bytes(path as *const u8, &mut (*told).made.path) {
            // One that fills the place may have been cut there, and would be that of an outer group.
            Ok(text) if text.len() + 1 < PATH => text.len() as u32 + 1,
            Ok(_) => 0,
            Err(_) => {
                note(counter::READ_FAILED);
                0
            }
        };
    }
    entry.submit(0);
    0
}
