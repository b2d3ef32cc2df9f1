//! Checks after each scenario of `xtask/vm/init`.

mod attributed;
mod clock;
mod cost;
mod hang;
mod ipmi;
mod known;
mod made;
mod reload;
mod unprivileged;

use anyhow::Result;

use super::kernel::Driver;
use super::outcome::Left;
use made::Phase;

/// A scenario and its check. The check's result is printed after the scenario's name.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The kernels that play it are those with this driver.
    pub(super) driver: Driver,
    /// The function `scenario_PLAYED` of `xtask/vm/init`: two checks may look at the files of one.
    pub(super) played: &'static str,
    pub(super) judge: Judge,
}

/// Start of the result of a scenario that the kernel does not support.
pub(super) const SKIPPED: &str = "SKIPPED: ";

/// A kind of hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Fentry,
    Kprobe,
    Tracepoint,
    RawTracepoint,
}

impl Rung {
    /// Its name in `ioctl.hooks`.
    fn word(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
            Self::RawTracepoint => "raw_tracepoint",
        }
    }

    /// `enum bpf_prog_type` of the executed programs: tracing (a raw tracepoint with type information too), kprobe,
    /// tracepoint.
    fn program_type(self) -> u32 {
        match self {
            Self::Fentry | Self::RawTracepoint => 26,
            Self::Kprobe => 2,
            Self::Tracepoint => 5,
        }
    }
}

/// In their order of execution.
pub(super) const SCENARIOS: &[Scenario] = &[
    stub(
        "kprobe",
        "a driver without type information, as DKMS builds it: hooked by kprobe",
        |left| attributed::judge(left, Rung::Kprobe),
    ),
    stub(
        "fentry",
        "a driver with type information, as a distribution builds it: hooked by fentry",
        |left| attributed::judge(left, Rung::Fentry),
    ),
    stub("line5", "a driver of the 5.x line: hooked by kprobe", |left| {
        attributed::judge(left, Rung::Kprobe)
    }),
    stub(
        "tracepoint",
        "the system call's tracepoints, because ioctl.hooks says so",
        |left| attributed::judge(left, Rung::Tracepoint),
    ),
    stub(
        "no_btf",
        "the kernel tells nothing about its types: hooked by kprobe",
        |left| attributed::judge(left, Rung::Kprobe),
    ),
    stub("no_btf_tracepoint", "the same with tracepoints", |left| {
        attributed::judge(left, Rung::Tracepoint)
    }),
    stub(
        "hang",
        "a call that takes 20 s is seen while it does, and counted when it ends",
        hang::judge,
    ),
    stub(
        "clock",
        "the clock is set back by an hour: no count starts after it is read",
        clock::judge,
    ),
    stub(
        "reload",
        "the driver comes, goes, and another comes, while the agent runs",
        reload::judge,
    ),
    stub(
        "held",
        "a driver that is hooked by fentry cannot be unloaded while the agent runs, and doctor says so",
        reload::held,
    ),
    stub(
        "unprivileged",
        "no privilege at all: the rest goes on, and one line says so",
        unprivileged::judge,
    ),
    vgem(
        "load_auto",
        "load_auto",
        "the best hook of this kernel: a module's function under load from many threads, while eBPF maps are changed",
        |left| made::judge(left, None, Phase::Load),
    ),
    vgem(
        "compat_auto",
        "load_auto",
        "the best hook of this kernel: a 32-bit process, and 32-bit system calls of a 64-bit one",
        |left| made::judge(left, None, Phase::Compat),
    ),
    vgem(
        "load_fentry",
        "load_fentry",
        "fentry: a module's function under load from many threads, while eBPF maps are changed",
        |left| made::judge(left, Some(Rung::Fentry), Phase::Load),
    ),
    vgem(
        "compat_fentry",
        "load_fentry",
        "fentry: a 32-bit process, and 32-bit system calls of a 64-bit one",
        |left| made::judge(left, Some(Rung::Fentry), Phase::Compat),
    ),
    vgem(
        "load_kprobe",
        "load_kprobe",
        "kprobe: a module's function under load from many threads, while eBPF maps are changed",
        |left| made::judge(left, Some(Rung::Kprobe), Phase::Load),
    ),
    vgem(
        "compat_kprobe",
        "load_kprobe",
        "kprobe: a 32-bit process, and 32-bit system calls of a 64-bit one",
        |left| made::judge(left, Some(Rung::Kprobe), Phase::Compat),
    ),
    vgem(
        "load_tracepoint",
        "load_tracepoint",
        "tracepoint: a module's function under load from many threads, while eBPF maps are changed",
        |left| made::judge(left, Some(Rung::Tracepoint), Phase::Load),
    ),
    vgem(
        "compat_tracepoint",
        "load_tracepoint",
        "tracepoint: a 32-bit process, and 32-bit system calls of a 64-bit one",
        |left| made::judge(left, Some(Rung::Tracepoint), Phase::Compat),
    ),
    vgem(
        "load_raw_tracepoint",
        "load_raw_tracepoint",
        "raw_tracepoint: a module's function under load from many threads, while eBPF maps are changed",
        |left| made::judge(left, Some(Rung::RawTracepoint), Phase::Load),
    ),
    vgem(
        "compat_raw_tracepoint",
        "load_raw_tracepoint",
        "raw_tracepoint: a 32-bit process, and 32-bit system calls of a 64-bit one",
        |left| made::judge(left, Some(Rung::RawTracepoint), Phase::Compat),
    ),
    ipmi(
        "ipmi",
        "a BMC with sensors: their values, chassis and event log, and that they are followed",
        ipmi::judge,
    ),
    ipmi(
        "ipmi_denied",
        "a BMC whose device may not be opened: nothing is shown, doctor says why",
        ipmi::denied,
    ),
];

const fn ipmi(name: &'static str, about: &'static str, judge: Judge) -> Scenario {
    Scenario {
        name,
        about,
        driver: Driver::Ipmi,
        played: name,
        judge,
    }
}

type Judge = fn(&Left) -> Result<String>;

const fn stub(name: &'static str, about: &'static str, judge: Judge) -> Scenario {
    Scenario {
        name,
        about,
        driver: Driver::Stub,
        played: name,
        judge,
    }
}

const fn vgem(name: &'static str, played: &'static str, about: &'static str, judge: Judge) -> Scenario {
    Scenario {
        name,
        about,
        driver: Driver::Vgem,
        played,
        judge,
    }
}
