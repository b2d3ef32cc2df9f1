//! Conditions for loading programs: privileges, settings and configuration of the kernel.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use accelscope_core::host::{HostRoots, user_namespace};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::budget;
use super::preemption::Preemption;

/// The conditions on this machine. Each may be unknown.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    /// Whether the agent is in a user namespace of its own, where its capabilities do not count for eBPF: the kernel asks for
    /// those in the initial one (`capable` in kernel/bpf/syscall.c and kernel/events/core.c).
    pub(super) has_own_user_namespace: bool,
    /// Bytes that may be locked in memory (`RLIMIT_MEMLOCK`); nothing for any number.
    pub(super) memlock: Option<u64>,
    /// Effective capabilities.
    pub(super) capabilities: Option<CapabilitySet>,
    /// The active lockdown mode (`integrity`, `confidentiality`); nothing for `none`.
    pub(super) lockdown: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub(super) unprivileged_bpf_disabled: Option<i64>,
    /// `kernel.perf_event_paranoid`.
    pub(super) perf_event_paranoid: Option<i64>,
    /// The [`OPTIONS`] of the kernel's configuration: `y`, `m`, or `n` if not set. Empty if the configuration is not known.
    pub(super) options: HashMap<&'static str, char>,
    /// The kernel's release, e.g. `6.1.0-28-arm64`.
    pub(super) release: String,
    /// Whether tasks are preempted within the kernel.
    pub(super) preemption: Preemption,
}

/// Options of the kernel that the programs need or that they depend on.
const OPTIONS: [&str; 15] = [
    "CONFIG_BPF_SYSCALL",
    "CONFIG_BPF_EVENTS",
    "CONFIG_FTRACE_SYSCALLS",
    "CONFIG_KPROBES",
    "CONFIG_KPROBE_EVENTS",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_DEBUG_INFO_BTF_MODULES",
    "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "CONFIG_PERF_EVENTS",
    "CONFIG_COMPAT",
    "CONFIG_IA32_EMULATION",
    "CONFIG_PREEMPT_NONE",
    "CONFIG_PREEMPT_VOLUNTARY",
    "CONFIG_PREEMPT",
    "CONFIG_PREEMPT_LAZY",
];
/// A configuration has some 12,000 lines.
const MOST_LINES: usize = 100_000;

impl Environment {
    /// Reads all conditions.
    pub(super) fn read(roots: &HostRoots) -> Self {
        let proc = |name: &str| std::fs::read_to_string(roots.proc().join(name)).ok();
        let number = |name: &str| proc(name)?.trim().parse().ok();
        let name = rustix::system::uname();
        let release = name.release().to_string_lossy().into_owned();
        let options = options(roots, &release);
        Self {
            has_own_user_namespace: user_namespace::is_own(),
            memlock: getrlimit(Resource::Memlock).current,
            capabilities: capabilities(None).ok().map(|sets| sets.effective),
            lockdown: std::fs::read_to_string(roots.sys().join("kernel/security/lockdown"))
                .ok()
                .and_then(|text| lockdown(&text)),
            unprivileged_bpf_disabled: number("sys/kernel/unprivileged_bpf_disabled"),
            perf_event_paranoid: number("sys/kernel/perf_event_paranoid"),
            preemption: Preemption::read(roots, &name.version().to_string_lossy(), &options),
            options,
            release,
        }
    }

    /// Whether a capability is effective; true if not known.
    pub(super) fn has(&self, capability: CapabilitySet) -> bool {
        self.capabilities.is_none_or(|effective| effective.contains(capability))
    }

    /// The first two numbers of the release.
    pub(super) fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.split(|one: char| !one.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// Whether the kernel is at least of that version; false if not known.
    pub(super) fn is_from(&self, major: u32, minor: u32) -> bool {
        self.version().is_some_and(|version| version >= (major, minor))
    }

    /// Whether programs are skipped here, and can look at the registers of the system call to make sure which call it is
    /// whose return they see (`bpf_task_pt_regs`, Linux 5.15).
    pub(super) fn verifies(&self) -> bool {
        self.preemption.skips(self) && self.is_from(5, 15)
    }

    /// Whether the kernel runs 32-bit programs; true if not known.
    pub(super) fn runs_compat(&self) -> bool {
        !self.lacks("CONFIG_COMPAT") && (cfg!(not(target_arch = "x86_64")) || !self.lacks("CONFIG_IA32_EMULATION"))
    }

    /// Whether an option is not set; false if not known.
    pub(super) fn lacks(&self, option: &str) -> bool {
        self.options.get(option) == Some(&'n')
    }

    /// A sentence with those of the options that are not set.
    pub(super) fn missing_option(&self, options: &[&str]) -> Option<String> {
        let lacking: Vec<_> = options.iter().copied().filter(|option| self.lacks(option)).collect();
        (!lacking.is_empty()).then(|| format!("this kernel was built without {}", lacking.join(", ")))
    }

    /// Why the kernel may have refused with `EPERM` or `EACCES`, and a remedy.
    pub(super) fn refused(&self) -> (String, String) {
        if let Some(refused) = self.refused_for_namespace() {
            return refused;
        }
        let bpf = self.has(CapabilitySet::SYS_ADMIN) || self.has(CapabilitySet::BPF);
        let perf = self.has(CapabilitySet::SYS_ADMIN) || self.has(CapabilitySet::PERFMON);
        if !bpf || !perf {
            let lacking = match (bpf, perf) {
                (false, false) => "CAP_BPF and CAP_PERFMON",
                (false, true) => "CAP_BPF",
                _ => "CAP_PERFMON",
            };
            let mut why = format!("the agent lacks {lacking}");
            if let Some(value @ 1..) = self.unprivileged_bpf_disabled {
                why.push_str(&format!(", and kernel.unprivileged_bpf_disabled is {value}"));
            }
            if let Some(value @ 2..) = self.perf_event_paranoid {
                why.push_str(&format!(", kernel.perf_event_paranoid {value}"));
            }
            return (
                why,
                "run the agent as root, or give it CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), and \
                 CAP_SYS_ADMIN too where tracefs is not mounted"
                    .to_owned(),
            );
        }
        if let Some(bytes) = self.scarce_memlock() {
            return (
                format!("this kernel counts eBPF maps as locked memory, of which the agent may have {bytes} bytes"),
                "raise RLIMIT_MEMLOCK: LimitMEMLOCK=infinity of its unit, `ulimit -l unlimited`, --ulimit memlock=-1 of its \
                 container; or give it CAP_SYS_RESOURCE, with which it raises the limit itself"
                    .to_owned(),
            );
        }
        if let Some(mode) = &self.lockdown {
            return (
                format!("the kernel is locked down ({mode})"),
                "boot with lockdown=integrity at most (confidentiality forbids reading kernel memory), or without \
                 Secure Boot"
                    .to_owned(),
            );
        }
        if let Some(refused) = self.refused_for_paranoia() {
            return refused;
        }
        (
            "the agent has the capabilities, so a security module, a seccomp filter or the kernel itself forbids it"
                .to_owned(),
            "look for a refusal in the kernel's log and the audit log; in a container run it with seccomp and AppArmor \
             profiles that allow bpf(2) and perf_event_open(2) (Unconfined; CRI-O's own allows them with CAP_SYS_ADMIN)"
                .to_owned(),
        )
    }

    /// As [`refused`](Self::refused), where it is for the agent's user namespace.
    pub(super) fn refused_for_namespace(&self) -> Option<(String, String)> {
        self.has_own_user_namespace.then(|| {
            (
                "the agent is in a user namespace of its own, and the kernel lets only processes of the initial one do so, \
                 whatever the capabilities"
                    .to_owned(),
                user_namespace::REMEDY.to_owned(),
            )
        })
    }

    /// The limit of locked memory, where maps count and have no room. Before Linux 5.11 the kernel refuses them with `EPERM`
    /// then (`bpf_charge_memlock` in kernel/bpf/syscall.c of 5.10); since, the control group's memory limit counts.
    fn scarce_memlock(&self) -> Option<u64> {
        let counts = self.version().is_some_and(|version| version < (5, 11));
        self.memlock.filter(|bytes| counts && *bytes < budget::BUDGET)
    }

    /// As [`refused`](Self::refused), where `kernel.perf_event_paranoid` is the likely cause: the agent has what mainline wants.
    pub(super) fn refused_for_paranoia(&self) -> Option<(String, String)> {
        // Values above 2 are patches of distributions: Debian's (tried with 6.1) and, until late 2025, Ubuntu's (Launchpad
        // 2131046) require CAP_SYS_ADMIN in any case.
        let value = self.perf_event_paranoid.filter(|value| *value > 2)?;
        let has_least = self.has(CapabilitySet::BPF) && self.has(CapabilitySet::PERFMON);
        (has_least && !self.has_own_user_namespace && self.lockdown.is_none() && !self.has(CapabilitySet::SYS_ADMIN)).then(|| {
            (
                format!(
                    "the agent has CAP_BPF and CAP_PERFMON, but a seccomp filter forbids it, or this kernel lets only \
                     CAP_SYS_ADMIN do so while kernel.perf_event_paranoid is {value}"
                ),
                "set kernel.perf_event_paranoid=2 on the host (sysctl), give the agent CAP_SYS_ADMIN, or add \
                 raw_tracepoint to ioctl.hooks"
                    .to_owned(),
            )
        })
    }
}

/// Of `none [integrity] confidentiality` the bracketed word.
fn lockdown(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    (mode != "none").then(|| mode.to_owned())
}

fn options(roots: &HostRoots, release: &str) -> HashMap<&'static str, char> {
    let packed = roots.proc().join("config.gz");
    let plain = [
        roots.path(format!("/boot/config-{release}")),
        roots.path(format!("/lib/modules/{release}/config")),
        roots.path(format!("/usr/lib/modules/{release}/config")),
    ];
    let gz = |path: &Path| -> io::Result<_> { scan(BufReader::new(flate2::read::GzDecoder::new(File::open(path)?))) };
    let text = |path: &Path| -> io::Result<_> { scan(BufReader::new(File::open(path)?)) };
    gz(&packed)
        .ok()
        .or_else(|| plain.iter().find_map(|path| text(path).ok()))
        .unwrap_or_default()
}

fn scan(reader: impl BufRead) -> io::Result<HashMap<&'static str, char>> {
    let mut found = HashMap::new();
    let mut any = false;
    for line in reader.lines().take(MOST_LINES) {
        let line = line?;
        any |= line.contains("CONFIG_");
        for option in OPTIONS {
            if let Some(value) = line.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')) {
                found.insert(option, value.chars().next().unwrap_or('n'));
            }
        }
    }
    if any {
        // Options with unmet dependencies are not listed.
        for option in OPTIONS {
            found.entry(option).or_insert('n');
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_configuration_are_set_or_not() {
        let text = "# CONFIG_KPROBES is not set\nCONFIG_BPF_EVENTS=y\nCONFIG_DEBUG_INFO_BTF=y\n";
        let environment = Environment {
            options: scan(text.as_bytes()).unwrap(),
            ..Environment::default()
        };
        assert!(!environment.lacks("CONFIG_BPF_EVENTS"));
        assert!(!environment.lacks("CONFIG_DEBUG_INFO_BTF"));
        assert_eq!(
            environment.missing_option(&["CONFIG_BPF_EVENTS", "CONFIG_KPROBES", "CONFIG_KPROBE_EVENTS"]),
            Some("this kernel was built without CONFIG_KPROBES, CONFIG_KPROBE_EVENTS".into())
        );
        assert!(
            !Environment::default().lacks("CONFIG_KPROBES"),
            "not known is not missing"
        );
    }

    #[test]
    fn a_refusal_names_what_is_missing() {
        let none = Environment {
            capabilities: Some(CapabilitySet::empty()),
            unprivileged_bpf_disabled: Some(2),
            perf_event_paranoid: Some(3),
            ..Environment::default()
        };
        assert_eq!(
            none.refused().0,
            "the agent lacks CAP_BPF and CAP_PERFMON, and kernel.unprivileged_bpf_disabled is 2, \
             kernel.perf_event_paranoid 3"
        );
        let all = |lockdown: Option<&str>| Environment {
            capabilities: Some(CapabilitySet::all()),
            lockdown: lockdown.map(str::to_owned),
            ..Environment::default()
        };
        assert!(all(Some("confidentiality")).refused().0.contains("locked down"));
        assert!(all(None).refused().0.contains("security module"));
        let memlock = |release: &str, bytes| Environment {
            memlock: bytes,
            release: release.to_owned(),
            ..all(None)
        };
        let old = memlock("5.10.0-28-amd64", Some(64 << 10)).refused();
        assert!(
            old.0.contains("65536 bytes") && old.1.contains("LimitMEMLOCK"),
            "{old:?}"
        );
        for other in [memlock("5.10.0", None), memlock("5.11.0", Some(64 << 10))] {
            assert!(other.refused().0.contains("security module"), "{other:?}");
        }
        let least = Environment {
            capabilities: Some(CapabilitySet::BPF | CapabilitySet::PERFMON),
            perf_event_paranoid: Some(4),
            ..Environment::default()
        };
        assert!(
            least.refused().1.contains("sysctl"),
            "as on Ubuntu: {:?}",
            least.refused()
        );
        assert_eq!(
            lockdown("none [integrity] confidentiality\n").as_deref(),
            Some("integrity")
        );
        assert_eq!(lockdown("[none] integrity confidentiality\n"), None);
    }
}
