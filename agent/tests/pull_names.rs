//! Names in Prometheus' formats: unique over the catalogue.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::collections::BTreeMap;

use accelscope_core::metric::Kind;
use accelscope_core::source::{attributes, instruments};
use accelscope_export::prometheus::name::{label_name, metric_name};

#[test]
fn no_two_instruments_share_a_name() {
    let mut owners = BTreeMap::new();
    for instrument in instruments(accelscope::SOURCES) {
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
    for (key, _) in attributes(accelscope::SOURCES) {
        let label = label_name(key).unwrap();
        assert_eq!(
            owners.insert(label.clone(), key),
            None,
            "{label} would come from {key} too"
        );
    }
}
