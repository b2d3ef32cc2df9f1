//! The system event log: IPMI 2.0, Get SEL Info (31.2).

use crate::bmc::{Bmc, CallError, Channel, Command};

const STORAGE: u8 = 0x0a;
const GET_SEL_INFO: u8 = 0x40;
/// "65,535 bytes or more".
const MUCH: u16 = 0xffff;

/// What is known of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sel {
    pub(crate) entries: u16,
    /// Bytes; `None` where there are more than the BMC can say.
    pub(crate) free: Option<u16>,
}

/// Asks for it.
pub(crate) fn info<C: Channel>(bmc: &mut Bmc<C>) -> Result<Sel, CallError> {
    let data = bmc.call(Command::new(STORAGE, GET_SEL_INFO, &[]))?;
    let [_version, e0, e1, f0, f1, ..] = data.as_slice() else {
        return Err(CallError::Malformed);
    };
    let free = u16::from_le_bytes([*f0, *f1]);
    Ok(Sel {
        entries: u16::from_le_bytes([*e0, *e1]),
        free: (free != MUCH).then_some(free),
    })
}
