//! The part of protobuf's wire format that a monitor message needs
//! (<https://protobuf.dev/programming-guides/encoding/>).

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;

/// A message under construction. As in proto3, a scalar of zero and an empty string leave nothing on the wire.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn string(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    pub(super) fn double(&mut self, field: u32, value: f64) {
        // By bits: -0.0 is not the default.
        if value.to_bits() != 0 {
            self.varint(field << 3 | FIXED64);
            self.0.extend(value.to_le_bytes());
        }
    }

    /// An enum is one too.
    pub(super) fn int32(&mut self, field: u32, value: i32) {
        if value != 0 {
            self.varint(field << 3 | VARINT);
            // The sign is extended to 64 bits: a negative number takes ten bytes.
            self.varint(i64::from(value) as u64);
        }
    }

    /// An element of a repeated field is written even where it is empty.
    pub(super) fn message(&mut self, field: u32, value: &Self) {
        self.bytes(field, &value.0);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn varint(&mut self, value: impl Into<u64>) {
        let mut value = value.into();
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
