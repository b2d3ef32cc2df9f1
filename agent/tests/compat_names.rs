//! Names of the series from which the compatibility views are built: a name without a source would leave a view empty.

use std::collections::BTreeSet;

use accelscope_core::source::{attributes, instruments};
use accelscope_export::compat::names;

#[test]
fn every_instrument_that_a_view_reads_is_in_the_catalogue() {
    let known: BTreeSet<_> = instruments(accelscope::SOURCES)
        .iter()
        .map(|instrument| instrument.name)
        .collect();
    for name in names::instrument::ALL {
        assert!(known.contains(name), "{name} is no instrument");
    }
}

#[test]
fn every_attribute_that_a_view_reads_is_in_the_catalogue() {
    let known: BTreeSet<_> = attributes(accelscope::SOURCES).iter().map(|(key, _)| *key).collect();
    for key in names::attribute::ALL {
        assert!(known.contains(key), "{key} is no attribute key");
    }
}
