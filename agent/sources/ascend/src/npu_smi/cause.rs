//! Causes of the tool's errors, and the driver's return codes.

/// Cause of an error of the tool or of the driver's library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The driver's library could not start (-8005): the driver is not loaded, was upgraded without a reboot, or its
    /// device nodes cannot be opened.
    NotInitialized,
    /// The caller lacks the permission (-8002).
    NotPermitted,
    /// Another container owns the device (-8020).
    DeviceInUse,
    /// One chip does not answer, and the tool gives up the whole table.
    DeadChip,
    /// The driver gives no list of cards.
    NoCardList,
    /// There is no card (-8008).
    NoCard,
    /// The driver did not answer in time (-8006).
    TimedOut,
    /// The device is starting, being reset or being upgraded (-8012, -8015, -8016, -8017).
    NotReady,
    /// The chip or its driver does not support the query (-8255).
    NotSupported,
    /// The tool does not know the argument.
    BadArgument,
    /// A library of the driver is not where the loader looks for it.
    MissingLibrary,
    /// A library of the driver is there and cannot be used: it is of another architecture, empty or damaged.
    BadLibrary,
    /// The C or C++ library of the container is older than the tool requires.
    OldRuntime,
    /// The container has another C library than the tool requires, or not its loader.
    NoLoader,
    /// The tool and the driver's libraries are of different versions.
    Mismatch,
    /// The tool is built for another architecture.
    OtherArchitecture,
    /// The tool, or what starts it, is not there.
    NotThere,
    /// The tool may not be executed.
    NotExecutable,
    /// What starts the tool may not enter the namespaces or the root directory of the host.
    NoNamespace,
    /// Memory or processes are exhausted, or the tool was killed for that.
    NoResources,
    /// The tool crashed.
    Crashed,
    /// Another error.
    Other,
}

impl Cause {
    /// Meaning of the error, for messages.
    pub const fn meaning(self) -> &'static str {
        self.texts().1
    }

    /// What the user can do about it.
    pub const fn remedy(self) -> &'static str {
        self.texts().2
    }

    /// Value of the attribute `agent.reason`, or part of it.
    pub const fn as_str(self) -> &'static str {
        self.texts().0
    }

    /// Word, meaning and remedy.
    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::NotInitialized => (
                "not_initialized",
                "the Ascend driver cannot be reached",
                "load the driver (`lsmod | grep drv_`), reboot if it was upgraded since, and let the agent run as root \
                 or in the group HwHiAiUser with /dev/davinci* and /dev/davinci_manager in its container",
            ),
            Self::NotPermitted => (
                "not_permitted",
                "the Ascend driver refuses this user",
                "run the agent as root in a privileged container",
            ),
            Self::DeviceInUse => (
                "device_in_use",
                "another container owns the device",
                "run the agent's container privileged: two unprivileged containers cannot share a card",
            ),
            Self::DeadChip => (
                "dead_chip",
                "one chip does not answer, and the tool then lists none",
                "find the chip with `npu-smi info -l` and `npu-smi info -t health -i N`, then reset it or reboot",
            ),
            Self::NoCardList => (
                "no_card_list",
                "the Ascend driver gives no list of cards",
                "look at `dmesg` for errors of the Ascend driver, and reboot if it was upgraded",
            ),
            Self::NoCard => (
                "no_card",
                "there is no NPU card",
                "check `lspci -d 19e5:` and that the cards' driver is loaded",
            ),
            Self::TimedOut => (
                "timed_out",
                "the Ascend driver did not answer in time",
                "look at `dmesg` for a stuck chip, and at how many others ask the driver",
            ),
            Self::NotReady => (
                "not_ready",
                "the device is not ready",
                "wait; if it lasts, reset the device or reboot",
            ),
            Self::NotSupported => (
                "not_supported",
                "the chip or its driver does not support this",
                "nothing: this value stays absent",
            ),
            Self::BadArgument => (
                "bad_argument",
                "this version of the tool does not know the argument",
                "update the driver package, or report this with the versions of tool and driver",
            ),
            Self::Other => ("other", "it failed", "run `npu-smi info` yourself, and look at `dmesg`"),
            _ => self.start_texts(),
        }
    }

    /// The same for what keeps the tool from starting.
    const fn start_texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::MissingLibrary => (
                "missing_library",
                "a library of the Ascend driver is missing where the tool is started",
                "mount the host's /usr/local/Ascend/driver and /usr/local/dcmi into the agent's container, read-only and \
                 at the same paths; its directories lib64, lib64/common and lib64/driver are searched",
            ),
            Self::BadLibrary => (
                "bad_library",
                "a library of the Ascend driver cannot be loaded",
                "mount /usr/local/Ascend/driver and /usr/local/dcmi of this host, for its architecture and without noexec; \
                 on the host, install the driver's package again",
            ),
            Self::OldRuntime => (
                "old_runtime",
                "the C or C++ library beside the agent is older than the tool requires",
                "run the agent in an image whose glibc and libstdc++ are as new as the host's, or on the host itself",
            ),
            Self::NoLoader => (
                "no_loader",
                "the container lacks the loader or the C library that the tool is built for",
                "run the agent in an image with glibc (Debian, Ubuntu, openEuler; not Alpine), or on the host itself; of a \
                 script, install its interpreter",
            ),
            Self::Mismatch => (
                "mismatch",
                "the tool and the driver's libraries are of different versions",
                "mount tool and libraries of the same driver package: /usr/local/sbin/npu-smi, /usr/local/Ascend/driver and \
                 /usr/local/dcmi of this host",
            ),
            Self::OtherArchitecture => (
                "other_architecture",
                "the tool is no program for this machine's architecture",
                "mount the host's own npu-smi, or set ascend.npu_smi to it",
            ),
            Self::NotThere => (
                "not_there",
                "the tool is not where it is started",
                "mount the host's /usr/local/sbin/npu-smi into the agent's container, or set ascend.npu_smi to its path; in \
                 a script, call it by its full path",
            ),
            Self::NotExecutable => (
                "not_executable",
                "the tool may not be executed",
                "make it executable (`chmod a+rx`), mount it without noexec, and run the agent as root",
            ),
            Self::NoNamespace => (
                "no_namespace",
                "the host's namespaces or root directory cannot be entered",
                "run the agent's pod with hostPID: true and its container privileged (CAP_SYS_ADMIN, CAP_SYS_PTRACE, \
                 CAP_SYS_CHROOT), or mount tool and driver and leave ascend.npu_smi out",
            ),
            Self::NoResources => (
                "no_resources",
                "there is not enough memory, or no further process is permitted, for the tool",
                "raise the limits of memory and processes of the agent's container: the tool runs in it",
            ),
            Self::Crashed => (
                "crashed",
                "the tool crashed",
                "run `npu-smi info` yourself; if it crashes too, install the driver's package again, else mount tool and \
                 libraries of the same package",
            ),
            _ => Self::Other.texts(),
        }
    }

    /// Cause of a return code of the driver's library (`dcmi_interface_api.h` of the driver's source).
    pub const fn of_code(code: i32) -> Self {
        match code {
            -8002 => Self::NotPermitted,
            -8005 => Self::NotInitialized,
            -8006 => Self::TimedOut,
            -8008 => Self::NoCard,
            -8012 | -8015 | -8016 | -8017 => Self::NotReady,
            -8020 => Self::DeviceInUse,
            -8255 => Self::NotSupported,
            _ => Self::Other,
        }
    }
}

/// Return code behind an exit status of the tool, which is the code's low byte.
pub fn code_of_exit(status: i32) -> Option<i32> {
    [-8002, -8005, -8006, -8008, -8012, -8020, -8255, -9005]
        .into_iter()
        .find(|code| code & 0xff == status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_gives_the_code() {
        assert_eq!(code_of_exit(187), Some(-8005));
        assert_eq!(code_of_exit(172), Some(-8020));
        assert_eq!(code_of_exit(193), Some(-8255));
        assert_eq!(code_of_exit(211), Some(-9005));
        assert_eq!(code_of_exit(1), None);
    }
}
