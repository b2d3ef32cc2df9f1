//! Names of monitor files: `mkstemp` appends six characters to the process id.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Length of what `mkstemp` appends, digits among it.
const SUFFIX: usize = 6;

/// Whether HailoRT gives a complete file such a name.
pub(super) fn is_monitor_file(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.ends_with(b".tmp") && !name.starts_with(b".")
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

#[cfg(test)]
mod tests {
    use super::*;

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
