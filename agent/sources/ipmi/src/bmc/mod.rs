//! Commands to the BMC: one at a time, each with a deadline, each answer matched to its command.

mod channel;
mod device;

use std::io;
use std::time::{Duration, Instant};

pub(crate) use channel::{Channel, Command, Kind, Received, Target};
pub(crate) use device::Device;

/// Longest wait for one answer. The kernel gives up a BMC that does not take a command after 5 s (KCS timeouts,
/// drivers/char/ipmi/ipmi_kcs_sm.c), and a controller behind it after the retries of [`Device`].
const PATIENCE: Duration = Duration::from_secs(6);
/// A command is not begun with less time left.
const LEAST: Duration = Duration::from_millis(50);
/// Most messages that are no answer to the command, while it is waited for.
const MOST_STRAY: usize = 256;

/// Completion codes of IPMI 2.0, table 5-2.
pub(crate) mod completion {
    pub(crate) const OK: u8 = 0x00;
    /// The command is not supported.
    pub(crate) const INVALID_COMMAND: u8 = 0xC1;
    /// Not for this LUN.
    pub(crate) const INVALID_LUN: u8 = 0xC2;
    /// The reservation was cancelled, or is not valid.
    pub(crate) const RESERVATION: u8 = 0xC5;
    /// Length of the request's data.
    pub(crate) const LENGTH: u8 = 0xC7;
    pub(crate) const LENGTH_LIMIT: u8 = 0xC8;
    /// More bytes were asked for than the BMC can return.
    pub(crate) const TOO_MANY_BYTES: u8 = 0xCA;
    /// The sensor, record or data is not there.
    pub(crate) const NOT_PRESENT: u8 = 0xCB;
    /// Not for this kind of sensor or record.
    pub(crate) const ILLEGAL: u8 = 0xCD;
    /// The answer could not be provided, and why is not told.
    pub(crate) const UNSPECIFIED: u8 = 0xFF;

    /// Whether the BMC does not have what was asked for, and will not tomorrow.
    pub(crate) const fn is_unsupported(code: u8) -> bool {
        matches!(code, INVALID_COMMAND | INVALID_LUN | NOT_PRESENT | ILLEGAL)
    }
}

/// Why a command has no data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The BMC refused it.
    #[error("the BMC answered with completion code {0:02X}h")]
    Refused(u8),
    /// The answer lacks what the specification requires.
    #[error("the BMC's answer is too short or of another command")]
    Malformed,
    /// The request's time is over; the command was not sent.
    #[error("no time was left")]
    NoTime,
    /// The BMC cannot be talked to now.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Why the BMC cannot be talked to: this request ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the BMC did not answer in time")]
    Silent,
    #[error("the BMC sent {MOST_STRAY} messages that nobody asked for, and no answer")]
    Flood,
    #[error("the kernel's IPMI driver")]
    Driver(#[source] io::Error),
}

impl CallError {
    /// Why, for `agent.sampler.skipped`; `None` where the machine does not have it, or it is asked later.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Refused(code) if completion::is_unsupported(*code) => None,
            Self::Refused(code) => Some(format!("completion_{code:02x}")),
            Self::Malformed => Some("malformed".to_owned()),
            Self::NoTime => None,
            Self::Lost(Lost::Silent) => Some("silent".to_owned()),
            Self::Lost(Lost::Flood) => Some("flood".to_owned()),
            Self::Lost(Lost::Driver(_)) => Some("driver".to_owned()),
        }
    }
}

/// A BMC behind a channel.
#[derive(Debug)]
pub(crate) struct Bmc<C> {
    channel: C,
    last_id: i64,
    /// No command is begun or waited for after this time.
    until: Instant,
}

impl<C: Channel> Bmc<C> {
    pub(crate) fn new(channel: C, until: Instant) -> Self {
        Self {
            channel,
            last_id: 0,
            until,
        }
    }

    /// Time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The data of the answer after its completion code.
    pub(crate) fn call(&mut self, command: Command<'_>) -> Result<Vec<u8>, CallError> {
        let left = self.left();
        if left < LEAST {
            return Err(CallError::NoTime);
        }
        let end = Instant::now() + left.min(PATIENCE);
        self.last_id += 1;
        self.channel.send(self.last_id, command).map_err(Lost::Driver)?;
        for _ in 0..MOST_STRAY {
            let wait = end.saturating_duration_since(Instant::now());
            let Some(received) = self.channel.receive(wait).map_err(Lost::Driver)? else {
                return Err(Lost::Silent.into());
            };
            // Events, commands of others, and answers to commands that were given up.
            if received.kind != Kind::Response || received.id != self.last_id {
                continue;
            }
            return answer(command, received);
        }
        Err(Lost::Flood.into())
    }
}

/// Checks that it is the answer to the command: its network function is the request's plus one (IPMI 2.0, 5.1).
fn answer(command: Command<'_>, received: Received) -> Result<Vec<u8>, CallError> {
    if received.netfn != command.netfn | 1 || received.cmd != command.cmd {
        return Err(CallError::Malformed);
    }
    let mut data = received.data;
    match data.first() {
        None => Err(CallError::Malformed),
        Some(&completion::OK) => {
            data.remove(0);
            Ok(data)
        }
        Some(code) => Err(CallError::Refused(*code)),
    }
}
