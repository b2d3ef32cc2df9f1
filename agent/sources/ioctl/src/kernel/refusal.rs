//! Explanations of the kernel's errors, with remedies.

use super::environment::Environment;
use super::hooks::HookError;
use super::load::LoadError;
use super::object::ObjectError;
use crate::HookKind;
use crate::sampler::NAME;
use accelscope_core::exhausted;
use accelscope_core::sampler::Finding;
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;

/// `ENOTSUPP`, an internal error number of the kernel that bpf(2) returns nevertheless.
const ENOTSUPP: i32 = 524;

/// Options of the kernel's configuration that a kind of hook needs.
const fn needs(hook: HookKind) -> &'static [&'static str] {
    match hook {
        HookKind::Fentry => &[
            "CONFIG_BPF_SYSCALL",
            "CONFIG_DEBUG_INFO_BTF",
            "CONFIG_DEBUG_INFO_BTF_MODULES",
        ],
        HookKind::Kprobe => &[
            "CONFIG_BPF_SYSCALL",
            "CONFIG_KPROBES",
            "CONFIG_KPROBE_EVENTS",
            "CONFIG_BPF_EVENTS",
        ],
        HookKind::Tracepoint => &["CONFIG_BPF_SYSCALL", "CONFIG_FTRACE_SYSCALLS", "CONFIG_BPF_EVENTS"],
        HookKind::RawTracepoint => &["CONFIG_BPF_SYSCALL", "CONFIG_BPF_EVENTS"],
        HookKind::Scan => &[],
    }
}

/// Why a hook cannot be used.
pub(super) fn explain(hook: HookKind, error: &HookError, environment: &Environment) -> Finding {
    let (why, remedy) = why(hook, error, environment);
    Finding::warn(NAME, format!("no {hook}: {error}: {why}")).with_remedy(remedy)
}

/// Why a program that no device needs for itself is not attached, and what is lost without it.
pub(super) fn explain_common(error: &HookError, loss: &str, environment: &Environment) -> Finding {
    let (why, remedy) = why(HookKind::RawTracepoint, error, environment);
    Finding::warn(NAME, format!("{error}: {why}: {loss}")).with_remedy(remedy)
}

/// Why nothing could be loaded.
pub(super) fn explain_load(error: &LoadError, environment: &Environment) -> Finding {
    let (why, remedy) = match error {
        LoadError::Object(ObjectError::Map { source, .. }) => match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => environment.refused(),
            Some(libc::ENOSYS) => no_bpf(),
            number => exhaustion(number).unwrap_or_else(|| {
                (
                    format!("Linux {} does not have such maps", environment.release),
                    "use Linux 5.8 or newer".to_owned(),
                )
            }),
        },
        LoadError::Object(_) => (
            "this build cannot see calls".to_owned(),
            "use a complete build of the agent for x86_64 or arm64".to_owned(),
        ),
        LoadError::Calibration(error) => exhaustion(error.raw_os_error()).unwrap_or_else(|| {
            (
                "nothing is known of this kernel".to_owned(),
                "name a file with this kernel's BTF in ioctl.btf".to_owned(),
            )
        }),
        LoadError::Hook(error) => {
            let (why, remedy) = why(HookKind::Tracepoint, error, environment);
            (format!("{error}: {why}"), remedy)
        }
    };
    Finding::warn(NAME, format!("{error}: {why}")).with_remedy(remedy)
}

/// What the process or the machine has no more of, by the number of the kernel's error: nothing that the kernel lacks.
fn exhaustion(number: Option<i32>) -> Option<(String, String)> {
    let (why, remedy) = match number? {
        libc::EMFILE => {
            let most = getrlimit(Resource::Nofile).current;
            let most = most.map_or_else(String::new, |most| format!(", which is {most}"));
            (
                format!("the agent has as many files open as its limit (RLIMIT_NOFILE{most}) lets it have"),
                exhausted::FILES_OF_PROCESS,
            )
        }
        libc::ENFILE => (
            "the machine has as many files open as it may".to_owned(),
            exhausted::FILES_OF_MACHINE,
        ),
        libc::ENOMEM => (
            "there is no memory for it".to_owned(),
            "raise the memory limit of the agent's unit or container by 8 MiB, or free memory of the machine",
        ),
        libc::ENOSPC => (
            "the kernel has no place left for it".to_owned(),
            "end what has loaded so many eBPF programs or probes (`bpftool prog`, `perf probe --list`)",
        ),
        libc::EAGAIN => (
            "the agent may have no more threads or locked memory, or was interrupted".to_owned(),
            "raise TasksMax of its unit or pids.max of its container; it is tried again by itself",
        ),
        _ => return None,
    };
    Some((why, remedy.to_owned()))
}

fn no_bpf() -> (String, String) {
    (
        "this kernel has no bpf(2)".to_owned(),
        "use a kernel that has CONFIG_BPF_SYSCALL".to_owned(),
    )
}

fn why(hook: HookKind, error: &HookError, environment: &Environment) -> (String, String) {
    // Types that could not be read have no number.
    let number = error.errno().or_else(|| exhausted::number(&error.to_string()));
    if let Some(exhausted) = exhaustion(number) {
        return exhausted;
    }
    if let (Some(libc::EPERM | libc::EACCES), Some(refused)) = (number, environment.refused_for_namespace()) {
        return refused;
    }
    // A setting is easier to change than the kernel, and the kernel refuses before it looks for what it was built without.
    if let (Some(libc::EPERM | libc::EACCES), HookError::Attach { .. }) = (error.errno(), error)
        && let Some(refused) = environment.refused_for_paranoia()
    {
        return refused;
    }
    if let Some(missing) = environment.missing_option(needs(hook)) {
        let remedy = format!("use a kernel that has {}", needs(hook).join(", "));
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
        _ => by_number(hook, error, environment),
    }
}

fn by_number(hook: HookKind, error: &HookError, environment: &Environment) -> (String, String) {
    match (error.errno(), error) {
        (Some(libc::EPERM | libc::EACCES), HookError::Tracefs(_)) => (
            "mounting one needs CAP_SYS_ADMIN".to_owned(),
            "mount it on the host (mount -t tracefs tracefs /sys/kernel/tracing; a container sees it below host.root), or \
             give the agent CAP_SYS_ADMIN"
                .to_owned(),
        ),
        // `bpf_obj_get_next_id` and `bpf_btf_get_fd_by_id` (kernel/bpf/syscall.c) require it regardless of other capabilities.
        (Some(libc::EPERM), HookError::ModuleTypes { .. }) if !environment.has(CapabilitySet::SYS_ADMIN) => (
            "the kernel gives access to the types of a module only with CAP_SYS_ADMIN".to_owned(),
            "nothing: a kprobe does the same".to_owned(),
        ),
        (Some(libc::EPERM | libc::EACCES), HookError::Load { source, .. }) if !source.log.is_empty() => (
            "the kernel's verifier did not take it".to_owned(),
            "report it with the kernel's version and this line".to_owned(),
        ),
        (Some(libc::EPERM | libc::EACCES), _) => environment.refused(),
        (Some(libc::ENOENT | libc::EADDRNOTAVAIL), _) if hook == HookKind::Kprobe => (
            "this kernel has no such function, or does not allow probes, or several have its name".to_owned(),
            "see whether it is in /proc/kallsyms; a driver may have renamed it".to_owned(),
        ),
        (Some(libc::ENOENT), _) => (
            "this kernel has no such hook".to_owned(),
            format!("use a kernel that has {}", needs(hook).join(", ")),
        ),
        (Some(libc::EOPNOTSUPP | ENOTSUPP), _) => (
            "this kernel cannot attach programs to functions on this architecture (arm64 from Linux 6.4)".to_owned(),
            "use a newer kernel".to_owned(),
        ),
        (Some(libc::ENOSYS), _) => no_bpf(),
        _ => (
            format!("Linux {} does not take it", environment.release),
            "use Linux 5.8 or newer; report it if this is one".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sys::LoadError as LoadRefusal;
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
        let mut environment = Environment::default();
        environment.options.insert("CONFIG_KPROBES", 'n');
        let explained = explain(HookKind::Kprobe, &attach(libc::ENOENT), &environment);
        assert!(explained.what.starts_with("no kprobe: "), "{explained:?}");
        assert!(explained.what.contains("CONFIG_KPROBES"), "{explained:?}");
        assert!(explained.what.contains("kprobe on f"), "{explained:?}");
        let explained = explain(HookKind::Tracepoint, &attach(libc::ENOENT), &environment);
        assert!(
            !explained.what.contains("CONFIG_KPROBES"),
            "tracepoints do not need it: {explained:?}"
        );
    }

    #[test]
    fn what_perf_event_paranoid_forbids_is_no_matter_of_the_kernels_options() {
        let mut environment = Environment {
            capabilities: Some(CapabilitySet::BPF | CapabilitySet::PERFMON),
            perf_event_paranoid: Some(3),
            ..Environment::default()
        };
        environment.options.insert("CONFIG_FTRACE_SYSCALLS", 'n');
        environment.options.insert("CONFIG_KPROBE_EVENTS", 'n');
        for hook in [HookKind::Kprobe, HookKind::Tracepoint] {
            let remedy = explain(hook, &attach(libc::EACCES), &environment).remedy.unwrap();
            assert!(
                remedy.contains("kernel.perf_event_paranoid=2") && remedy.contains("raw_tracepoint to ioctl.hooks"),
                "{remedy}"
            );
            assert!(!remedy.contains("CONFIG_"), "{remedy}");
        }
    }

    #[test]
    fn what_is_exhausted_is_no_matter_of_the_kernel_nor_of_rights() {
        let mut environment = Environment {
            has_own_user_namespace: true,
            ..Environment::default()
        };
        environment.options.insert("CONFIG_KPROBES", 'n');
        let map = |number| {
            let refused = ObjectError::map("RECORDS")(io::Error::from_raw_os_error(number));
            explain_load(&refused.into(), &environment)
        };
        let program = |number| HookError::Load {
            name: "ioctl_enter".into(),
            source: LoadRefusal {
                source: io::Error::from_raw_os_error(number),
                log: String::new(),
            },
        };
        let types = |number| HookError::NoTypes(io::Error::from_raw_os_error(number).to_string());
        for (number, words) in [
            (libc::EMFILE, "LimitNOFILE="),
            (libc::ENFILE, "fs.file-max"),
            (libc::ENOMEM, "memory limit"),
            (libc::ENOSPC, "bpftool"),
        ] {
            let calibration = LoadError::Calibration(io::Error::from_raw_os_error(number));
            let mut all = vec![
                map(number),
                explain_load(&calibration, &environment),
                explain(HookKind::Kprobe, &attach(number), &environment),
                explain(HookKind::RawTracepoint, &program(number), &environment),
                explain_common(&program(number), "", &environment),
            ];
            if [libc::EMFILE, libc::ENFILE].contains(&number) {
                all.push(explain(HookKind::Fentry, &types(number), &environment));
            }
            for finding in all {
                assert!(finding.remedy.as_ref().unwrap().contains(words), "{finding:?}");
                for wrong in ["does not", "Linux 5.8", "CONFIG_", "namespace"] {
                    assert!(!finding.what.contains(wrong), "{wrong}: {finding:?}");
                }
            }
        }
    }

    #[test]
    fn in_a_user_namespace_no_capability_and_no_setting_is_the_reason() {
        let mut environment = Environment {
            has_own_user_namespace: true,
            capabilities: Some(CapabilitySet::BPF | CapabilitySet::PERFMON),
            perf_event_paranoid: Some(3),
            ..Environment::default()
        };
        environment.options.insert("CONFIG_KPROBES", 'n');
        let refused = || io::Error::from_raw_os_error(libc::EPERM);
        let types = HookError::ModuleTypes {
            module: "acme".into(),
            source: refused(),
        };
        for finding in [
            explain_load(&ObjectError::map("RECORDS")(refused()).into(), &environment),
            explain(HookKind::Kprobe, &attach(libc::EPERM), &environment),
            explain(HookKind::Tracepoint, &HookError::Tracefs(refused()), &environment),
            explain(HookKind::Fentry, &types, &environment),
        ] {
            assert!(finding.what.contains("user namespace"), "{finding:?}");
            assert!(finding.remedy.unwrap().contains("initial user namespace"));
        }
    }

    #[test]
    fn a_refusal_of_privileges_names_them() {
        let environment = Environment {
            capabilities: Some(CapabilitySet::empty()),
            ..Environment::default()
        };
        let explained = explain(HookKind::Kprobe, &attach(libc::EPERM), &environment);
        assert!(explained.what.contains("CAP_BPF and CAP_PERFMON"), "{explained:?}");
        let tracefs = HookError::Tracefs(io::Error::from_raw_os_error(libc::EPERM));
        let remedy = explain(HookKind::Tracepoint, &tracefs, &environment).remedy;
        assert!(remedy.unwrap().contains("mount -t tracefs"));
    }
}
