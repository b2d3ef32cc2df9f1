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
