// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! The end of calls that a signal interrupted. A driver answers with one of the kernel's own codes, and the kernel restarts
//! the call unseen by its program, unless a signal is handled in a way that ends it with `EINTR`: `handle_signal` of
//! `arch/*/kernel/signal.c`.

use aya_ebpf::{helpers::generated, macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    call,
    flight::{Flight, InSlots},
    kernel::{Kernel, Probed},
};

const EINTR: i64 = 4;
const ERESTARTSYS: u32 = 512;
const ERESTARTNOINTR: u32 = 513;
/// `SIG_IGN`; the only lower one is `SIG_DFL`.
const IGNORED: u64 = 1;
const SA_RESTART: u64 = 0x1000_0000;
/// Offset of `sa_flags` in `struct k_sigaction`, which begins with `sa_handler`.
const FLAGS: u32 = 8;

/// On `signal:signal_deliver`, whose arguments are the signal, its `siginfo` and its `k_sigaction`.
#[raw_tracepoint(tracepoint = "signal_deliver")]
fn signal_deliver(context: RawTracePointContext) -> i32 {
    // SAFETY: has no preconditions.
    let owner = unsafe { generated::bpf_get_current_pid_tgid() };
    let Some(code) = InSlots::interrupted(owner) else {
        return 0;
    };
    let action: u64 = context.arg(2);
    if Probed::word(action, 0) <= IGNORED {
        return 0;
    }
    let restarts = match code {
        ERESTARTNOINTR => true,
        ERESTARTSYS => Probed::word(action, FLAGS) & SA_RESTART != 0,
        _ => false,
    };
    if !restarts && let Some(ended) = InSlots::take(owner, agent_ebpf::LEVEL_SYSCALL) {
        call::end(&ended, -EINTR);
    }
    0
}
