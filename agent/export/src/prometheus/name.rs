//! Names of metrics and labels as Prometheus translates OTLP: the strategy `UnderscoreEscapingWithSuffixes` of
//! `prometheus/otlptranslator` 1.0.0, which Prometheus 3 pins, with Prometheus' defaults for labels
//! (`label_name_underscore_sanitization` and `label_name_preserve_multiple_underscores`, both on).
//!
//! Its oddities are kept (`TiBy` becomes `tibibytes`, `kBy` is unknown to it), so that a pulled series has the name of the
//! pushed one.

use accelscope_core::metric::{Instrument, Kind};

/// Name of the instrument's samples; of a histogram without `_bucket`, `_sum` and `_count`.
pub fn metric_name(instrument: &Instrument) -> String {
    translate(instrument.name, instrument.unit, instrument.kind)
}

/// Unit for OpenMetrics' `# UNIT`; `None` unless the family's name ends in it, as that line requires.
pub fn unit_of(instrument: &Instrument, family: &str) -> Option<String> {
    let unit = match (instrument.unit, instrument.kind) {
        ("1", Kind::Gauge) => "ratio".to_owned(),
        (unit, _) => unit_name(unit),
    };
    let before = family.strip_suffix(unit.as_str())?;
    (!unit.is_empty() && before.ends_with('_')).then_some(unit)
}

/// Label of an attribute; `None` if only underscores would be left.
pub fn label_name(key: &str) -> Option<String> {
    let label: String = key
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let label = if label.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{label}")
    } else if label.starts_with('_') && !label.starts_with("__") {
        format!("key{label}")
    } else {
        label
    };
    label.contains(|c| c != '_').then_some(label)
}

fn translate(name: &str, unit: &str, kind: Kind) -> String {
    let mut tokens: Vec<&str> = name.split(|c| !is_name_char(c)).filter(|t| !t.is_empty()).collect();
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (clean(&main), clean(&per));
    // A token that the name has already is not repeated.
    let per = if per == "per_" {
        ""
    } else {
        per.strip_suffix('_').unwrap_or(&per)
    };
    let per = if tokens.contains(&per) { "" } else { per };
    let mut main = if tokens.contains(&main.as_str()) { "" } else { &main };
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    tokens.extend([main, per].into_iter().filter(|suffix| !suffix.is_empty()));
    if kind == Kind::Counter {
        move_to_end(&mut tokens, "total");
    }
    if unit == "1" && kind == Kind::Gauge {
        move_to_end(&mut tokens, "ratio");
    }
    let joined = tokens.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{joined}")
    } else {
        joined
    }
}

fn move_to_end<'a>(tokens: &mut Vec<&'a str>, last: &'a str) {
    tokens.retain(|token| *token != last);
    tokens.push(last);
}

fn unit_name(unit: &str) -> String {
    let (main, per) = unit_suffixes(unit);
    let joined = match (clean(&main), clean(&per)) {
        (main, per) if main.is_empty() || per.is_empty() => main + &per,
        (main, per) => format!("{main}_{per}"),
    };
    let trimmed = joined.strip_prefix('_').unwrap_or(&joined);
    trimmed.strip_suffix('_').unwrap_or(trimmed).to_owned()
}

/// The unit before the first `/` and the one after it in words, the latter with `per_`. A part with an annotation in braces
/// is empty.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let is_unit = |half: &&str| !half.is_empty() && !half.contains(['{', '}']);
    let main = Some(main.trim()).filter(is_unit).map(unit_word);
    let per = Some(per.trim())
        .filter(is_unit)
        .map(|per| format!("per_{}", per_unit_word(per)));
    (main.unwrap_or_default().to_owned(), per.unwrap_or_default())
}

fn clean(unit: &str) -> String {
    let mut cleaned = String::with_capacity(unit.len());
    for c in unit.chars() {
        if is_name_char(c) {
            cleaned.push(c);
        } else if !cleaned.ends_with('_') {
            cleaned.push('_');
        }
    }
    match cleaned.strip_prefix('_') {
        Some(rest) => rest.to_owned(),
        None => cleaned,
    }
}

const fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn unit_word(ucum: &str) -> &str {
    match ucum {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        unknown => unknown,
    }
}

fn per_unit_word(ucum: &str) -> &str {
    match ucum {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        unknown => unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: &str = include_str!("../../../tests/pull_names.tsv");

    #[test]
    fn names_are_those_of_prometheus_own_translator() {
        let rows: Vec<Vec<&str>> = ANSWERS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split('\t').collect())
            .collect();
        assert!(rows.len() > 70, "only {} rows were compared", rows.len());
        for row in rows {
            match row[..] {
                ["L", key, label] => assert_eq!(label_name(key).unwrap_or_default(), label, "label of {key}"),
                [name, unit, kind, expected, expected_unit] => {
                    let kind = match kind {
                        "c" => Kind::Counter,
                        "u" => Kind::UpDownCounter,
                        "g" => Kind::Gauge,
                        _ => Kind::Histogram(&[]),
                    };
                    assert_eq!(translate(name, unit, kind), expected, "{name} in {unit:?}");
                    assert_eq!(unit_name(unit), expected_unit, "unit {unit:?} of {name}");
                }
                _ => panic!("a row of {} columns: {row:?}", row.len()),
            }
        }
    }
}
