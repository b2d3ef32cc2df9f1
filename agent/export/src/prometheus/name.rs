//! Names as Prometheus itself translates OTLP: the strategy `UnderscoreEscapingWithSuffixes` of
//! `prometheus/otlptranslator` 1.0.0, which Prometheus 3 pins, with Prometheus' defaults for labels
//! (`label_name_underscore_sanitization` and `label_name_preserve_multiple_underscores`, both on).
//!
//! Its quirks are kept where they are visible (`TiBy` becomes `tibibytes`, `kBy` is unknown to it): a name that
//! differed from the pushed one would be worse than an odd name.

use accelscope_core::metric::{Instrument, Kind};

/// The name of the instrument's samples; a histogram's without `_bucket`, `_sum` and `_count`.
pub fn metric_name(instrument: &Instrument) -> String {
    translate(instrument.name, instrument.unit, instrument.kind)
}

/// The unit as OpenMetrics' `# UNIT` has it; `None` where the metric's name does not end in it, which that line demands.
pub fn unit_of(instrument: &Instrument, family: &str) -> Option<String> {
    let unit = match (instrument.unit, instrument.kind) {
        ("1", Kind::Gauge) => "ratio".to_owned(),
        (unit, _) => unit_name(unit),
    };
    let before = family.strip_suffix(unit.as_str())?;
    (!unit.is_empty() && before.ends_with('_')).then_some(unit)
}

/// The label of an attribute; `None` where nothing but underscores would be left.
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
    // A token that is already there is not said twice; "per_" alone says nothing.
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

/// What is before the first `/` and what is after it, in words, the latter with `per_`. An annotation in braces
/// silences its half.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let says_something = |half: &&str| !half.is_empty() && !half.contains(['{', '}']);
    let main = Some(main.trim()).filter(says_something).map(unit_word);
    let per = Some(per.trim())
        .filter(says_something)
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
    use std::collections::BTreeMap;

    use super::*;
    use accelscope_core::metric::catalogue;

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

    #[test]
    fn no_two_instruments_share_a_name() {
        let mut owners = BTreeMap::new();
        for instrument in catalogue::all() {
            let name = metric_name(instrument);
            assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()), "{name}");
            let samples = match instrument.kind {
                Kind::Histogram(_) => ["_bucket", "_sum", "_count"].map(|s| format!("{name}{s}")).to_vec(),
                _ => vec![name],
            };
            for sample in samples {
                let other = owners.insert(sample.clone(), instrument.name);
                assert_eq!(other, None, "{sample} would come from {} too", instrument.name);
            }
        }
    }

    #[test]
    fn no_two_attributes_of_the_catalogue_share_a_label() {
        let mut owners = BTreeMap::new();
        for (key, _) in accelscope_core::metric::key::ALL {
            let label = label_name(key).unwrap();
            assert_eq!(
                owners.insert(label.clone(), *key),
                None,
                "{label} would come from {key} too"
            );
        }
    }
}
