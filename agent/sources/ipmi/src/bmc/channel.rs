//! What carries messages to and from a BMC: the kernel's device, or a script in tests.

use std::io;
use std::time::Duration;

/// Whom a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The BMC itself, by one of its logical units (LUN).
    Bmc { lun: u8 },
    /// A controller behind it, on a bus (IPMB).
    Ipmb {
        channel: u8,
        /// Eight bits, as in a sensor's record.
        address: u8,
        lun: u8,
    },
}

impl Target {
    pub(crate) const BMC: Self = Self::Bmc { lun: 0 };
}

/// A command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command<'a> {
    pub(crate) target: Target,
    /// Network function of requests, an even number.
    pub(crate) netfn: u8,
    pub(crate) cmd: u8,
    pub(crate) data: &'a [u8],
}

impl<'a> Command<'a> {
    /// A command of the BMC itself.
    pub(crate) const fn new(netfn: u8, cmd: u8, data: &'a [u8]) -> Self {
        Self {
            target: Target::BMC,
            netfn,
            cmd,
            data,
        }
    }
}

/// Kinds of messages (`IPMI_*_RECV_TYPE`, include/uapi/linux/ipmi.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An answer to a command of this process.
    Response,
    /// An event, a command of another, or the like.
    Other,
}

/// A message that came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) kind: Kind,
    /// Of the command that it answers.
    pub(crate) id: i64,
    pub(crate) netfn: u8,
    pub(crate) cmd: u8,
    /// With the completion code first, if it is a response.
    pub(crate) data: Vec<u8>,
}

/// Carries messages.
pub(crate) trait Channel {
    /// Sends a command; its answer will have the id.
    fn send(&mut self, id: i64, command: Command<'_>) -> io::Result<()>;

    /// The next message; `None` if none came within `wait`.
    fn receive(&mut self, wait: Duration) -> io::Result<Option<Received>>;
}
