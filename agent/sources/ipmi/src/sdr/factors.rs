//! From a raw reading to a value: y = L((M·x + B·10^K1) · 10^K2), IPMI 2.0, 36.3.

/// Format of a raw reading (table 43-1, byte 21, bits 7:6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Unsigned,
    OnesComplement,
    TwosComplement,
}

/// The numbers of one sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Factors {
    format: Format,
    linearization: Linearization,
    m: i16,
    b: i16,
    /// Exponent of B (K1) and of the result (K2).
    b_exponent: i8,
    result_exponent: i8,
}

/// Functions of table 43-1, byte 24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linearization {
    Linear,
    Ln,
    Log10,
    Log2,
    Exp,
    Exp10,
    Exp2,
    Inverse,
    Square,
    Cube,
    SquareRoot,
    CubeRoot,
}

impl Factors {
    /// From bytes 24 to 30 of a full record and the format's two bits. `None` for a sensor without an analog reading, one
    /// with a curve of its own (70h and above), and reserved codes.
    pub(crate) fn new(format: u8, bytes: [u8; 7]) -> Option<Self> {
        let format = match format & 0b11 {
            0 => Format::Unsigned,
            1 => Format::OnesComplement,
            2 => Format::TwosComplement,
            _ => return None,
        };
        let [linearization, m, m_high, b, b_high, _, exponents] = bytes;
        let linearization = match linearization & 0x7f {
            0 => Linearization::Linear,
            1 => Linearization::Ln,
            2 => Linearization::Log10,
            3 => Linearization::Log2,
            4 => Linearization::Exp,
            5 => Linearization::Exp10,
            6 => Linearization::Exp2,
            7 => Linearization::Inverse,
            8 => Linearization::Square,
            9 => Linearization::Cube,
            10 => Linearization::SquareRoot,
            // The specification writes "cube-1(x)": the inverse of the cube.
            11 => Linearization::CubeRoot,
            _ => return None,
        };
        Some(Self {
            format,
            linearization,
            m: ten_bits(m, m_high),
            b: ten_bits(b, b_high),
            b_exponent: four_bits(exponents),
            result_exponent: four_bits(exponents >> 4),
        })
    }

    /// The value of a raw reading; `None` where it is no number (the logarithm of 0, a division by 0).
    pub(crate) fn value(self, raw: u8) -> Option<f64> {
        let x = match self.format {
            // Negative numbers are the positive ones with all bits turned over; FFh is a second zero.
            Format::OnesComplement if raw & 0x80 != 0 => -f64::from(!raw),
            Format::OnesComplement | Format::Unsigned => f64::from(raw),
            Format::TwosComplement => f64::from(raw as i8),
        };
        let linear = f64::from(self.m) * x + f64::from(self.b) * ten_to(self.b_exponent);
        // A division by a power of ten is exact where a multiplication by its inverse is not: 1200 mV are 1.2 V.
        let y = if self.result_exponent < 0 {
            linear / ten_to(-self.result_exponent)
        } else {
            linear * ten_to(self.result_exponent)
        };
        let value = match self.linearization {
            Linearization::Linear => y,
            Linearization::Ln => y.ln(),
            Linearization::Log10 => y.log10(),
            Linearization::Log2 => y.log2(),
            Linearization::Exp => y.exp(),
            Linearization::Exp10 => 10_f64.powf(y),
            Linearization::Exp2 => y.exp2(),
            Linearization::Inverse => y.recip(),
            Linearization::Square => y.powi(2),
            Linearization::Cube => y.powi(3),
            Linearization::SquareRoot => y.sqrt(),
            Linearization::CubeRoot => y.cbrt(),
        };
        value.is_finite().then_some(value)
    }
}

fn ten_to(exponent: i8) -> f64 {
    10_f64.powi(exponent.into())
}

/// A number of ten bits in two's complement; the high two are the highest of the second byte.
const fn ten_bits(low: u8, high: u8) -> i16 {
    let bits = ((high as i16 & 0xc0) << 2) | low as i16;
    (bits << 6) >> 6
}

/// A number of four bits in two's complement, the lowest of the byte.
const fn four_bits(byte: u8) -> i8 {
    ((byte << 4) as i8) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(format: u8, linearization: u8, m: i16, b: i16, k1: i8, k2: i8) -> Factors {
        let high = |number: i16| ((number >> 2) & 0xc0) as u8;
        let exponents = ((k2 as u8) << 4) | (k1 as u8 & 0xf);
        let bytes = [linearization, m as u8, high(m), b as u8, high(b), 0, exponents];
        Factors::new(format, bytes).unwrap()
    }

    #[test]
    fn a_reading_becomes_the_value_of_the_specification_s_formula() {
        let cases = [
            // Degrees with an offset of -64; 12 V in steps of 63 mV; a fan in steps of 75 rpm.
            (factors(0, 0, 1, -64, 0, 0), 100, 36.0),
            (factors(0, 0, 63, 0, 0, -3), 191, 12.033),
            (factors(0, 0, 75, 0, 0, 0), 80, 6000.0),
            // The offset has an exponent of its own.
            (factors(0, 0, 2, 5, 2, -1), 10, 52.0),
            // The smallest and largest of ten bits.
            (factors(0, 0, -512, 511, 0, 0), 2, -513.0),
            (factors(0, 0, -1, 0, 0, 0), 60, -60.0),
            (factors(1, 0, 1, 0, 0, 0), 0xfe, -1.0),
            (factors(2, 0, 1, 0, 0, 0), 0xfe, -2.0),
            (factors(0, 7, 1, 0, 0, 0), 4, 0.25),
            (factors(0, 8, 1, 0, 0, 0), 9, 81.0),
            (factors(0, 10, 1, 0, 0, 0), 81, 9.0),
            (factors(0, 11, 1, 0, 0, 0), 27, 3.0),
        ];
        for (factors, raw, value) in cases {
            let found = factors.value(raw).unwrap();
            assert!((found - value).abs() < 1e-9, "{factors:?} {raw}: {found}, not {value}");
        }
    }

    #[test]
    fn what_is_no_number_is_no_value() {
        assert_eq!(factors(0, 7, 1, 0, 0, 0).value(0), None);
        assert_eq!(factors(0, 1, 1, 0, 0, 0).value(0), None);
        assert_eq!(factors(2, 10, 1, 0, 0, 0).value(0x80), None);
        assert_eq!(factors(0, 5, 511, 0, 0, 7).value(255), None);
        assert_eq!(Factors::new(3, [0; 7]), None);
        for curve in [0x0c, 0x70, 0x7f] {
            assert_eq!(Factors::new(0, [curve, 1, 0, 0, 0, 0, 0]), None);
        }
    }
}
