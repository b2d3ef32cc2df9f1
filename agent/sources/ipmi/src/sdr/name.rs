//! The name of a sensor: a type and length byte and so many bytes (IPMI 2.0, 43.15).

/// Longest name in characters; the length has five bits, and a byte may be two characters.
const MAX_CHARACTERS: usize = 64;
/// Characters of BCD plus.
const BCD_PLUS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ' ', '-', '.', ':', ',', '_',
];

/// The printable text; empty if there is none. What a record lacks of the announced length is left out.
pub(super) fn text(bytes: &[u8]) -> String {
    let Some((kind, rest)) = bytes.split_first() else {
        return String::new();
    };
    let rest = &rest[..rest.len().min(usize::from(kind & 0x1f))];
    let text: String = match kind >> 6 {
        0b01 => rest
            .iter()
            .flat_map(|byte| [BCD_PLUS[usize::from(byte >> 4)], BCD_PLUS[usize::from(byte & 0xf)]])
            .collect(),
        0b10 => six_bits(rest).collect(),
        // 8-bit ASCII and Latin 1; "Unicode" (0), whose encoding the specification does not say, is ASCII where it is seen.
        _ => rest.iter().map(|byte| char::from(*byte)).collect(),
    };
    let printable = text
        .chars()
        .take_while(|one| *one != '\0')
        .filter(|one| !one.is_control());
    printable.take(MAX_CHARACTERS).collect::<String>().trim().to_owned()
}

/// Four characters in three bytes, each 20h and more (packed 6-bit ASCII).
fn six_bits(bytes: &[u8]) -> impl Iterator<Item = char> {
    let count = bytes.len() * 8 / 6;
    (0..count).map(move |at| {
        let bit = at * 6;
        let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or_default());
        let both = byte(bit / 8) | (byte(bit / 8 + 1) << 8);
        char::from(0x20 + ((both >> (bit % 8)) & 0x3f) as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_is_read_and_what_is_cut_short_too() {
        assert_eq!(text(b"\xc9CPU1 Temp"), "CPU1 Temp");
        assert_eq!(text(b"\xc9CPU1\0\0\0\0\0"), "CPU1");
        assert_eq!(text(b"\xdfFan"), "Fan", "cut short");
        assert_eq!(text(b"\xc4\x1b[2J"), "[2J", "nothing for a terminal");
        assert_eq!(text(&[0xc2, 0xb0, 0x43]), "°C");
        // The specification's own example of 43.15: "IPMI".
        assert_eq!(text(&[0x83, 0x29, 0xdc, 0xa6]), "IPMI");
        assert_eq!(text(&[0x42, 0x12, 0xb3]), "12-3");
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[0xc0]), "");
    }
}
