//! One request: what the BMC tells of the server within the time that there is.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attribute, Attributes, Instrument, Point, Timestamp, Value};

use crate::bmc::{Bmc, CallError, Channel, completion};
use crate::dcmi::Power;
use crate::identity::{Identity, Machine};
use crate::key::{
    HW_FIRMWARE_VERSION, HW_ID, HW_MODEL, HW_STATE, HW_TYPE, IPMI_CHASSIS_CONDITION, IPMI_MANUFACTURER_ID,
    IPMI_PRODUCT_ID, IPMI_VERSION,
};
use crate::sdr::Repository;
use crate::sensors::Sensors;
use crate::skipped::Skipped;
use crate::{catalogue, chassis, dcmi, sel};

/// Requests for which a command that the BMC does not have, or is silent at, is not sent: ten minutes at the default period.
const PAUSE: u32 = 20;
/// Part of the time that reading the records again may take while there are sensors to read.
const RECORDS_SHARE: u32 = 2;

/// What is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// The sensors too.
    pub(crate) sensors: bool,
    /// Age up to which a reading of a sensor is shown, where there was no time for a newer one.
    pub(crate) keep: Duration,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error("the IPMI device cannot be opened: {0}")]
    Open(#[source] io::Error),
    #[error("{}", accelscope_core::chain(.0))]
    Bmc(#[source] CallError),
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) points: Vec<Point>,
    pub(crate) skipped: Skipped,
    /// What ended it early, if something did.
    pub(crate) remark: String,
}

/// A server, its BMC behind what `open` opens.
#[derive(Debug)]
pub(crate) struct Server<O> {
    open: O,
    machine: Machine,
    options: Options,
    known: Option<Known>,
    /// The identity is to be asked.
    is_due: bool,
    repository: Repository,
    sensors: Sensors,
    /// Requests for which DCMI, chassis, event log and records are not asked.
    pauses: [u32; 4],
}

/// The BMC's identity and the series of the server itself.
#[derive(Debug)]
struct Known {
    identity: Identity,
    id: Arc<Attributes>,
    info: Arc<Attributes>,
    states: Vec<(&'static str, Arc<Attributes>)>,
}

impl<C: Channel, O: FnMut() -> io::Result<C>> Server<O> {
    pub(crate) fn new(machine: Machine, options: Options, open: O) -> Self {
        Self {
            open,
            machine,
            options,
            known: None,
            is_due: true,
            repository: Repository::default(),
            sensors: Sensors::default(),
            pauses: [0; 4],
        }
    }

    /// Asks for everything until then.
    pub(crate) fn look(&mut self, until: Instant) -> Result<Look, LookError> {
        // Closed after each request, so that the driver can be unloaded and late answers are for nobody.
        let mut bmc = Bmc::new((self.open)().map_err(LookError::Open)?, until);
        let mut look = Look::default();
        if let Err(error) = self.ask(&mut bmc, &mut look) {
            // The BMC may have another firmware when it is back.
            self.is_due = true;
            if look.points.is_empty() {
                return Err(LookError::Bmc(error));
            }
            look.skipped.error(&error);
            look.remark = format!("not all could be read: {}", accelscope_core::chain(&error));
        }
        let has_total = look.points.iter().any(|point| *point.instrument == hw::HOST_POWER);
        self.sensors
            .points(self.options.keep, has_total, &mut look.points, &mut look.skipped);
        Ok(look)
    }

    /// An error ends the request: the BMC cannot be talked to, or does not say who it is.
    fn ask(&mut self, bmc: &mut Bmc<C>, look: &mut Look) -> Result<(), CallError> {
        if self.is_due {
            let identity = Identity::ask(bmc, &self.machine)?;
            if self.known.as_ref().is_none_or(|known| known.identity != identity) {
                self.known = Some(Known::new(identity));
                self.repository = Repository::default();
                self.sensors = Sensors::default();
                self.pauses = [0; 4];
            }
            self.is_due = false;
        }
        let Some(known) = &self.known else { return Ok(()) };
        let [dcmi, chassis, sel, records] = &mut self.pauses;
        if let Some(power) = optional(dcmi, look, || dcmi::power(bmc))? {
            match power {
                Power::Watts(watts) => known.add(look, &hw::HOST_POWER, &known.id, f64::from(watts)),
                Power::Inactive => look.skipped.add("power_inactive"),
                Power::Sentinel => look.skipped.add("implausible"),
            }
        }
        if let Some(status) = optional(chassis, look, || chassis::status(bmc))? {
            known.chassis(look, status);
        }
        if let Some(sel) = optional(sel, look, || sel::info(bmc))? {
            known.add(look, &catalogue::SEL_ENTRIES, &known.id, i64::from(sel.entries));
            if let Some(free) = sel.free {
                known.add(look, &catalogue::SEL_FREE, &known.id, i64::from(free));
            }
        }
        // Only now: it is there, since it has answered.
        known.add(look, &catalogue::BMC_INFO, &known.info, 1);
        if !self.options.sensors {
            return Ok(());
        }
        optional(records, look, || self.repository.look(bmc))?;
        self.records(bmc, look)?;
        self.sensors.read(bmc, &mut look.skipped)
    }

    /// Goes on reading the records. While there are sensors of before, half of the time is theirs.
    fn records(&mut self, bmc: &mut Bmc<C>, look: &mut Look) -> Result<(), CallError> {
        let left = bmc.left();
        let reserved = if self.sensors.is_empty() {
            Duration::ZERO
        } else {
            left / RECORDS_SHARE
        };
        while self.repository.is_reading() && bmc.left() > reserved {
            match self.repository.step(bmc, &mut look.skipped) {
                Ok(None) => {}
                Ok(Some(records)) => {
                    if let Some(known) = &self.known {
                        self.sensors = Sensors::new(&records, &known.identity, &mut look.skipped);
                    }
                }
                Err(CallError::NoTime) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What not every BMC has. A failure is counted, and what the BMC does not have is not asked for a while; an error is one of
/// talking to the BMC.
fn optional<T>(
    pause: &mut u32,
    look: &mut Look,
    ask: impl FnOnce() -> Result<T, CallError>,
) -> Result<Option<T>, CallError> {
    if *pause > 0 {
        *pause -= 1;
        return Ok(None);
    }
    match ask() {
        Ok(found) => Ok(Some(found)),
        Err(error @ CallError::Lost(_)) => {
            // If it is the command, the next request comes to what is after it.
            *pause = PAUSE;
            Err(error)
        }
        Err(error) => {
            if matches!(error, CallError::Refused(code) if completion::is_unsupported(code)) {
                *pause = PAUSE;
            }
            look.skipped.error(&error);
            Ok(None)
        }
    }
}

impl Known {
    fn new(identity: Identity) -> Self {
        let id = || (HW_ID, identity.hw_id.as_str().into());
        let device = &identity.device;
        let info = [
            id(),
            (HW_FIRMWARE_VERSION, device.firmware.as_str().into()),
            (IPMI_VERSION, device.version.as_str().into()),
            (IPMI_MANUFACTURER_ID, i64::from(device.manufacturer).into()),
            (IPMI_PRODUCT_ID, i64::from(device.product).into()),
        ];
        let model = identity.model.as_deref().map(|model| (HW_MODEL, model.into()));
        let state = |state: &'static str| {
            let more: [Attribute; 3] = [id(), (HW_TYPE, "enclosure".into()), (HW_STATE, state.into())];
            (state, Arc::new(Attributes::new(more)))
        };
        Self {
            id: Arc::new(Attributes::new([id()])),
            info: Arc::new(Attributes::new(info.into_iter().chain(model))),
            states: ["ok", "degraded", "failed"].map(state).into(),
            identity,
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what is known of the server")]
    fn add(
        &self,
        look: &mut Look,
        instrument: &'static Instrument,
        attributes: &Arc<Attributes>,
        value: impl Into<Value>,
    ) {
        let point = Point::new(instrument, Arc::clone(attributes), value, Timestamp::now());
        look.points.push(point);
    }

    fn chassis(&self, look: &mut Look, status: chassis::Chassis) {
        for (condition, holds) in status.conditions() {
            let attributes = Arc::new(self.id.with([(IPMI_CHASSIS_CONDITION, condition.into())]));
            self.add(look, &catalogue::CHASSIS_STATE, &attributes, i64::from(holds));
        }
        for (state, attributes) in &self.states {
            self.add(look, &hw::STATUS, attributes, i64::from(*state == status.state()));
        }
    }
}
