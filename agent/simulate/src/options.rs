//! What to simulate.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::error::SimulateError;

/// How a monitor file reaches its final state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum WriteMode {
    /// HailoRT 4.10 to 4.21: the file is truncated, locked and written in place, so a reader can see it empty or cut.
    InPlace,
    /// HailoRT 4.22 and later: `<name>.tmp` is written and renamed over the file, which is always complete.
    Rename,
}

/// What to simulate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Where the monitor files go; created if missing, with the permissions that the runtime gives it.
    pub dir: PathBuf,
    /// Writing processes, 1 to 1024; each is a real one with its own file.
    pub processes: u32,
    /// Networks of each process, 0 to 1024.
    pub networks: u32,
    /// Streams of each network, 0 to 256: one input and otherwise outputs; a single one is an output. Without any the
    /// frame rate is `f64::MAX`, which is what the runtime writes for a network without outputs.
    pub streams: u32,
    /// Devices of the machine, 1 to 256. They are dealt out to the processes; where there are more devices than
    /// processes, a process spreads over several.
    pub devices: u32,
    /// Time between two writes of a process, 1 ms to 1 hour (the runtime's default is 1 s).
    pub interval: Duration,
    /// How the files are written.
    pub write_mode: WriteMode,
    /// Kill a writer with SIGKILL every five intervals and start another in its place. The file of the killed one
    /// stays behind, as it does in reality; the oldest go once there are more than 64.
    pub kill_some: bool,
    /// Let load and queues move and networks fall idle. Otherwise every write of a process has the same values, with
    /// the frame rate of [`frame_rate`](super::frame_rate).
    pub vary: bool,
    /// Where all loads come from: the same seed gives the same values.
    pub seed: u64,
}

impl Default for Options {
    /// One process with two networks on one device in `/tmp/hmon_files`, once a second by rename.
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/tmp/hmon_files"),
            processes: 1,
            networks: 2,
            streams: 2,
            devices: 1,
            interval: Duration::from_secs(1),
            write_mode: WriteMode::Rename,
            kill_some: false,
            vary: false,
            seed: 0,
        }
    }
}

impl Options {
    /// Refuses what no machine has, so that a slip does not start a million processes.
    pub(super) fn check(&self) -> Result<(), SimulateError> {
        let counts = [
            ("processes", self.processes, 1, 1024),
            ("networks", self.networks, 0, 1024),
            ("streams", self.streams, 0, 256),
            ("devices", self.devices, 1, 256),
        ];
        for (option, value, least, most) in counts {
            if !(least..=most).contains(&value) {
                let allowed = format!("{least} to {most}");
                return Err(SimulateError::Option {
                    option,
                    value: value.to_string(),
                    allowed,
                });
            }
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_hours(1));
        if !(least..=most).contains(&self.interval) {
            let value = format!("{:?}", self.interval);
            return Err(SimulateError::Option {
                option: "interval",
                value,
                allowed: "1ms to 1h".to_owned(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass() {
        Options::default().check().unwrap();
    }

    #[test]
    fn an_impossible_value_is_named_with_its_range() {
        let error = Options {
            processes: 0,
            ..Options::default()
        }
        .check()
        .unwrap_err();
        assert_eq!(error.to_string(), "--processes is 0, but must be 1 to 1024");
        let error = Options {
            interval: Duration::ZERO,
            ..Options::default()
        }
        .check()
        .unwrap_err();
        assert_eq!(error.to_string(), "--interval is 0ns, but must be 1ms to 1h");
    }
}
