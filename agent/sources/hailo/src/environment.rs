//! HailoRT's variables in a process' environment: whether it writes a monitor file, and how often.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

/// Most bytes that an environment has: the kernel limits arguments and environment together to 6 MiB.
pub(super) const MAX_BYTES: u64 = 6 << 20;

/// Interval of a writer without a valid variable (`DEFAULT_SCHEDULER_MON_INTERVAL` in `monitor_handler.hpp`).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// Longest part of a value in a message, in bytes.
const MAX_QUOTE: usize = 40;

/// The variables as they were when the process started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Environment {
    /// Whether the monitor is on.
    pub(super) is_monitored: bool,
    /// Value of the variable of the interval.
    interval: Option<String>,
}

impl Environment {
    /// Reads the first bytes of `/proc/<pid>/environ`; `None` where that is not permitted or the process has ended.
    pub(super) fn read(environ: &Path, most: u64) -> Option<Self> {
        let file = BufReader::new(File::open(environ).ok()?.take(most));
        let mut found = Self::default();
        let mut is_empty = true;
        for variable in file.split(0) {
            let variable = variable.ok()?;
            is_empty = false;
            let on = [b"HAILO_MONITOR=1".as_slice(), b"SCHEDULER_MONITOR=1"];
            found.is_monitored |= on.iter().any(|on| variable.starts_with(on));
            if let Some(value) = variable.strip_prefix(b"HAILO_MONITOR_TIME_INTERVAL=") {
                // As getenv(3): the first.
                found
                    .interval
                    .get_or_insert_with(|| String::from_utf8_lossy(value).into_owned());
            }
        }
        // Empty too while the process starts, and where a program has overwritten it.
        (!is_empty).then_some(found)
    }

    /// Time between two writes, as HailoRT reads it (`MonitorHandler` in `monitor_handler.cpp`, 4.21 to 5.3): a whole
    /// number of milliseconds, else a second. `None` for a negative number, which is no time.
    pub(super) fn interval(&self) -> Option<Duration> {
        let Some(text) = &self.interval else {
            return Some(DEFAULT_INTERVAL);
        };
        match text.trim_ascii_start().parse::<i32>() {
            Ok(milliseconds) => Some(Duration::from_millis(milliseconds.try_into().ok()?)),
            Err(_) => Some(DEFAULT_INTERVAL),
        }
    }

    /// Whether the variable of the interval is set.
    pub(super) const fn sets_interval(&self) -> bool {
        self.interval.is_some()
    }
}

/// The variable of the interval, as it is set.
impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.interval.as_deref().unwrap_or_default();
        let cut = &value[..value.floor_char_boundary(MAX_QUOTE)];
        write!(f, "HAILO_MONITOR_TIME_INTERVAL={}", cut.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(environ: &[u8]) -> Option<Environment> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), environ).unwrap();
        Environment::read(file.path(), MAX_BYTES)
    }

    #[test]
    fn an_interval_is_read_as_the_runtime_reads_it() {
        for (value, milliseconds) in [
            ("15000", Some(15_000)),
            ("100", Some(100)),
            ("0", Some(0)),
            (" 7", Some(7)),
            ("+7", Some(7)),
            ("2147483647", Some(2_147_483_647)),
            // Not entirely a number, or none that an int holds: the default.
            ("", Some(1000)),
            ("15s", Some(1000)),
            ("15000 ", Some(1000)),
            ("1.5", Some(1000)),
            ("0x10", Some(1000)),
            ("2147483648", Some(1000)),
            ("99999999999999999999", Some(1000)),
            ("-5", None),
        ] {
            let environ = format!("A=b\0HAILO_MONITOR=1\0HAILO_MONITOR_TIME_INTERVAL={value}\0");
            let found = of(environ.as_bytes()).unwrap();
            assert_eq!(found.interval(), milliseconds.map(Duration::from_millis), "{value:?}");
            assert!(found.is_monitored);
        }
    }

    #[test]
    fn a_large_environment_is_searched_and_one_that_cannot_be_read_is_unknown() {
        let mut environ = format!("PADDING={}\0", "x".repeat(400_000)).into_bytes();
        environ.extend(b"HAILO_MONITOR_TIME_INTERVAL=3000\0HAILO_MONITOR_TIME_INTERVAL=1\0");
        let found = of(&environ).unwrap();
        assert_eq!(found.interval(), Some(Duration::from_secs(3)), "the first counts");
        assert_eq!(of(b"HAILO_MONITOR=1").unwrap().interval(), Some(DEFAULT_INTERVAL));
        assert_eq!(of(b""), None);
        assert_eq!(Environment::read(Path::new("/nonexistent"), MAX_BYTES), None);
    }
}
