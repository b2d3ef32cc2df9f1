//! The errors that the tool prints, on standard output, in place of a table or beside it.

use super::parser::quoted;

/// An error of the tool: what it means and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("npu-smi: {} (it said: {line}); {}", .cause.meaning(), .cause.remedy())]
pub struct ToolError {
    /// What it means.
    pub cause: Cause,
    /// The driver's return code, where it was printed.
    pub code: Option<i32>,
    /// What the tool printed.
    pub line: String,
}

/// What an error of the tool means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The driver's library could not start (-8005): the driver is not loaded, was upgraded without a reboot, or its
    /// device nodes cannot be opened.
    NotInitialized,
    /// The caller may not (-8002).
    NotPermitted,
    /// Another container owns the device (-8020).
    DeviceInUse,
    /// One chip does not answer, and the tool gives up the whole table.
    DeadChip,
    /// The driver gives no list of cards.
    NoCardList,
    /// There is no card.
    NoCard,
    /// The driver did not answer in time (-8006).
    TimedOut,
    /// The device is not ready: it is starting, being reset or upgraded (-8012, -8015, -8016, -8017).
    NotReady,
    /// The chip or driver cannot tell this (-8255).
    NotSupported,
    /// The tool does not know the argument.
    BadArgument,
    /// Another error.
    Other,
}

impl Cause {
    /// What it means, in words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotInitialized => "the Ascend driver cannot be reached",
            Self::NotPermitted => "the Ascend driver refuses this user",
            Self::DeviceInUse => "another container owns the device",
            Self::DeadChip => "one chip does not answer, and the tool then tells of none",
            Self::NoCardList => "the Ascend driver gives no list of cards",
            Self::NoCard => "there is no NPU card",
            Self::TimedOut => "the Ascend driver did not answer in time",
            Self::NotReady => "the device is not ready",
            Self::NotSupported => "the chip or its driver does not support this",
            Self::BadArgument => "this version of the tool does not know the argument",
            Self::Other => "it failed",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NotInitialized => {
                "load the driver (`lsmod | grep drv_`), reboot if it was upgraded since, and let the agent run as root \
                 or in the group HwHiAiUser with /dev/davinci* and /dev/davinci_manager in its container"
            }
            Self::NotPermitted => "run the agent as root in a privileged container",
            Self::DeviceInUse => {
                "run the agent's container privileged: two unprivileged containers cannot share a card"
            }
            Self::DeadChip => {
                "find the chip with `npu-smi info -l` and `npu-smi info -t health -i N`, then reset it or reboot"
            }
            Self::NoCardList => "look at `dmesg` for errors of the Ascend driver, and reboot if it was upgraded",
            Self::NoCard => "check `lspci -d 19e5:` and that the cards' driver is loaded",
            Self::TimedOut => "look at `dmesg` for a stuck chip, and at how many others ask the driver",
            Self::NotReady => "wait; if it lasts, reset the device or reboot",
            Self::NotSupported => "nothing: this value stays absent",
            Self::BadArgument => "update the driver package, or report this with the versions of tool and driver",
            Self::Other => "run `npu-smi info` by hand, and look at `dmesg`",
        }
    }

    /// Short word for counting.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotInitialized => "not_initialized",
            Self::NotPermitted => "not_permitted",
            Self::DeviceInUse => "device_in_use",
            Self::DeadChip => "dead_chip",
            Self::NoCardList => "no_card_list",
            Self::NoCard => "no_card",
            Self::TimedOut => "timed_out",
            Self::NotReady => "not_ready",
            Self::NotSupported => "not_supported",
            Self::BadArgument => "bad_argument",
            Self::Other => "other",
        }
    }

    /// By the driver's return code (`dcmi_interface_api.h` of the driver's source).
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

/// The return code behind an exit status of the tool, which is the code's low byte.
pub fn code_of_exit(status: i32) -> Option<i32> {
    [-8002, -8005, -8006, -8008, -8012, -8020, -8255, -9005]
        .into_iter()
        .find(|code| code & 0xff == status)
}

/// Texts in lower case, and what they mean. The first that fits.
const TEXTS: &[(&str, Cause)] = &[
    ("because the device is used", Cause::DeviceInUse),
    ("failed to get device type", Cause::DeadChip),
    ("failed to get card number", Cause::NoCardList),
    ("there is no npu card", Cause::NoCard),
    ("error parameter of", Cause::BadArgument),
    ("does not support querying", Cause::NotSupported),
    ("permission denied", Cause::NotPermitted),
    ("dcmi module initialize failed", Cause::NotInitialized),
    ("dcmi model initialized failed", Cause::NotInitialized),
    ("failed to execute npu-smi", Cause::Other),
];

impl ToolError {
    /// The error that a line tells, if it tells one.
    pub(super) fn of(line: &str) -> Option<Self> {
        let text = line.to_ascii_lowercase();
        let code = code(&text);
        let by_text = TEXTS
            .iter()
            .find_map(|(part, cause)| text.contains(part).then_some(*cause));
        let by_code = code.map(Cause::of_code);
        let cause = match (by_text, by_code) {
            (Some(Cause::Other) | None, Some(by_code)) => by_code,
            (by_text, by_code) => by_text.or(by_code)?,
        };
        Some(Self {
            cause,
            code,
            line: quoted(line),
        })
    }
}

/// `ret is -8005` and the like: the codes of the driver's library are all below -8000.
fn code(text: &str) -> Option<i32> {
    // Else it may be the name of a host.
    if !["ret", "err", "fail", "code"].iter().any(|word| text.contains(word)) {
        return None;
    }
    let numbers = text.split(|character: char| !(character.is_ascii_digit() || character == '-'));
    numbers
        .filter_map(|word| word.parse::<i32>().ok())
        .find(|code| (-9999..=-8000).contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_codes_give_the_cause() {
        let cases = [
            (
                "dcmi module initialize failed. ret is -8005",
                Cause::NotInitialized,
                Some(-8005),
            ),
            (
                "dcmi model initialized failed, because the device is used. ret is -8020",
                Cause::DeviceInUse,
                Some(-8020),
            ),
            ("Failed to get device type.", Cause::DeadChip, None),
            (
                "Failed to execute npu-smi info. ret is -8255",
                Cause::NotSupported,
                Some(-8255),
            ),
            ("something new, ret -8006.", Cause::TimedOut, Some(-8006)),
            ("Failed to execute npu-smi. ret is 5", Cause::Other, None),
        ];
        for (line, cause, code) in cases {
            let error = ToolError::of(line).unwrap();
            assert_eq!((error.cause, error.code), (cause, code), "{line}");
        }
        assert_eq!(ToolError::of("DrvMngGetConsoleLogLevel failed. (ret=4)"), None);
        assert_eq!(ToolError::of("[root@node-8005 ~]# npu-smi info"), None);
    }

    #[test]
    fn the_exit_status_gives_the_code() {
        assert_eq!(code_of_exit(187), Some(-8005));
        assert_eq!(code_of_exit(172), Some(-8020));
        assert_eq!(code_of_exit(193), Some(-8255));
        assert_eq!(code_of_exit(211), Some(-9005));
        assert_eq!(code_of_exit(1), None);
    }
}
