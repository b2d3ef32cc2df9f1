// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Tells the compiler for which architecture the programs are: `AYA_BPF_TARGET_ARCH`, else this machine's.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(aya_build::emit_bpf_target_arch_cfg()?)
}
