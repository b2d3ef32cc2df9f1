//! From a piece of text to a value: absent where the tool printed a placeholder, an error where the text is malformed.

use std::ops::RangeInclusive;

use super::items::Item;
use super::table::Usage;

/// Why a cell that is not empty gave no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueError {
    /// The text does not fit the column.
    Malformed,
    /// A zero that a working chip cannot have: the tool prints one when a read fails.
    Zero,
}

const MIB: u64 = 1 << 20;

/// Values outside these ranges are sentinels or in another unit.
const WATTS: RangeInclusive<f64> = 0.0..=10_000.0;
const CELSIUS: RangeInclusive<f64> = -250.0..=250.0;
const PERCENT: RangeInclusive<f64> = 0.0..=100.0;

/// Whether the text is one of the tool's placeholders for an absent value.
pub(super) fn is_absent(text: &str) -> bool {
    matches!(text, "" | "-" | "--") || text.eq_ignore_ascii_case("na") || text.eq_ignore_ascii_case("n/a")
}

/// A whole number.
pub(super) fn integer<T: std::str::FromStr>(text: &str) -> Result<Option<T>, ValueError> {
    if is_absent(text) {
        return Ok(None);
    }
    // `parse` accepts a plus sign, which the tool never writes.
    if text.starts_with('+') {
        return Err(ValueError::Malformed);
    }
    text.parse().map(Some).map_err(|_| ValueError::Malformed)
}

/// A single number within `range`.
fn number(item: &Item<'_>, range: &RangeInclusive<f64>) -> Result<Option<f64>, ValueError> {
    let text = match item.second {
        None if is_absent(item.first) => return Ok(None),
        None => item.first,
        Some(_) => return Err(ValueError::Malformed),
    };
    // `parse` also accepts `inf`, `NaN` and `1e9`.
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-')) {
        return Err(ValueError::Malformed);
    }
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.map(Some).ok_or(ValueError::Malformed)
}

fn nonzero(value: Option<f64>) -> Result<Option<f64>, ValueError> {
    if value == Some(0.0) {
        Err(ValueError::Zero)
    } else {
        Ok(value)
    }
}

/// PCI address, e.g. `0000:C1:00.0`. Outputs shown to others may have it masked: then it is malformed.
pub(super) fn bus(text: &str) -> Result<Option<String>, ValueError> {
    if is_absent(text) {
        return Ok(None);
    }
    let mut parts = text.split([':', '.']);
    let mut is_next = |lengths: RangeInclusive<usize>| {
        parts
            .next()
            .is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let is_address = is_next(4..=8) && is_next(2..=2) && is_next(2..=2) && is_next(1..=1) && parts.next().is_none();
    if is_address {
        Ok(Some(text.to_owned()))
    } else {
        Err(ValueError::Malformed)
    }
}

/// Whether the item is `0 / 0`.
pub(super) fn is_zero_pair(item: &Item<'_>) -> bool {
    item.first == "0" && item.second == Some("0")
}

/// Power in watts. A chip that works draws some.
pub(super) fn watts(item: &Item<'_>) -> Result<Option<f64>, ValueError> {
    nonzero(number(item, &WATTS)?)
}

/// Temperature in degrees Celsius. A failed read prints exactly 0, which a working chip does not have.
pub(super) fn celsius(item: &Item<'_>) -> Result<Option<f64>, ValueError> {
    nonzero(number(item, &CELSIUS)?)
}

pub(super) fn percent(item: &Item<'_>) -> Result<Option<f64>, ValueError> {
    number(item, &PERCENT)
}

/// Used and total pages.
pub(super) fn pages(item: &Item<'_>) -> Result<Usage, ValueError> {
    usage(item, 1)
}

/// Used and total memory in bytes. The tool's MB are 2^20 bytes.
pub(super) fn memory(item: &Item<'_>) -> Result<Usage, ValueError> {
    usage(item, MIB)
}

/// Size in bytes of an amount of memory in MB.
pub(super) fn memory_size(text: &str) -> Result<Option<u64>, ValueError> {
    scaled(text, MIB)
}

fn scaled(text: &str, unit: u64) -> Result<Option<u64>, ValueError> {
    match integer::<u64>(text)? {
        Some(number) => number.checked_mul(unit).map(Some).ok_or(ValueError::Malformed),
        None => Ok(None),
    }
}

fn usage(item: &Item<'_>, unit: u64) -> Result<Usage, ValueError> {
    let limit = match item.second {
        None if is_absent(item.first) => return Ok(Usage::default()),
        None => return Err(ValueError::Malformed),
        Some(second) => scaled(second, unit)?,
    };
    let used = scaled(item.first, unit)?;
    match (used, limit) {
        (Some(0) | None, Some(0)) => Ok(Usage::default()),
        (_, Some(0)) => Err(ValueError::Malformed),
        // One of the two is truncated or garbled, and nothing shows which.
        (Some(used), Some(limit)) if used > limit => Err(ValueError::Malformed),
        _ => Ok(Usage { used, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(first: &str) -> Item<'_> {
        Item { first, second: None }
    }

    #[test]
    fn absent_zero_and_malformed_are_distinguished() {
        assert_eq!(watts(&single("-")), Ok(None));
        assert_eq!(watts(&single("NA")), Ok(None));
        assert_eq!(watts(&single("0.0")), Err(ValueError::Zero));
        assert_eq!(watts(&single("12.8")), Ok(Some(12.8)));
        for malformed in ["inf", "NaN", "1e3", "-3", "99999999", "12.8W", "1.2.3"] {
            assert_eq!(watts(&single(malformed)), Err(ValueError::Malformed), "{malformed}");
        }
        assert_eq!(celsius(&single("0")), Err(ValueError::Zero));
        assert_eq!(celsius(&single("-5")), Ok(Some(-5.0)));
        assert_eq!(
            celsius(&single("32765")),
            Err(ValueError::Malformed),
            "a sensor's sentinel"
        );
        assert_eq!(percent(&single("0")), Ok(Some(0.0)));
        assert_eq!(percent(&single("101")), Err(ValueError::Malformed));
    }

    #[test]
    fn a_masked_address_is_malformed() {
        assert_eq!(bus("0000:C1:00.0"), Ok(Some("0000:C1:00.0".to_owned())));
        assert_eq!(bus("NA"), Ok(None));
        for malformed in [
            "0000:xx:00.0",
            "xxxx",
            "0000::00.0",
            "0000:C1:0",
            "0000:C1:00.0.1",
            "C1:00.0",
        ] {
            assert_eq!(bus(malformed), Err(ValueError::Malformed), "{malformed}");
        }
    }

    #[test]
    fn memory_is_in_mebibytes_and_a_total_of_zero_is_absent() {
        let pair = |first, second| Item {
            first,
            second: Some(second),
        };
        let usage = memory(&pair("0", "32768")).unwrap();
        assert_eq!((usage.used, usage.limit), (Some(0), Some(34_359_738_368)));
        assert_eq!(memory(&pair("0", "0")), Ok(Usage::default()));
        assert_eq!(memory(&pair("NA", "8")).unwrap().used, None);
        assert_eq!(memory(&pair("5", "0")), Err(ValueError::Malformed));
        assert_eq!(memory(&pair("59718", "6553")), Err(ValueError::Malformed));
        assert_eq!(memory(&pair("0", "18446744073709551615")), Err(ValueError::Malformed));
        assert_eq!(pages(&pair("15", "969")).unwrap().limit, Some(969));
    }
}
