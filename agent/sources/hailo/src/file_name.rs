//! Names of monitor files: `mkstemp` appends six characters to the process id.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use accelscope_core::printable::printable;

/// Length of what `mkstemp` appends, digits among it.
const SUFFIX: usize = 6;

/// Whether HailoRT gives a complete file such a name.
pub(super) fn is_monitor_file(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.ends_with(b".tmp") && !name.starts_with(b".")
}

/// Process id in a name as HailoRT gives it: the id and the six letters and digits of `mkstemp`.
pub(super) fn named_pid(name: &OsStr) -> Option<u32> {
    let (pid, suffix) = name.as_bytes().split_last_chunk::<SUFFIX>()?;
    let is_pid = pid.iter().all(u8::is_ascii_digit) && pid.first() != Some(&b'0');
    let is_ours = is_pid && suffix.iter().all(u8::is_ascii_alphanumeric);
    std::str::from_utf8(pid).ok()?.parse().ok().filter(|_| is_ours)
}

/// Process id of a file's writer in its own PID namespace: that in the file, else that in its name.
pub(super) fn claimed_pid(written: &str, file_name: &str) -> Option<u32> {
    let named = file_name
        .len()
        .checked_sub(SUFFIX)
        .and_then(|end| file_name.get(..end)?.parse().ok())
        .filter(|pid| *pid > 0);
    let written = written.parse().ok().filter(|pid| *pid > 0);
    if let (Some(written), Some(named)) = (written, named)
        && written != named
    {
        tracing::debug!(
            file_name,
            written,
            named,
            "the monitor file's content and name have different process ids"
        );
    }
    written.or(named)
}

/// Path of a file for messages: anybody may have chosen the name.
pub(super) fn path_in_words(place: &Path, name: &OsStr) -> String {
    printable(&place.join(name).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_runtime_have_a_process_id() {
        for (name, pid) in [
            ("149635kQx2a1", Some(149_635)),
            ("123456789", Some(123)),
            ("1abcdef", Some(1)),
        ] {
            assert_eq!(named_pid(OsStr::new(name)), pid, "{name}");
        }
        for name in [
            "abcdef",
            "x1abcdef",
            "1abcde",
            "1abc-ef",
            "0abcdef",
            "01abcdef",
            "99999999999abcdef",
            "1ab cdef",
            "+1abcdef",
        ] {
            assert_eq!(named_pid(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn the_name_has_the_process_id_where_the_file_does_not() {
        assert_eq!(claimed_pid("42", "99abcdef"), Some(42));
        assert_eq!(claimed_pid("x", "149635kQx2a1"), Some(149_635));
        assert_eq!(claimed_pid("x", "123456789012"), Some(123_456));
        for (written, name) in [("0", "abcdef"), ("", ""), ("-1", "ä"), ("99999999999", "abc")] {
            assert_eq!(claimed_pid(written, name), None, "{written} {name}");
        }
    }
}
