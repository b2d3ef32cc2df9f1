//! Power of the whole server: DCMI 1.5, Get Power Reading (6.6.1).

use crate::bmc::{Bmc, CallError, Channel, Command};

/// Network function of group extensions, and DCMI's number in it.
const GROUP: u8 = 0x2c;
const DCMI: u8 = 0xdc;
const GET_POWER_READING: u8 = 0x02;
/// System power statistics; the two bytes after it are reserved.
const REQUEST: [u8; 4] = [DCMI, 0x01, 0x00, 0x00];
/// Bit of the state: the power is being measured.
const ACTIVE: u8 = 1 << 6;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// Watts.
    Watts(u16),
    /// The BMC does not measure at present.
    Inactive,
    /// No server that runs draws nothing, and FFFFh is "none".
    Sentinel,
}

/// The power that the server draws now.
pub(crate) fn power<C: Channel>(bmc: &mut Bmc<C>) -> Result<Power, CallError> {
    let data = bmc.call(Command::new(GROUP, GET_POWER_READING, &REQUEST))?;
    // Group; current, lowest, highest, average; time of them; period; state.
    let [group, low, high, rest @ ..] = data.as_slice() else {
        return Err(CallError::Malformed);
    };
    let (DCMI, Some(state)) = (*group, rest.get(14)) else {
        return Err(CallError::Malformed);
    };
    Ok(match u16::from_le_bytes([*low, *high]) {
        _ if state & ACTIVE == 0 => Power::Inactive,
        0 | u16::MAX => Power::Sentinel,
        watts => Power::Watts(watts),
    })
}
