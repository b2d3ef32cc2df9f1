//! State of the chassis: IPMI 2.0, Get Chassis Status (28.2).

use crate::bmc::{Bmc, CallError, Channel, Command};

const CHASSIS: u8 = 0x00;
const GET_CHASSIS_STATUS: u8 = 0x01;

/// Conditions with the byte of the answer and the bit that tells them.
const CONDITIONS: [(&str, usize, u8); 8] = [
    ("power_on", 0, 0),
    ("power_overload", 0, 1),
    ("power_interlock", 0, 2),
    ("power_fault", 0, 3),
    ("power_control_fault", 0, 4),
    ("intrusion", 2, 0),
    ("drive_fault", 2, 2),
    ("cooling_fault", 2, 3),
];
/// Those that make the server fail, and those that it goes on with.
const FAILURES: [&str; 2] = ["power_overload", "power_fault"];
const DEGRADATIONS: [&str; 3] = ["power_control_fault", "drive_fault", "cooling_fault"];

/// The chassis status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chassis([u8; 3]);

/// Asks for it.
pub(crate) fn status<C: Channel>(bmc: &mut Bmc<C>) -> Result<Chassis, CallError> {
    let data = bmc.call(Command::new(CHASSIS, GET_CHASSIS_STATUS, &[]))?;
    data.first_chunk()
        .map(|bytes| Chassis(*bytes))
        .ok_or(CallError::Malformed)
}

impl Chassis {
    /// Each condition, and whether it holds.
    pub(crate) fn conditions(self) -> impl Iterator<Item = (&'static str, bool)> {
        let holds = move |byte: usize, bit: u8| self.0[byte] & (1 << bit) != 0;
        CONDITIONS
            .into_iter()
            .map(move |(name, byte, bit)| (name, holds(byte, bit)))
    }

    /// The state of `hw.status`.
    pub(crate) fn state(self) -> &'static str {
        let any = |names: &[&str]| self.conditions().any(|(name, holds)| holds && names.contains(&name));
        if any(&FAILURES) {
            "failed"
        } else if any(&DEGRADATIONS) {
            "degraded"
        } else {
            "ok"
        }
    }
}
