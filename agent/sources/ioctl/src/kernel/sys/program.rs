//! Loading programs, and attaching those that attach without a perf event.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_cmd, bpf_insn, bpf_prog_info};

use super::call::{bpf, empty, owned};

/// Bytes for the verifier's log.
const LOG: usize = 64 << 10;

/// Parameters of `BPF_PROG_LOAD`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Load<'a> {
    pub(in super::super) name: &'a str,
    pub(in super::super) instructions: &'a [bpf_insn],
    pub(in super::super) licence: &'a CStr,
    /// `BPF_PROG_TYPE_*`.
    pub(in super::super) kind: u32,
    /// `BPF_TRACE_*`, 0 where the kind has none.
    pub(in super::super) attach: u32,
    /// The function to attach to: id of its type, and the module's type information where it is not the kernel's own.
    pub(in super::super) function: Option<(u32, Option<BorrowedFd<'a>>)>,
}

/// The kernel refused a program.
#[derive(Debug, thiserror::Error)]
#[error("{source}{}", if log.is_empty() { String::new() } else { format!(" ({log})") })]
pub(in super::super) struct LoadError {
    /// The kernel's error.
    pub(in super::super) source: io::Error,
    /// The end of the verifier's log, on one line; empty where there is none.
    pub(in super::super) log: String,
}

/// Loads a program.
pub(in super::super) fn load(program: Load<'_>) -> Result<OwnedFd, LoadError> {
    // The log costs time, so it is requested only for a program that was refused.
    let refused = match load_with(program, &mut []) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    if matches!(
        refused.raw_os_error(),
        Some(libc::EPERM | libc::ENOMEM | libc::E2BIG | libc::EMFILE | libc::ENFILE)
    ) {
        return Err(LoadError {
            source: refused,
            log: String::new(),
        });
    }
    let mut log = vec![0_u8; LOG];
    match load_with(program, &mut log) {
        Ok(fd) => Ok(fd),
        // Not the second error, which is `ENOSPC` where the log did not fit (before Linux 6.4).
        Err(_) => Err(LoadError {
            source: refused,
            log: last_lines(&log),
        }),
    }
}

fn load_with(program: Load<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attributes = empty();
    // SAFETY: the member of this command.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = program.kind;
    load.expected_attach_type = program.attach;
    load.insn_cnt = program.instructions.len() as u32;
    load.insns = program.instructions.as_ptr() as u64;
    load.license = program.licence.as_ptr() as u64;
    // One byte stays zero. The programs' names have only letters, digits and '_', which all kernels take.
    for (to, from) in load.prog_name.iter_mut().take(15).zip(program.name.bytes()) {
        *to = from as libc::c_char;
    }
    if let Some((id, module)) = program.function {
        load.attach_btf_id = id;
        load.__bindgen_anon_1.attach_btf_obj_fd = module.map_or(0, |fd| fd.as_raw_fd() as u32);
    }
    if !log.is_empty() {
        load.log_level = 1;
        load.log_size = log.len() as u32;
        load.log_buf = log.as_mut_ptr() as u64;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes).map(owned)
}

/// The last lines before the statistics, which name what the verifier refused.
fn last_lines(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("processed ") && !line.starts_with("verification time"))
        .collect();
    lines[lines.len().saturating_sub(2)..].join("; ")
}

/// Attaches a program to a raw tracepoint, or without a name to the function that it was loaded for.
pub(in super::super) fn raw_tracepoint(program: BorrowedFd<'_>, name: Option<&CStr>) -> io::Result<OwnedFd> {
    let mut attributes = empty();
    // SAFETY: the member of this command.
    let link = unsafe { &mut attributes.raw_tracepoint };
    link.prog_fd = program.as_raw_fd() as u32;
    link.name = name.map_or(0, |name| name.as_ptr() as u64);
    bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attributes).map(owned)
}

/// How often the kernel has skipped a program because its processor was marked as executing one (`recursion_misses`, Linux
/// 5.12; 0 before).
pub(in super::super) fn skipped(program: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: all members are plain numbers, for which zero is a value.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut attributes = empty();
    // SAFETY: the member of this command.
    let query = unsafe { &mut attributes.info };
    query.bpf_fd = program.as_raw_fd() as u32;
    query.info_len = size_of::<bpf_prog_info>() as u32;
    query.info = &raw mut info as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info.recursion_misses)
}
