//! Records, made by the tables of the specification and not by the parser.

/// A record in the making.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    bytes: Vec<u8>,
    name: String,
}

/// A full record (table 43-1) of a temperature sensor of the BMC, in degrees, without readable thresholds.
pub(crate) fn full(number: u8, name: &str) -> Made {
    let mut bytes = vec![0; 47];
    bytes[2] = 0x51;
    bytes[3] = 0x01;
    bytes[5] = 0x20;
    bytes[7] = number;
    bytes[8] = 7;
    bytes[9] = 1;
    bytes[11] = 0x04;
    bytes[12] = 0x01;
    bytes[13] = 0x01;
    bytes[21] = 1;
    bytes[24] = 1;
    // UNR, UC, UNC, LNR, LC, LNC.
    bytes[36..42].copy_from_slice(&[110, 105, 95, 1, 2, 3]);
    let name = name.to_owned();
    Made { bytes, name }
}

/// A compact record (table 43-2) of a sensor with the states of its type.
pub(crate) fn compact(number: u8, name: &str, kind: u8) -> Made {
    let mut bytes = vec![0; 31];
    bytes[2] = 0x51;
    bytes[3] = 0x02;
    bytes[5] = 0x20;
    bytes[7] = number;
    bytes[8] = 10;
    bytes[9] = 1;
    bytes[12] = kind;
    bytes[13] = 0x6f;
    bytes[20] = 0xc0;
    bytes[23] = 1;
    let name = name.to_owned();
    Made { bytes, name }
}

impl Made {
    pub(crate) fn entity(mut self, entity: u8, instance: u8) -> Self {
        (self.bytes[8], self.bytes[9]) = (entity, instance);
        self
    }

    /// Sensor type and base unit.
    pub(crate) fn kind(mut self, kind: u8, unit: u8) -> Self {
        (self.bytes[12], self.bytes[21]) = (kind, unit);
        self
    }

    /// M, B, K1 and K2.
    pub(crate) fn factors(mut self, m: i16, b: i16, k1: i8, k2: i8) -> Self {
        let high = |number: i16| ((number >> 8) as u8 & 0b11) << 6;
        self.bytes[24] = m as u8;
        self.bytes[25] = high(m);
        self.bytes[26] = b as u8;
        self.bytes[27] = high(b);
        self.bytes[29] = ((k2 as u8) << 4) | (k1 as u8 & 0xf);
        self
    }

    /// Mask of the thresholds that can be read.
    pub(crate) fn readable(mut self, mask: u8) -> Self {
        self.bytes[18] = mask;
        self
    }

    pub(crate) fn owner(mut self, owner: u8, lun: u8) -> Self {
        (self.bytes[5], self.bytes[6]) = (owner, lun);
        self
    }

    /// Number of sensors that share a compact record, the first number in their names, and whether their entities differ.
    pub(crate) fn shared(mut self, count: u8, first: u8, entities: bool) -> Self {
        self.bytes[23] = count;
        self.bytes[24] = first | u8::from(entities) << 7;
        self
    }

    /// With its name and length.
    pub(crate) fn bytes(mut self) -> Vec<u8> {
        self.bytes.push(0xc0 | self.name.len() as u8);
        self.bytes.extend_from_slice(self.name.as_bytes());
        self.bytes[4] = (self.bytes.len() - 5) as u8;
        self.bytes
    }
}
