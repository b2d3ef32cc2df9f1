// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Lets the agent look at its own task's structures in order to find offsets where no BTF tells them.

use agent_ebpf::PEEK_BYTES;
use aya_ebpf::{EbpfContext, helpers::generated, macros::tracepoint, programs::TracePointContext};

use crate::maps::{PEEK, setting};

/// Places of the system call's argument in the record of `syscalls:sys_enter_ioctl`.
const ARGUMENT: usize = 32;

/// On `syscalls:sys_enter_ioctl`: answers a call whose argument is the secret that the agent wrote into `PEEK`, and which
/// comes from the agent's process where that is known.
#[tracepoint]
fn peek(context: TracePointContext) -> u32 {
    let Some(peek) = PEEK.get_ptr_mut(0) else { return 0 };
    let agent = setting!(agent);
    if agent != 0 && context.tgid() != agent {
        return 0;
    }
    // SAFETY: the record is longer than this field, and aligned; the value lives in the map and has one reader, the agent,
    // which waits for its call's end.
    unsafe {
        let argument = core::ptr::read_volatile(context.as_ptr().cast::<u8>().add(ARGUMENT).cast::<u64>());
        let peek = &mut *peek;
        if peek.secret == 0 || argument != peek.secret {
            return 0;
        }
        peek.task = generated::bpf_get_current_task();
        peek.pid_tgid = generated::bpf_get_current_pid_tgid();
        peek.cgroup = generated::bpf_get_current_cgroup_id();
        // One comparison of the very value that is passed on: older verifiers cannot follow a range check by subtraction.
        let length = core::hint::black_box(u64::from(peek.length));
        peek.result = if length > PEEK_BYTES as u64 {
            0
        } else {
            generated::bpf_probe_read_kernel((&raw mut peek.bytes).cast(), length as u32, peek.address as *const _)
        };
        peek.answered = peek.answered.wrapping_add(1);
    }
    0
}
