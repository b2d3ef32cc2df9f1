//! From a piece of text to a value: absent where the tool says so, an error where it is not understood.

use std::ops::RangeInclusive;

use super::items::Item;
use super::table::Usage;

/// Why a cell gave no value although the tool printed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It is not what its column holds.
    Strange,
    /// It is a zero that a chip which is there cannot have: the tool prints one when a read fails.
    Zero,
}

const MIB: u64 = 1 << 20;

/// Watts, degrees and per cent beyond these are a sentinel or another unit, not a reading.
const MOST_WATTS: f64 = 10_000.0;
const MOST_CELSIUS: f64 = 250.0;

/// Whether the text is the tool's way of saying that there is no value.
pub(super) fn is_absent(text: &str) -> bool {
    matches!(text, "" | "-" | "--") || text.eq_ignore_ascii_case("na") || text.eq_ignore_ascii_case("n/a")
}

pub(super) fn whole<T: std::str::FromStr>(text: &str) -> Result<Option<T>, Lost> {
    if is_absent(text) {
        return Ok(None);
    }
    // `parse` accepts a plus sign, which the tool never writes.
    if text.starts_with('+') {
        return Err(Lost::Strange);
    }
    text.parse().map(Some).map_err(|_| Lost::Strange)
}

fn number(text: &str) -> Result<Option<f64>, Lost> {
    if is_absent(text) {
        return Ok(None);
    }
    // `parse` also takes `inf`, `NaN` and `1e9`.
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-')) {
        return Err(Lost::Strange);
    }
    text.parse().map(Some).map_err(|_| Lost::Strange)
}

/// `0000:C1:00.0`. Who shows an output to others may have masked it, and what is left of one is another.
pub(super) fn bus(text: &str) -> Result<Option<String>, Lost> {
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
        Err(Lost::Strange)
    }
}

/// Whether it is `0 / 0`.
pub(super) fn is_nothing(item: &Item<'_>) -> bool {
    item.first == "0" && item.second == Some("0")
}

fn single<'a>(item: &Item<'a>) -> Result<&'a str, Lost> {
    item.second.is_none().then_some(item.first).ok_or(Lost::Strange)
}

/// No chip that answers draws no power.
pub(super) fn watts(item: &Item<'_>) -> Result<Option<f64>, Lost> {
    match number(single(item)?)? {
        Some(0.0) => Err(Lost::Zero),
        Some(watts) if !(0.0..=MOST_WATTS).contains(&watts) => Err(Lost::Strange),
        watts => Ok(watts),
    }
}

/// Exactly 0 °C is what a failed read prints, and what a chip that works does not have.
pub(super) fn celsius(item: &Item<'_>) -> Result<Option<f64>, Lost> {
    match number(single(item)?)? {
        Some(0.0) => Err(Lost::Zero),
        Some(celsius) if celsius.abs() > MOST_CELSIUS => Err(Lost::Strange),
        celsius => Ok(celsius),
    }
}

pub(super) fn percent(item: &Item<'_>) -> Result<Option<f64>, Lost> {
    match number(single(item)?)? {
        Some(percent) if !(0.0..=100.0).contains(&percent) => Err(Lost::Strange),
        percent => Ok(percent),
    }
}

pub(super) fn pages(item: &Item<'_>) -> Result<Usage, Lost> {
    usage(item, 1)
}

/// The tool's MB are 2^20 bytes.
pub(super) fn megabytes(item: &Item<'_>) -> Result<Usage, Lost> {
    usage(item, MIB)
}

pub(super) fn bytes_of_megabytes(text: &str) -> Result<Option<u64>, Lost> {
    let Some(megabytes) = whole::<u64>(text)? else {
        return Ok(None);
    };
    megabytes.checked_mul(MIB).map(Some).ok_or(Lost::Strange)
}

fn usage(item: &Item<'_>, unit: u64) -> Result<Usage, Lost> {
    let scaled = |text| match whole::<u64>(text)? {
        Some(number) => number.checked_mul(unit).map(Some).ok_or(Lost::Strange),
        None => Ok(None),
    };
    let Some(second) = item.second else {
        return if is_absent(item.first) {
            Ok(Usage::default())
        } else {
            Err(Lost::Strange)
        };
    };
    let usage = Usage {
        used: scaled(item.first)?,
        limit: scaled(second)?,
    };
    match (usage.used, usage.limit) {
        (Some(0) | None, Some(0)) => Ok(Usage::default()),
        (_, Some(0)) => Err(Lost::Strange),
        // One of the two is cut or garbled, and which cannot be told.
        (Some(used), Some(limit)) if used > limit => Err(Lost::Strange),
        _ => Ok(usage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(first: &str) -> Item<'_> {
        Item { first, second: None }
    }

    #[test]
    fn absent_failed_and_strange_are_three_things() {
        assert_eq!(watts(&one("-")), Ok(None));
        assert_eq!(watts(&one("NA")), Ok(None));
        assert_eq!(watts(&one("0.0")), Err(Lost::Zero));
        assert_eq!(watts(&one("12.8")), Ok(Some(12.8)));
        for strange in ["inf", "NaN", "1e3", "-3", "99999999", "12.8W", "1.2.3"] {
            assert_eq!(watts(&one(strange)), Err(Lost::Strange), "{strange}");
        }
        assert_eq!(celsius(&one("0")), Err(Lost::Zero));
        assert_eq!(celsius(&one("-5")), Ok(Some(-5.0)));
        assert_eq!(celsius(&one("32765")), Err(Lost::Strange), "a sensor's sentinel");
        assert_eq!(percent(&one("0")), Ok(Some(0.0)));
        assert_eq!(percent(&one("101")), Err(Lost::Strange));
    }

    #[test]
    fn a_masked_address_is_none() {
        assert_eq!(bus("0000:C1:00.0"), Ok(Some("0000:C1:00.0".to_owned())));
        assert_eq!(bus("NA"), Ok(None));
        for strange in [
            "0000:xx:00.0",
            "xxxx",
            "0000::00.0",
            "0000:C1:0",
            "0000:C1:00.0.1",
            "C1:00.0",
        ] {
            assert_eq!(bus(strange), Err(Lost::Strange), "{strange}");
        }
    }

    #[test]
    fn memory_is_binary_and_a_total_of_zero_is_none() {
        let pair = |first, second| Item {
            first,
            second: Some(second),
        };
        let usage = megabytes(&pair("0", "32768")).unwrap();
        assert_eq!((usage.used, usage.limit), (Some(0), Some(34_359_738_368)));
        assert_eq!(megabytes(&pair("0", "0")), Ok(Usage::default()));
        assert_eq!(megabytes(&pair("NA", "8")).unwrap().used, None);
        assert_eq!(megabytes(&pair("5", "0")), Err(Lost::Strange));
        assert_eq!(megabytes(&pair("59718", "6553")), Err(Lost::Strange));
        assert_eq!(megabytes(&pair("0", "18446744073709551615")), Err(Lost::Strange));
        assert_eq!(pages(&pair("15", "969")).unwrap().limit, Some(969));
    }
}
