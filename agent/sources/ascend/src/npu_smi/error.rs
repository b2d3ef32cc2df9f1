//! Errors of the tool and of the parsers of its output.
//!
//! The tool prints its errors on standard output, in place of a table or beside it. What cannot start it (the loader, a
//! shell, nsenter) uses standard error.

use accelscope_core::printable::printable;

use super::cause::Cause;

/// Longest output that is parsed. The longest real one, 64 cards of two chips with eight processes each, has 200 KiB.
pub const MAX_BYTES: usize = 4 << 20;

/// Longest quotation of a line in an error, in bytes.
const MAX_QUOTE: usize = 300;

/// Why an output could not be parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// The tool printed an error instead.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A table of no known layout.
    #[error(
        "this line of npu-smi's table is of no known layout: {line}; please report it with the output of `npu-smi info`"
    )]
    Layout {
        /// The first such line.
        line: String,
    },
    /// No table.
    #[error(
        "npu-smi printed no table{}; run `npu-smi info` yourself",
        .line.as_ref().map_or_else(|| " and nothing else".to_owned(), |line| format!(" but: {line}"))
    )]
    NoTable {
        /// The first line that it did print.
        line: Option<String>,
    },
    /// Longer than [`MAX_BYTES`].
    #[error("npu-smi printed {bytes} bytes, more than the {MAX_BYTES} that are looked at")]
    TooLong {
        /// Length of the output.
        bytes: usize,
    },
}

impl ParseError {
    /// The error for an output that lacks the expected keys or columns: the tool's own, if it printed one.
    pub(super) fn no_table(text: &str) -> Self {
        match text.lines().find_map(ToolError::in_line) {
            Some(error) => error.into(),
            None => Self::NoTable {
                line: text.lines().find(|line| !line.trim().is_empty()).map(quoted),
            },
        }
    }
}

/// Refuses an output longer than [`MAX_BYTES`].
pub(super) fn check_length(text: &str) -> Result<(), ParseError> {
    let bytes = text.len();
    (bytes <= MAX_BYTES).then_some(()).ok_or(ParseError::TooLong { bytes })
}

/// The line for a message: shortened and printable.
pub fn quoted(line: &str) -> String {
    let line = line.trim();
    let cut = &line[..line.floor_char_boundary(MAX_QUOTE)];
    let mut text = printable(cut);
    text.extend((cut.len() < line.len()).then_some('…'));
    text
}

/// An error that the tool reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("npu-smi: {} ({line}); {}", .cause.meaning(), .cause.remedy())]
pub struct ToolError {
    /// Its cause.
    pub cause: Cause,
    /// The driver's return code, where it was printed or is known from the exit status.
    pub code: Option<i32>,
    /// What the tool printed, or how it ended.
    pub line: String,
}

/// Parts of error messages, in lower case, and their causes. The first match counts.
const MESSAGES: &[(&str, Cause)] = &[
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
    /// The error message in a line, if it holds one.
    pub(super) fn in_line(line: &str) -> Option<Self> {
        let text = line.to_ascii_lowercase();
        let code = code_in(&text);
        let by_text = MESSAGES
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

/// Return code in a message such as `ret is -8005`: the codes of the driver's library are all below -8000.
fn code_in(text: &str) -> Option<i32> {
    // A number in a line without one of these words may be part of a host's name.
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
            let error = ToolError::in_line(line).unwrap();
            assert_eq!((error.cause, error.code), (cause, code), "{line}");
        }
        assert_eq!(ToolError::in_line("DrvMngGetConsoleLogLevel failed. (ret=4)"), None);
        assert_eq!(ToolError::in_line("[root@node-8005 ~]# npu-smi info"), None);
    }
}
