// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! How direct programs load through an address whose type the verifier does not know, and find the current task without a
//! call.
//!
//! The kernel function `bpf_rdonly_cast` (Linux 6.2, commit a35b9af4ec2c) gives an address a type and costs nothing: the
//! verifier replaces the call by a move. It is called by its number in the kernel's BTF, which only the machine at hand
//! knows; the prebuilt programs hold a call to a helper that does not exist in its place.
//!
//! A helper that only reads a field of the current task costs more than all loads of a program together where returns are
//! protected against speculation. The kernel keeps the task's address in a variable of each processor. A program learns the
//! variable's address once on each processor and from then on loads from there: [`Current`].

/// The helper that does not exist.
pub const PLACEHOLDER: u32 = 0x0061_6363;
/// A helper call: the operation, no registers, no offset, and the number.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as the source register.
const KERNEL_FUNCTION: u8 = 2 << 4;

/// Numbers in the kernel's BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// The function `bpf_rdonly_cast`.
    pub function: u32,
    /// `struct files_struct`.
    pub files: u32,
    /// How to find the current task; [`Current::UNKNOWN`] where that is not known, or no faster than a helper.
    pub current: Current,
}

/// Where each processor has the variable with the address of its current task: at a fixed distance from its run queue, to
/// which the current task leads. A program takes it only if the current task's address is there.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// The number of a struct whose first member is the address of a `task_struct`; 0: not known.
    pub holder: u32,
    /// Offset of `task_struct.se.cfs_rq`.
    pub task_queue: u32,
    /// Offset of `cfs_rq.rq`.
    pub queue_processors: u32,
    /// From the run queue to the variable; negative ones wrap around.
    pub distance: u32,
}

impl Current {
    /// The current task is found by a helper.
    pub const UNKNOWN: Self = Self {
        holder: 0,
        task_queue: 0,
        queue_processors: 0,
        distance: 0,
    };
}

/// Replaces the placeholders in the object by calls of the kernel function; returns how many there were. Without it, and with
/// [`crate::Settings::files_type`] and [`crate::Settings::current`] 0, the verifier never sees them.
pub fn patch(object: &mut [u8], function: u32) -> usize {
    let [a, b, c, d] = PLACEHOLDER.to_le_bytes();
    let placeholder = [CALL, 0, 0, 0, a, b, c, d];
    let [a, b, c, d] = function.to_le_bytes();
    let call = [CALL, KERNEL_FUNCTION, 0, 0, a, b, c, d];
    let mut patched = 0;
    // Instructions are aligned in their sections, and sections in the file.
    for instruction in object.chunks_exact_mut(placeholder.len()) {
        if *instruction == placeholder {
            instruction.copy_from_slice(&call);
            patched += 1;
        }
    }
    patched
}
