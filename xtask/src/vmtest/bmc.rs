//! The emulator's BMC (hw/ipmi/ipmi_bmc_sim.c of QEMU 10.0): its records, and what its sensors show.
//!
//! It has a sensor for each compact record and reads no full one. So each sensor has both, with one number: the compact one
//! makes it answer, and the full one says what the answer means.

use std::path::Path;

use anyhow::Result;

/// GUID of the machine, which is the server's `hw.id`.
pub(super) const GUID: &str = "6f1c2f52-8d0b-4c58-9c0e-3a2f7f1b9d10";
/// Manufacturer and product.
pub(super) const MANUFACTURER: u32 = 674;
pub(super) const PRODUCT: u16 = 256;

/// A sensor of thresholds.
pub(super) struct Sensor {
    pub(super) number: u8,
    pub(super) name: &'static str,
    /// Metric, and value of the reading that init sets.
    pub(super) metric: &'static str,
    pub(super) value: Option<f64>,
    pub(super) location: &'static str,
    entity: [u8; 2],
    /// Sensor type and unit (IPMI 2.0, tables 42-3 and 43-15).
    kind: [u8; 2],
    /// M, and the exponent of the result.
    factors: (u16, i8),
    /// Upper critical threshold, raw; 0 for none that can be read.
    upper_critical: u8,
    /// As a value.
    pub(super) limit: Option<f64>,
}

/// The readings are those of `scenario_ipmi` in xtask/vm/init: 36h, 50h, BFh, FFh.
pub(super) const SENSORS: [Sensor; 4] = [
    Sensor {
        number: 1,
        name: "CPU1 Temp",
        metric: "hw.temperature",
        value: Some(54.0),
        location: "cpu1",
        entity: [3, 1],
        kind: [1, 1],
        factors: (1, 0),
        upper_critical: 95,
        limit: Some(95.0),
    },
    Sensor {
        number: 2,
        name: "Fan 3",
        metric: "hw.fan.speed",
        value: Some(6000.0),
        location: "fan3",
        entity: [29, 3],
        kind: [4, 18],
        factors: (75, 0),
        upper_critical: 0,
        limit: None,
    },
    Sensor {
        number: 3,
        name: "12V",
        metric: "hw.voltage",
        value: Some(12.033),
        location: "system_board1",
        entity: [7, 1],
        kind: [2, 4],
        factors: (63, -3),
        upper_critical: 210,
        limit: Some(13.23),
    },
    // 255 in steps of 257 are 65,535: no speed.
    Sensor {
        number: 4,
        name: "Fan 4",
        metric: "hw.fan.speed",
        value: None,
        location: "fan4",
        entity: [29, 4],
        kind: [4, 18],
        factors: (257, 0),
        upper_critical: 0,
        limit: None,
    },
];

/// The emulator's options; the records are a file in `work`.
pub(super) fn options(work: &Path) -> Result<Vec<String>> {
    let path = work.join("sdr");
    let records: Vec<u8> = SENSORS
        .iter()
        .flat_map(|one| [one.compact(), one.full()].concat())
        .collect();
    std::fs::write(&path, records)?;
    let bmc = format!(
        "ipmi-bmc-sim,id=bmc0,guid={GUID},mfg_id={MANUFACTURER},product_id={PRODUCT},sdrfile={}",
        path.display()
    );
    let options = ["-device", &bmc, "-device", "isa-ipmi-kcs,bmc=bmc0"];
    Ok(options.map(str::to_owned).into())
}

impl Sensor {
    /// Bytes 1 to 14, which both records have. Threshold sensors of the BMC that are scanned from the start.
    fn common(&self, record: u8) -> Vec<u8> {
        let [entity, instance] = self.entity;
        let mut bytes = vec![0, 0, 0x51, record, 0, 0x20, 0, self.number, entity, instance];
        bytes.extend([0x7f, 0x68, self.kind[0], 0x01]);
        bytes
    }

    /// Table 43-2.
    fn compact(&self) -> Vec<u8> {
        let mut bytes = self.common(2);
        bytes.resize(23, 0);
        bytes[21] = self.kind[1];
        bytes.resize(31, 0);
        self.named(bytes)
    }

    /// Table 43-1.
    fn full(&self) -> Vec<u8> {
        let mut bytes = self.common(1);
        bytes[11] = 0x04;
        bytes.resize(47, 0);
        bytes[18] = u8::from(self.upper_critical > 0) << 4;
        bytes[21] = self.kind[1];
        let (m, exponent) = self.factors;
        bytes[24] = m as u8;
        bytes[25] = ((m >> 8) as u8) << 6;
        bytes[29] = (exponent as u8) << 4;
        bytes[37] = self.upper_critical;
        self.named(bytes)
    }

    fn named(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.push(0xc0 | self.name.len() as u8);
        bytes.extend(self.name.bytes());
        bytes[4] = (bytes.len() - 5) as u8;
        bytes
    }
}
