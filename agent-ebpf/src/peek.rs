// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! How the agent looks at its own task's structures in the kernel.

/// Most bytes that are copied at once.
pub const PEEK_BYTES: usize = 1024;

/// Only value of the array `PEEK`. The agent writes secret, address and length (0: only the task is asked for), makes an
/// ioctl(2) whose *argument* is the secret (on any descriptor, -1 too), and reads the rest; [`Self::answered`] has grown if
/// the program has seen the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Peek {
    /// A random number other than 0.
    pub secret: u64,
    /// First address to copy.
    pub address: u64,
    /// Bytes to copy, at most [`PEEK_BYTES`].
    pub length: u32,
    /// Answers so far.
    pub answered: u32,
    /// 0, or why nothing was copied (a negative errno).
    pub result: i64,
    /// Address of the calling thread's `task_struct`.
    pub task: u64,
    /// Process id (upper half) and thread id of the caller in the initial namespace.
    pub pid_tgid: u64,
    /// Id of its control group in the unified hierarchy.
    pub cgroup: u64,
    /// What was copied.
    pub bytes: [u8; PEEK_BYTES],
}
