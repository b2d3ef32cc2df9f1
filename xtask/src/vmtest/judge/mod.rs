//! Checks after each scenario of `xtask/vm/init`.

mod attributed;
mod cost;
mod hang;
mod known;
mod reload;
mod unprivileged;

use anyhow::Result;

use super::outcome::Left;

/// A scenario and its check. The check's result is printed after the scenario's name.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) judge: fn(&Left) -> Result<String>,
}

/// Start of the result of a scenario that the kernel does not support.
pub(super) const SKIPPED: &str = "SKIPPED: ";

/// A kind of hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Fentry,
    Kprobe,
    Tracepoint,
}

impl Rung {
    /// `enum bpf_prog_type` of the executed programs: tracing, kprobe, tracepoint.
    fn program_type(self) -> u32 {
        match self {
            Self::Fentry => 26,
            Self::Kprobe => 2,
            Self::Tracepoint => 5,
        }
    }
}

/// The functions `scenario_NAME` of `xtask/vm/init`, in their order of execution.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "kprobe",
        about: "a driver without type information, as DKMS builds it: hooked by kprobe",
        judge: |left| attributed::judge(left, Rung::Kprobe),
    },
    Scenario {
        name: "fentry",
        about: "a driver with type information, as a distribution builds it: hooked by fentry",
        judge: |left| attributed::judge(left, Rung::Fentry),
    },
    Scenario {
        name: "line5",
        about: "a driver of the 5.x line: hooked by kprobe",
        judge: |left| attributed::judge(left, Rung::Kprobe),
    },
    Scenario {
        name: "tracepoint",
        about: "the system call's tracepoints, because ioctl.hooks says so",
        judge: |left| attributed::judge(left, Rung::Tracepoint),
    },
    Scenario {
        name: "no_btf",
        about: "the kernel tells nothing about its types: hooked by kprobe",
        judge: |left| attributed::judge(left, Rung::Kprobe),
    },
    Scenario {
        name: "no_btf_tracepoint",
        about: "the same with tracepoints",
        judge: |left| attributed::judge(left, Rung::Tracepoint),
    },
    Scenario {
        name: "hang",
        about: "a call that takes 10 s is seen while it does, and counted when it ends",
        judge: hang::judge,
    },
    Scenario {
        name: "reload",
        about: "the driver comes, goes, and another comes, while the agent runs",
        judge: reload::judge,
    },
    Scenario {
        name: "held",
        about: "a driver that is hooked by fentry cannot be unloaded while the agent runs, and doctor says so",
        judge: reload::held,
    },
    Scenario {
        name: "unprivileged",
        about: "no privilege at all: the rest goes on, and one line says so",
        judge: unprivileged::judge,
    },
];
