//! One record: a full one (IPMI 2.0, table 43-1) or a compact one (43-2). The others describe no sensor with a reading.
//!
//! Offsets are those of the tables less one.

use super::factors::Factors;
use super::name;
use crate::bmc::Target;

const FULL: u8 = 0x01;
const COMPACT: u8 = 0x02;
/// Length of the header, which is not in the length that it tells.
pub(super) const HEADER: usize = 5;
/// A full record up to its name, and a compact one.
const FULL_LENGTH: usize = 47;
const COMPACT_LENGTH: usize = 31;
/// Most sensors that share a compact record; the count has four bits.
const MAX_SHARED: u8 = 15;
/// The BMC's own address on its bus (IPMI 2.0, 5.5).
const BMC_ADDRESS: u8 = 0x20;
/// Event/reading type codes (table 42-1): thresholds, and the sensor type's own states.
const THRESHOLD: u8 = 0x01;
const SENSOR_SPECIFIC: u8 = 0x6f;

/// A sensor that a record describes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// The controller that has it, with the LUN.
    pub(crate) target: Target,
    /// Owner and LUN as the record has them: with the number, the sensor's key.
    pub(crate) owner: u8,
    pub(crate) number: u8,
    /// Entity ID and instance (table 43-13): what the sensor is in.
    pub(crate) entity: u8,
    pub(crate) instance: u8,
    /// Sensor type (table 42-3).
    pub(crate) kind: u8,
    pub(crate) name: String,
    pub(crate) scale: Scale,
}

/// What its reading is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scale {
    /// A number.
    Analog(Analog),
    /// States of its sensor type.
    States,
}

/// A number with a unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Analog {
    pub(crate) factors: Factors,
    pub(crate) unit: Unit,
    pub(crate) thresholds: Thresholds,
}

/// Units that have an instrument (table 43-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Celsius,
    Fahrenheit,
    Kelvin,
    Volt,
    Ampere,
    Watt,
    Rpm,
    Percent,
}

/// Raw values of the thresholds that can be read: lower non-critical, critical, non-recoverable; then upper ones alike.
/// That is the order of the bits of the mask and of Get Sensor Thresholds (35.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Thresholds(pub(crate) [Option<u8>; 6]);

/// Why a record gives no sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// It describes something else, or a sensor of a kind that is not shown. Nothing is missing.
    Other,
    /// It is shorter than its type.
    Short,
    /// Its readings become values by a curve that is not in the record.
    Nonlinear,
}

impl Skip {
    /// Reason for `agent.sampler.skipped`.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Other => None,
            Self::Short => Some("sdr_short"),
            Self::Nonlinear => Some("sdr_nonlinear"),
        }
    }
}

/// Whether a record of that type describes sensors.
pub(super) const fn is_sensor(kind: u8) -> bool {
    matches!(kind, FULL | COMPACT)
}

/// The sensors of a record, header included: one, or several that share it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Record>, Skip> {
    let kind = *bytes.get(3).ok_or(Skip::Short)?;
    let least = match kind {
        FULL => FULL_LENGTH,
        COMPACT => COMPACT_LENGTH,
        _ => return Err(Skip::Other),
    };
    if bytes.len() < least {
        return Err(Skip::Short);
    }
    let (owner, lun_byte) = (bytes[5], bytes[6]);
    let lun = lun_byte & 0b11;
    let target = match owner {
        BMC_ADDRESS => Target::Bmc { lun },
        // Software has no readings (bit 0 of the owner).
        owner if owner & 1 != 0 => return Err(Skip::Other),
        address => Target::Ipmb {
            channel: lun_byte >> 4,
            address,
            lun,
        },
    };
    let scale = match (kind, bytes[13]) {
        (FULL, THRESHOLD) => analog(bytes)?,
        (FULL | COMPACT, SENSOR_SPECIFIC) => Scale::States,
        _ => return Err(Skip::Other),
    };
    let record = Record {
        target,
        owner,
        number: bytes[7],
        entity: bytes[8],
        instance: bytes[9] & 0x7f,
        kind: bytes[12],
        name: name::text(&bytes[least..]),
        scale,
    };
    Ok(if kind == COMPACT {
        shared(record, bytes)
    } else {
        vec![record]
    })
}

fn analog(bytes: &[u8]) -> Result<Scale, Skip> {
    let (units, base) = (bytes[20], bytes[21]);
    // Bits 5:3 are a rate and 2:1 a second unit, which no instrument has.
    let unit = match (units & 1 != 0, base) {
        _ if units & 0b11_1110 != 0 => None,
        // Many BMCs leave the unit of a percentage out.
        (true, _) => Some(Unit::Percent),
        (false, 1) => Some(Unit::Celsius),
        (false, 2) => Some(Unit::Fahrenheit),
        (false, 3) => Some(Unit::Kelvin),
        (false, 4) => Some(Unit::Volt),
        (false, 5) => Some(Unit::Ampere),
        (false, 6) => Some(Unit::Watt),
        (false, 18) => Some(Unit::Rpm),
        _ => None,
    };
    let unit = unit.ok_or(Skip::Other)?;
    if units >> 6 == 0b11 {
        // No analog reading.
        return Err(Skip::Other);
    }
    let mut numbers = [0; 7];
    numbers.copy_from_slice(&bytes[23..30]);
    let factors = Factors::new(units >> 6, numbers).ok_or(Skip::Nonlinear)?;
    // Byte 12, bits 3:2: there are thresholds that can be read. Byte 19: which.
    let readable = if matches!((bytes[11] >> 2) & 0b11, 1 | 2) {
        bytes[18]
    } else {
        0
    };
    // Bytes 37 to 42 are the other way round: from upper non-recoverable to lower non-critical.
    let threshold = |bit: usize| (readable & (1 << bit) != 0).then(|| bytes[36 + THRESHOLD_PLACES[bit]]);
    let thresholds = Thresholds(std::array::from_fn(threshold));
    Ok(Scale::Analog(Analog {
        factors,
        unit,
        thresholds,
    }))
}

/// Places of the thresholds by the bits of the mask: the record has UNR, UC, UNC, LNR, LC, LNC.
const THRESHOLD_PLACES: [usize; 6] = [5, 4, 3, 2, 1, 0];

/// The sensors that share a compact record (bytes 24 and 25): their numbers follow each other, and so do their names and, by a
/// bit, their entities.
fn shared(record: Record, bytes: &[u8]) -> Vec<Record> {
    let count = (bytes[23] & 0xf).min(MAX_SHARED);
    if count < 2 {
        return vec![record];
    }
    let (first, has_entities) = (bytes[24] & 0x7f, bytes[24] & 0x80 != 0);
    let is_alphabetic = bytes[23] & 0x30 == 0x10;
    let one = |nth: u8| {
        let number = u16::from(first) + u16::from(nth);
        let suffix = if is_alphabetic {
            char::from(b'A' + (number % 26) as u8).to_string()
        } else {
            number.to_string()
        };
        Record {
            number: record.number.wrapping_add(nth),
            instance: if has_entities {
                record.instance.wrapping_add(nth) & 0x7f
            } else {
                record.instance
            },
            name: format!("{}{suffix}", record.name),
            ..record.clone()
        }
    };
    (0..count).map(one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::{compact, full};

    #[test]
    fn a_full_record_is_read_by_its_table() {
        let record = full(0x30, "CPU1 Temp")
            .entity(3, 1)
            .factors(1, -10, 0, 0)
            .readable(0b01_1000)
            .bytes();
        let found = parse(&record).unwrap();
        let [sensor] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(
            (sensor.name.as_str(), sensor.number, sensor.kind),
            ("CPU1 Temp", 0x30, 1)
        );
        assert_eq!((sensor.entity, sensor.instance), (3, 1));
        assert_eq!(sensor.target, Target::Bmc { lun: 0 });
        let Scale::Analog(analog) = &sensor.scale else {
            panic!("{sensor:?}")
        };
        assert_eq!(analog.unit, Unit::Celsius);
        assert_eq!(analog.factors.value(60), Some(50.0));
        // Upper non-critical and upper critical of `full`, and nothing that the mask leaves out.
        assert_eq!(
            analog.thresholds,
            Thresholds([None, None, None, Some(95), Some(105), None])
        );
    }

    #[test]
    fn sensors_that_share_a_record_have_numbers_and_names_of_their_own() {
        let record = compact(0x60, "Drive ", 0x0d).shared(3, 1, true).entity(26, 4).bytes();
        let found = parse(&record).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.number, one.instance))
            .collect();
        assert_eq!(told, [("Drive1", 0x60, 4), ("Drive2", 0x61, 5), ("Drive3", 0x62, 6)]);
    }

    #[test]
    fn a_sensor_of_another_controller_is_asked_there_and_software_is_not() {
        let of = |owner, lun| {
            let mut record = full(1, "x").bytes();
            (record[5], record[6]) = (owner, lun);
            parse(&record).map(|found| found[0].target)
        };
        let behind = Target::Ipmb {
            channel: 6,
            address: 0x2c,
            lun: 1,
        };
        assert_eq!(of(0x2c, 0x61), Ok(behind));
        assert_eq!(of(0x41, 0), Err(Skip::Other));
    }

    #[test]
    fn a_record_that_is_cut_short_is_no_sensor() {
        for whole in [full(1, "Fan").bytes(), compact(2, "PSU", 8).bytes()] {
            let named = whole.len() - 4;
            for length in 0..whole.len() {
                let found = parse(&whole[..length]);
                assert_eq!(found.is_ok(), length >= named, "{length} of {}: {found:?}", whole.len());
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_it_holds_its_sensors_are_bounded(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 1_u8..3) {
            if let Some(byte) = bytes.get_mut(3) {
                *byte = kind;
            }
            let found = parse(&bytes).unwrap_or_default();
            prop_assert!(found.len() <= 15);
            for sensor in &found {
                prop_assert!(sensor.name.chars().count() <= 67 && !sensor.name.contains(char::is_control));
                if let Scale::Analog(analog) = &sensor.scale {
                    for raw in 0..=255 {
                        prop_assert!(analog.factors.value(raw).is_none_or(f64::is_finite));
                    }
                }
            }
        }
    }
}
