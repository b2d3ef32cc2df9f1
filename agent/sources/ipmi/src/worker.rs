//! `agent worker ipmi`: talks to the BMC.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::worker::{Reply, WireOutcome, WirePart, WirePoint, serve};
use serde::{Deserialize, Serialize};

use crate::bmc::{Channel, Device};
use crate::identity::Machine;
use crate::machine::{LookError, Options, Server};
use crate::place::{self, Place};

/// Environment variable with the [`Config`].
pub(super) const VARIABLE: &str = "ACCELSCOPE_IPMI_CONFIG";

/// What the agent tells the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Config {
    /// Root directory of the host's files.
    pub(super) root: PathBuf,
    /// Part of the id of a server without a GUID.
    pub(super) node_name: String,
    /// Time for the answers to one request.
    pub(super) timeout: Duration,
    /// Time between two requests.
    pub(super) period: Duration,
    /// Whether the sensors are read.
    pub(super) sensors: bool,
    /// It is no error if the device may not be opened, or nothing is behind it.
    pub(super) is_quiet: bool,
}

/// Answers the agent until it closes the pipe.
pub(super) fn main() -> io::Result<()> {
    let config = std::env::var(VARIABLE).map_err(|_| io::Error::other("this command is for the agent itself"))?;
    let config: Config = serde_json::from_str(&config)?;
    let roots = HostRoots::new(&config.root);
    let machine = Machine::new(&roots, config.node_name.clone());
    let options = config.options();
    let mut server = Server::new(machine, options, move || match place::look(&roots) {
        Place::Node(node) => Device::open(&place::path(&roots, node)),
        other => Err(io::Error::new(io::ErrorKind::NotFound, other.reason())),
    });
    serve(move |id| reply(id, &mut server, &config))
}

impl Config {
    pub(super) fn options(&self) -> Options {
        Options {
            sensors: self.sensors,
            // One request may be missed.
            keep: self.period * 2 + self.timeout,
        }
    }

    const fn outcome_without_device(&self) -> WireOutcome {
        if self.is_quiet {
            WireOutcome::NothingHere
        } else {
            WireOutcome::Retry
        }
    }
}

/// The reply to one request.
pub(super) fn reply<C: Channel, O: FnMut() -> io::Result<C>>(
    id: u64,
    server: &mut Server<O>,
    config: &Config,
) -> Reply<'static> {
    match server.look(Instant::now() + config.timeout) {
        Ok(look) => Reply {
            parts: vec![WirePart {
                name: "".into(),
                points: look.points.iter().map(WirePoint::of).collect(),
            }],
            skipped: look.skipped.0,
            ..Reply::empty(id, WireOutcome::Sampled, look.remark)
        },
        Err(LookError::Open(error)) if place::is_denied(&error) => {
            let reason = format!("the IPMI device may not be opened ({error}): {}", place::PERMISSION);
            Reply::empty(id, config.outcome_without_device(), reason)
        }
        Err(LookError::Open(error)) if place::is_stale(&error) => {
            let reason = format!("{} ({error}): {}", place::STALE, place::DRIVER);
            Reply::empty(id, config.outcome_without_device(), reason)
        }
        Err(error) => {
            let mut reply = Reply::empty(id, WireOutcome::Retry, error.to_string());
            if let LookError::Bmc(error) = &error
                && let Some(reason) = error.reason()
            {
                reply.skipped.insert(reason, 1);
            }
            reply
        }
    }
}
