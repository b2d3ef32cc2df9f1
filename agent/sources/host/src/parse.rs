//! Words and numbers in the kernel's text files, without a copy.

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The lines of a text. What follows the last line break is one too.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// A whole number of digits alone.
pub(crate) fn whole(word: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    if word.is_empty() {
        return None;
    }
    word.iter()
        .try_fold(0_u64, |number, byte| number.checked_mul(10)?.checked_add(digit(byte)?))
}

/// A number that is not negative, with or without decimals.
pub(crate) fn decimal(word: &[u8]) -> Option<f64> {
    let is_plain = word.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let number = std::str::from_utf8(word).ok().filter(|_| is_plain)?.parse().ok()?;
    f64::is_finite(number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_none() {
        for bad in ["", "-1", "+1", "1.5", "0x1", "1e3", "18446744073709551616", "1 "] {
            assert_eq!(whole(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(whole(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", ".", "-1.0", "nan", "inf", "1e400", "1.2.3"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(decimal(b"4.60"), Some(4.6));
    }
}
