//! The series that a table is made of.

use std::collections::BTreeMap;

use super::{absent, number, text};
use crate::metric::{Attributes, Instrument, Series, key};
use crate::printable::printable;

/// End of the names of instruments whose attributes describe a device, such as `acme.device.info`.
const DEVICE_INFO: &str = ".device.info";

/// The live series by name.
#[derive(Debug)]
pub struct Lookup<'a> {
    by_name: BTreeMap<&'static str, Vec<&'a Series>>,
}

impl<'a> Lookup<'a> {
    /// Of these series, without the ended ones.
    pub fn new(series: &'a [Series]) -> Self {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for one in series.iter().filter(|one| one.value.is_some()) {
            by_name.entry(one.instrument.name).or_default().push(one);
        }
        for all in by_name.values_mut() {
            all.sort_by(|a, b| a.attributes.iter().cmp(b.attributes.iter()));
        }
        Self { by_name }
    }

    /// The series of an instrument, ordered by their attributes.
    pub fn of(&self, instrument: &Instrument) -> impl Iterator<Item = &'a Series> {
        self.by_name.get(instrument.name).into_iter().flatten().copied()
    }

    /// The series of the instruments with such names.
    pub fn named(&self, is_wanted: fn(&str) -> bool) -> impl Iterator<Item = &'a Series> {
        let all = self.by_name.iter().filter(move |(name, _)| is_wanted(name));
        all.flat_map(|(_, series)| series).copied()
    }

    /// The value of the series with exactly these attributes.
    pub fn value(&self, instrument: &Instrument, attributes: &Attributes) -> Option<f64> {
        number(
            self.of(instrument)
                .find(|series| *series.attributes == *attributes)
                .as_ref(),
        )
    }

    /// Name of the device that the attributes identify: its name, else its address, else its `hw.id`.
    pub fn device(&self, attributes: &Attributes) -> String {
        let Some(id) = attributes.get(key::HW_ID) else {
            return absent();
        };
        let infos = self.by_name.iter().filter(|(name, _)| name.ends_with(DEVICE_INFO));
        let info = infos
            .flat_map(|(_, infos)| infos)
            .find(|info| info.attributes.get(key::HW_ID) == Some(id));
        let known = |key| Some(text(&info?.attributes, key)).filter(|name| !name.is_empty());
        let name = known(key::HW_NAME).or_else(|| known(key::ACCEL_DEVICE_ADDRESS));
        name.unwrap_or_else(|| printable(&id.to_string()))
    }
}
