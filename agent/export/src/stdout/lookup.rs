//! The series that a table is made of.

use std::collections::BTreeMap;

use super::cells::{absent, number, printable, text};
use accelscope_core::metric::catalogue::{ascend, hailo, nvidia};
use accelscope_core::metric::{Attributes, Instrument, Series, key};

/// Heads and rows.
pub(super) type Section = (Vec<&'static str>, Vec<Vec<String>>);

/// The live series by name.
pub(super) struct Lookup<'a> {
    by_name: BTreeMap<&'static str, Vec<&'a Series>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(series: &'a [Series]) -> Self {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for one in series.iter().filter(|one| one.value.is_some()) {
            by_name.entry(one.instrument.name).or_default().push(one);
        }
        for all in by_name.values_mut() {
            all.sort_by(|a, b| a.attributes.iter().cmp(b.attributes.iter()));
        }
        Self { by_name }
    }

    pub(super) fn of(&self, instrument: &Instrument) -> impl Iterator<Item = &'a Series> {
        self.by_name.get(instrument.name).into_iter().flatten().copied()
    }

    /// The value of the series with exactly these attributes.
    pub(super) fn value(&self, instrument: &Instrument, attributes: &Attributes) -> Option<f64> {
        number(
            self.of(instrument)
                .find(|series| *series.attributes == *attributes)
                .as_ref(),
        )
    }

    /// The device's short name.
    pub(super) fn device(&self, attributes: &Attributes) -> String {
        let Some(id) = attributes.get(key::HW_ID) else {
            return absent();
        };
        let info = self
            .of(&hailo::DEVICE_INFO)
            .chain(self.of(&ascend::DEVICE_INFO))
            .chain(self.of(&nvidia::DEVICE_INFO))
            .find(|info| info.attributes.get(key::HW_ID) == Some(id));
        let names = info.map(|info| {
            [
                text(&info.attributes, key::HW_NAME),
                text(&info.attributes, key::ACCEL_DEVICE_ADDRESS),
            ]
        });
        names
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty())
            .unwrap_or_else(|| printable(&id.to_string()))
    }
}
