//! Whether the kernel preempts tasks within itself, and what hooks lose there.
//!
//! A program is skipped while its processor is marked as executing one, and the mark is not the task's but the processor's.
//! Where tasks are preempted in the kernel, another task finds the mark of one that waits:
//!
//! - `fentry` and `fexit` (`__bpf_prog_enter_recur`, Linux 5.12): while a task is preempted in the same program.
//! - Kprobes and tracepoints (`trace_call_bpf`): while a task is preempted in an operation on a map by bpf(2), of any
//!   process (`bpf_disable_instrumentation`; it forbids preemption before Linux 5.11 except on `PREEMPT_RT`). The kernel
//!   counts what it skips since Linux 6.7 (commit dd8657894c11).
//! - Raw tracepoints run with preemption disabled and heed only their own mark: they lose nothing.

use std::collections::HashMap;

use accelscope_core::host::HostRoots;

use super::environment::Environment;
use super::tracefs::read_debugfs;
use crate::HookKind;

/// Whether tasks are preempted within the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Preemption {
    /// They are not.
    #[default]
    None,
    /// They are, or it cannot be ruled out: the model, as reports name it.
    Possible(String),
    /// They are nearly everywhere (`PREEMPT_RT`).
    RealTime,
}

/// Models of a kernel in which none is preempted.
const WITHOUT: [&str; 2] = ["none", "voluntary"];

impl Preemption {
    /// `version` is that of uname(2), which names how the kernel was built: `#1 SMP PREEMPT_DYNAMIC Debian 6.12.73-1`.
    pub(super) fn read(roots: &HostRoots, version: &str, options: &HashMap<&'static str, char>) -> Self {
        let now = read_debugfs(&roots.sys().join("kernel"), "sched/preempt").unwrap_or_default();
        let command_line = std::fs::read_to_string(roots.proc().join("cmdline")).unwrap_or_default();
        Self::of(version, &now, &command_line, options)
    }

    /// `now` is the content of `sched/preempt` in debugfs, empty where it cannot be read.
    fn of(version: &str, now: &str, command_line: &str, options: &HashMap<&'static str, char>) -> Self {
        let has = |word: &str| version.split_whitespace().any(|one| one == word);
        if has("PREEMPT_RT") {
            return Self::RealTime;
        }
        let is_dynamic = has("PREEMPT_DYNAMIC");
        if !is_dynamic && !version.contains("PREEMPT") {
            return Self::None;
        }
        let model = in_use(now)
            .or_else(|| command_line_model(command_line))
            .or_else(|| built_in(options))
            .filter(|_| is_dynamic || in_use(now).is_some());
        match model {
            Some(model) if WITHOUT.contains(&model) => Self::None,
            Some(model) => Self::Possible(format!("preempt={model}")),
            None if is_dynamic => Self::Possible("PREEMPT_DYNAMIC of a model that is not known".to_owned()),
            None => Self::Possible("CONFIG_PREEMPT".to_owned()),
        }
    }

    /// The kinds of hooks to try, the best first: where programs are skipped, those that lose the least. A kind of which
    /// the kernel does not count what it skips is only used if the user has named it.
    pub(super) fn order(&self, allowed: &[HookKind], named: bool, environment: &Environment) -> Vec<HookKind> {
        if !self.skips(environment) {
            return allowed.to_vec();
        }
        let counts_all = environment.is_from(6, 7);
        let mut kinds = vec![
            // Even if the user has not named it: the only one that loses nothing is worth what it costs.
            (HookKind::RawTracepoint, true),
            (HookKind::Kprobe, counts_all),
            (HookKind::Tracepoint, counts_all),
            (HookKind::Fentry, true),
        ];
        kinds.retain(|(kind, counted)| if named { allowed.contains(kind) } else { *counted });
        kinds.sort_by_key(|(_, counted)| !counted);
        let scan = allowed.iter().copied().filter(|kind| *kind == HookKind::Scan);
        kinds.into_iter().map(|(kind, _)| kind).chain(scan).collect()
    }

    /// Whether programs are skipped because tasks are preempted.
    pub(super) fn skips(&self, environment: &Environment) -> bool {
        match self {
            Self::None => false,
            Self::Possible(_) => environment.version().is_none_or(|version| version >= (5, 11)),
            Self::RealTime => true,
        }
    }

    /// For the report: what a hook loses on this kernel; nothing where it loses nothing.
    pub(super) fn loss(&self, hook: HookKind, environment: &Environment) -> Option<String> {
        let model = match self {
            Self::None => return None,
            Self::Possible(model) => model.as_str(),
            Self::RealTime => "PREEMPT_RT",
        };
        if !self.skips(environment) {
            return None;
        }
        let while_ = match hook {
            HookKind::Scan | HookKind::RawTracepoint => return None,
            HookKind::Fentry => "another task of the processor is preempted in the program",
            HookKind::Kprobe | HookKind::Tracepoint => {
                "another task of the processor is preempted in a map operation of bpf(2)"
            }
        };
        let counted = hook == HookKind::Fentry || environment.is_from(6, 7);
        let how = if counted {
            "agent.ioctl.lost counts them as skipped"
        } else {
            "this kernel does not count them"
        };
        Some(format!(
            "tasks are preempted in this kernel ({model}): calls are lost while {while_}, and {how}"
        ))
    }
}

/// The word in parentheses of `none voluntary (full)`.
fn in_use(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('(')?;
    Some(rest.split_once(')')?.0)
}

/// The last valid `preempt=` of the command line.
fn command_line_model(text: &str) -> Option<&str> {
    let models = ["none", "voluntary", "full", "lazy"];
    text.split_whitespace()
        .take_while(|word| *word != "--")
        .filter_map(|word| word.strip_prefix("preempt="))
        .filter(|model| models.contains(model))
        .last()
}

/// The model that the kernel was built for.
fn built_in(options: &HashMap<&'static str, char>) -> Option<&'static str> {
    [
        ("CONFIG_PREEMPT_NONE", "none"),
        ("CONFIG_PREEMPT_VOLUNTARY", "voluntary"),
        ("CONFIG_PREEMPT", "full"),
        ("CONFIG_PREEMPT_LAZY", "lazy"),
    ]
    .into_iter()
    .find(|(option, _)| options.get(option) == Some(&'y'))
    .map(|(_, model)| model)
}

#[cfg(test)]
#[path = "tests/preemption.rs"]
mod tests;
