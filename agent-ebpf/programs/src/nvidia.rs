// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What the arguments of an NVIDIA driver's calls tell.

use agent_ebpf::{is_nvidia_transfer, nvidia_inner};
use aya_ebpf::helpers::bpf_probe_read_user;

/// The command that a call is counted as. The caller may change the argument before the driver reads it, and so give its
/// own call another name; at most one of 256, so that this makes no more keys than commands do.
#[inline(always)]
pub(crate) fn command(command: u32, argument: u64) -> u32 {
    if !is_nvidia_transfer(command) {
        return command;
    }
    // SAFETY: the helper checks the address, and fails where it is not readable user memory.
    match unsafe { bpf_probe_read_user(argument as *const [u32; 2]) } {
        Ok([inner, size]) => nvidia_inner(command, inner, size).unwrap_or(command),
        Err(_) => command,
    }
}
