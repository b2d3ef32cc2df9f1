//! Calls by the system call tables of other programs: 32-bit ones, and `int 0x80` of 64-bit ones.

use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use skip_test::skip;

use crate::caller::DEVICE;
use crate::seen::Agent;
use crate::tests::{CALLS, caller, executable};

/// Calls of each kind.
const EACH: u32 = 50;
const LARGE: u32 = 0x8765_4321;

pub(crate) fn seen() {
    seen_by("ioctl.hooks=raw_tracepoint");
    // The other hooks need a kprobe for them.
    let unseen = |hook| {
        let sets = ["--set", "ioctl.extra_devices=/dev/full=other", "--set", hook];
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_agent"));
        let output = doctor.arg("doctor").args(sets).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words: Vec<_> = text.split_whitespace().collect();
        words
            .join(" ")
            .contains("calls of 32-bit programs are not seen: no kprobe")
    };
    assert!(!unseen("ioctl.hooks=raw_tracepoint"));
    if unseen("ioctl.hooks=tracepoint") {
        return skip("kprobe", "doctor says that 32-bit calls are not seen by tracepoints");
    }
    seen_by("ioctl.hooks=tracepoint");
}

fn seen_by(hook: &str) {
    let Some(agent) = Agent::start(&["--set", hook]) else {
        return;
    };
    let status = caller(&["foreign"]).status().unwrap();
    if status.signal() == Some(libc::SIGSEGV) || status.code() == Some(77) {
        return skip("compat", "this kernel runs no 32-bit programs");
    }
    assert!(status.success(), "{status:?}");
    let executable = executable();
    let own = ("process.executable.name", executable.as_str());
    let each = f64::from(EACH);
    agent.wait("all calls", |agent| {
        (agent.sum(CALLS, &[own]) >= 3.0 * each).then_some(())
    });
    agent.readings(3);
    let of =
        |command: &str, error: &str| agent.sum(CALLS, &[own, ("accel.ioctl.command", command), ("error.type", error)]);
    let all = agent.matching(CALLS, &[own]);
    assert_eq!(of("0x00005451", ""), each, "FIOCLEX by the 32-bit table: {all:?}");
    assert_eq!(
        of("0x00005413", "ENOTTY"),
        each,
        "TIOCGWINSZ by the 32-bit table: {all:?}"
    );
    assert_eq!(
        of("0x87654321", "ENOTTY"),
        each,
        "a command with its sign bit set: {all:?}"
    );
    assert_eq!(
        agent.sum(CALLS, &[own]),
        3.0 * each,
        "lchown and setsockopt are none: {all:?}"
    );
    assert_eq!(agent.sum("accel.ioctl.inflight", &[own]), 0.0);
    assert_eq!(agent.sum("agent.ioctl.lost", &[]), 0.0);
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "system calls by another table")]
pub(crate) fn play(_: &[String]) {
    const IOCTL: u32 = 54;
    const LCHOWN: u32 = 16;
    const FIOCLEX: u32 = 0x5451;
    const TIOCGWINSZ: u32 = 0x5413;
    /// Errors by number.
    const EFAULT: i32 = -14;
    const ENOTTY: i32 = -25;
    const ENOTSOCK: i32 = -88;
    /// By the 32-bit table, whose arguments are in `ebx`, `ecx` and `edx`. Those of the 64-bit table get the same values.
    fn foreign(number: u32, first: u32, second: u32) -> i32 {
        let mut result = u64::from(number);
        // SAFETY: the kernel checks the arguments, none of which is an address that it may write to.
        unsafe {
            std::arch::asm!(
                "xchg {first}, rbx",
                "int 0x80",
                "xchg {first}, rbx",
                first = inout(reg) u64::from(first) => _,
                inout("rax") result,
                in("rcx") u64::from(second),
                in("rdx") 0_u64,
                in("rdi") u64::from(first),
                in("rsi") u64::from(second),
                lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
            );
        }
        result as i32
    }
    let device = std::fs::File::open(DEVICE).unwrap();
    let descriptor = device.as_raw_fd();
    for _ in 0..EACH {
        let first = foreign(IOCTL, descriptor as u32, FIOCLEX);
        if first == -libc::ENOSYS {
            std::process::exit(77);
        }
        assert_eq!(first, 0);
        assert_eq!(foreign(IOCTL, descriptor as u32, TIOCGWINSZ), ENOTTY);
        assert_eq!(foreign(IOCTL, descriptor as u32, LARGE), ENOTTY);
        assert_eq!(foreign(LCHOWN, descriptor as u32, FIOCLEX), EFAULT);
        // SAFETY: the kernel checks the arguments; the number is that of setsockopt(2) in the 64-bit table.
        let result = unsafe { libc::syscall(i64::from(IOCTL), descriptor, FIOCLEX, 0, 0, 0) };
        assert_eq!(result, -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(-ENOTSOCK));
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn play(_: &[String]) {
    std::process::exit(77);
}
