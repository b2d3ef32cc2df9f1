// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! How direct programs load through an address whose type the verifier does not know.
//!
//! The kernel function `bpf_rdonly_cast` (Linux 6.2, commit a35b9af4ec2c) gives an address a type and costs nothing: the
//! verifier replaces the call by a move. It is called by its number in the kernel's BTF, which only the machine at hand
//! knows; the prebuilt programs hold a call to a helper that does not exist in its place.

/// The helper that does not exist.
pub const PLACEHOLDER: u32 = 0x0061_6363;

/// A helper call: the operation, no registers, no offset, and the number.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as the source register.
const KERNEL_FUNCTION: u8 = 2 << 4;

/// Replaces the placeholders in the object by calls to the kernel function of this number in the kernel's BTF; returns how
/// many there were. Without it, and with [`crate::Settings::files_type`] 0, the verifier never sees them.
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
