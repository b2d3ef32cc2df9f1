//! From a kernel's error number to what an administrator can do.

use super::facts::{Capability, Facts};
use super::programs::HookError;
use super::report::Obstacle;
use crate::Rung;

/// `ENOTSUPP`, which the kernel has for itself and lets out here.
const ENOTSUPP: i32 = 524;

/// What each rung needs of the kernel's configuration.
const fn needs(rung: Rung) -> &'static [&'static str] {
    match rung {
        Rung::Fentry => &[
            "CONFIG_BPF_SYSCALL",
            "CONFIG_DEBUG_INFO_BTF",
            "CONFIG_DEBUG_INFO_BTF_MODULES",
        ],
        Rung::Kprobe => &[
            "CONFIG_BPF_SYSCALL",
            "CONFIG_KPROBES",
            "CONFIG_KPROBE_EVENTS",
            "CONFIG_BPF_EVENTS",
        ],
        Rung::Tracepoint => &["CONFIG_BPF_SYSCALL", "CONFIG_FTRACE_SYSCALLS", "CONFIG_BPF_EVENTS"],
        Rung::RawTracepoint => &["CONFIG_BPF_SYSCALL", "CONFIG_BPF_EVENTS"],
        Rung::Scan => &[],
    }
}

/// What keeps this rung from use.
pub(super) fn explain(rung: Rung, error: &HookError, facts: &Facts) -> Obstacle {
    let (why, remedy) = why(rung, error, facts);
    Obstacle {
        rung: Some(rung),
        what: format!("{error}: {why}"),
        remedy,
    }
}

fn why(rung: Rung, error: &HookError, facts: &Facts) -> (String, String) {
    if let Some(missing) = facts.missing_option(needs(rung)) {
        let remedy = format!("use a kernel that has {}", needs(rung).join(", "));
        return (missing, remedy);
    }
    match error {
        HookError::NoProgram(_) => (
            "this build does not have this hook".to_owned(),
            "use a complete build of the agent".to_owned(),
        ),
        HookError::NoTypes(_) => (
            "fentry needs the types of the driver's module".to_owned(),
            "use a kernel with CONFIG_DEBUG_INFO_BTF_MODULES=y, and build the driver with the kernel's vmlinux at hand \
             (DKMS does not by default)"
                .to_owned(),
        ),
        _ => by_number(rung, error, facts),
    }
}

fn by_number(rung: Rung, error: &HookError, facts: &Facts) -> (String, String) {
    match (error.errno(), error) {
        (Some(libc::EPERM | libc::EACCES), HookError::Tracefs(_)) => (
            "mounting one needs CAP_SYS_ADMIN".to_owned(),
            "mount it on the host (mount -t tracefs tracefs /sys/kernel/tracing; a container sees it below host.root), or \
             give the agent CAP_SYS_ADMIN"
                .to_owned(),
        ),
        // `bpf_obj_get_next_id` and `bpf_btf_get_fd_by_id` (kernel/bpf/syscall.c) ask for it whatever else there is.
        (Some(libc::EPERM), HookError::ModuleTypes { .. }) if !facts.has(Capability::SysAdmin) => (
            "the kernel tells the types of a module only with CAP_SYS_ADMIN".to_owned(),
            "nothing: a kprobe does the same".to_owned(),
        ),
        (Some(libc::EPERM | libc::EACCES), HookError::Load { source, .. }) if !source.log.is_empty() => (
            "the kernel's verifier did not take it".to_owned(),
            "report it with the kernel's version and this line".to_owned(),
        ),
        (Some(libc::EPERM | libc::EACCES), _) => facts.refused(),
        (Some(libc::ENOENT | libc::EADDRNOTAVAIL), _) if rung == Rung::Kprobe => (
            "this kernel has no such function, or does not allow probes, or several have its name".to_owned(),
            "see whether it is in /proc/kallsyms; a driver may have renamed it".to_owned(),
        ),
        (Some(libc::ENOENT), _) => (
            "this kernel has no such hook".to_owned(),
            format!("use a kernel that has {}", needs(rung).join(", ")),
        ),
        (Some(libc::EOPNOTSUPP | ENOTSUPP), _) => (
            "this kernel cannot attach programs to functions on this architecture (arm64 from Linux 6.4)".to_owned(),
            "use a newer kernel".to_owned(),
        ),
        (Some(libc::ENOSYS), _) => (
            "this kernel has no bpf(2)".to_owned(),
            "use a kernel that has CONFIG_BPF_SYSCALL".to_owned(),
        ),
        (Some(libc::ENOMEM), _) => (
            "there is no memory for it, or RLIMIT_MEMLOCK is too low (before Linux 5.11)".to_owned(),
            "raise the memory limit of the agent's container, or RLIMIT_MEMLOCK".to_owned(),
        ),
        _ => (
            format!("Linux {} does not take it", facts.release),
            "use Linux 5.8 or newer; report it if this is one".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn attach(errno: i32) -> HookError {
        HookError::Attach {
            to: "kprobe on f".into(),
            source: io::Error::from_raw_os_error(errno),
        }
    }

    #[test]
    fn a_missing_option_is_named_before_anything_else() {
        let mut facts = Facts::default();
        facts.options.insert("CONFIG_KPROBES", 'n');
        let told = explain(Rung::Kprobe, &attach(libc::ENOENT), &facts);
        assert!(told.what.contains("CONFIG_KPROBES"), "{told:?}");
        assert!(told.what.contains("kprobe on f"), "{told:?}");
        let told = explain(Rung::Tracepoint, &attach(libc::ENOENT), &facts);
        assert!(
            !told.what.contains("CONFIG_KPROBES"),
            "tracepoints do not need it: {told:?}"
        );
    }

    #[test]
    fn a_refusal_of_privileges_names_them() {
        let facts = Facts {
            capabilities: Some(0),
            ..Facts::default()
        };
        let told = explain(Rung::Kprobe, &attach(libc::EPERM), &facts);
        assert!(told.what.contains("CAP_BPF and CAP_PERFMON"), "{told:?}");
        let tracefs = HookError::Tracefs(io::Error::from_raw_os_error(libc::EPERM));
        assert!(
            explain(Rung::Tracepoint, &tracefs, &facts)
                .remedy
                .contains("mount -t tracefs")
        );
    }
}
