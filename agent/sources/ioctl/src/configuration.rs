//! The section `[ioctl]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use accelscope_core::device::Abi;
use accelscope_core::settings;
use accelscope_core::settings::textual::{list, optional, text};
use accelscope_core::settings::{Check, Enabled, Textual, nearest};

use super::families::Families;
use super::hook_setting::Hooks;

settings! {
    /// Device nodes of accelerators of every vendor: which processes hold them open, and their calls as the kernel sees
    /// them. No node is ever opened.
    pub struct Configuration {
        /// "auto": look for devices, and be quiet where there are none. true: it is an error if it cannot run. false: do not
        /// look.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// List of text: nodes to watch beside those that are found, as PATH[=FAMILY[@ABI]]. FAMILY is a value of
        /// accel.device.family, such as drm or accel; an unknown one is refused with a list of all. What is not recognised
        /// otherwise is other. ABI decides what the commands mean: the driver's name for drm and accel, else its version.
        /// extra_devices = ["/dev/my-npu", "/dev/my-gpu=drm@amdgpu"]
        #[serde(with = "list")]
        pub extra_devices: Vec<ExtraDevice> = Vec::new(),
        /// "auto": for each driver the best hook that the kernel allows. Or a list, of which the best is taken: "fentry" and
        /// "kprobe" see the driver's own function, "tracepoint" every ioctl, "raw_tracepoint" every system call; "scan"
        /// attaches nothing, and calls are not seen. On kernels that preempt their own tasks, all but "raw_tracepoint" lose
        /// calls, so that it is the best there; and "auto" takes it where kernel.perf_event_paranoid above 2 (Debian) keeps the
        /// agent's capabilities from attaching another.
        pub hooks: Hooks = Hooks::Auto,
        /// Path: a file with the kernel's BTF (bpftool, btfhub), for kernels that have none in /sys/kernel/btf/vmlinux. ""
        /// means none.
        #[serde(with = "optional")]
        pub btf: Option<PathBuf> = None,
        /// Duration, 100ms to 1h: time between two readings.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(1),
    }
}

impl settings::Settings for Configuration {
    fn enabled(&self) -> Enabled {
        self.enabled
    }

    fn validate(&self, check: &mut Check) {
        check.between(
            "period",
            self.period,
            Duration::from_millis(100),
            Duration::from_hours(1),
        );
        if let Some(btf) = &self.btf {
            check.absolute("btf", btf);
        }
        let families = Families::of(check.sources);
        for (nth, extra) in self.extra_devices.iter().enumerate() {
            let path = extra.path.display();
            if self.extra_devices[..nth].iter().any(|other| other.path == extra.path) {
                check.error("extra_devices", format!("{path} stands there twice; leave one out"));
            } else if !extra.path.starts_with("/dev") {
                check.warn(
                    "extra_devices",
                    format!("{path} is not below /dev; it is watched if it is the node of a device"),
                );
            }
            if let Err(fault) = extra.check(&families) {
                check.error("extra_devices", fault);
            }
        }
    }
}

/// What to write instead of a word that is not among the known ones.
pub(super) fn instead(word: &str, known: &[&str], some: &str) -> String {
    match nearest(word, known.iter().copied()).filter(|(likeness, _)| *likeness >= 0.5) {
        Some((_, meant)) => format!("did you mean {meant}?"),
        None => format!("write {some} {}", known.join(", ")),
    }
}

/// A node to watch: `PATH[=FAMILY[@ABI]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraDevice {
    /// The node, as a path of the host.
    pub path: PathBuf,
    /// Device family; detected if absent, with the fallback `other`.
    pub family: Option<String>,
    /// What decides what its commands mean: the driver's version or name.
    pub abi: Option<String>,
}

impl ExtraDevice {
    /// Refuses a family that no source has, and an ABI that its family has no use for.
    fn check(&self, families: &Families) -> Result<(), String> {
        let Some(name) = &self.family else {
            return Ok(());
        };
        let entry = self.show();
        let Some(family) = families.named(name) else {
            let remedy = instead(name, &families.names().collect::<Vec<_>>(), "one of");
            return Err(format!("{entry:?}: there is no family {name:?}; {remedy}"));
        };
        let Some(abi) = &self.abi else { return Ok(()) };
        match family.abi {
            Abi::DriverName => Ok(()),
            Abi::DriverVersion(versions) => match (versions.fault)(abi) {
                Some(fault) => Err(format!("{entry:?}: {fault}")),
                None => Ok(()),
            },
            Abi::Fixed => Err(format!(
                "{entry:?}: the commands of {family} do not depend on a version; leave \"@{abi}\" out"
            )),
        }
    }
}

impl Textual for ExtraDevice {
    const EXPECTED: &'static str = "a device as text, such as \"/dev/my-npu\" or \"/dev/my-gpu=drm@amdgpu\"";

    fn parse(entry: &str) -> Result<Self, String> {
        let (path, kind) = match entry.split_once('=') {
            Some((path, kind)) => (path.trim(), Some(kind.trim())),
            None => (entry, None),
        };
        if !path.starts_with('/') {
            return Err(format!(
                "{entry:?}: {path:?} is not an absolute path; write the device's node first, such as /dev/accel/accel0"
            ));
        }
        if path.split('/').any(|part| part == "..") {
            return Err(format!("{entry:?}: write the path without \"..\""));
        }
        let (family, abi) = match kind.map(|kind| kind.split_once('@').map_or((kind, None), |(f, abi)| (f, Some(abi))))
        {
            Some((family, abi)) => (Some(family.trim()), abi.map(str::trim)),
            None => (None, None),
        };
        if family == Some("") {
            return Err(format!(
                "{entry:?}: no family after \"=\"; write one, such as drm, or leave \"=\" out"
            ));
        }
        if abi == Some("") {
            return Err(format!(
                "{entry:?}: nothing after \"@\"; write the driver's version or name, such as drm@amdgpu, or leave \"@\" out"
            ));
        }
        Ok(Self {
            path: path.into(),
            family: family.map(ToOwned::to_owned),
            abi: abi.map(ToOwned::to_owned),
        })
    }

    fn show(&self) -> String {
        let family = self.family.as_ref().map(|family| format!("={family}"));
        let abi = self.abi.as_ref().map(|abi| format!("@{abi}"));
        format!(
            "{}{}{}",
            self.path.display(),
            family.unwrap_or_default(),
            abi.unwrap_or_default()
        )
    }
}
