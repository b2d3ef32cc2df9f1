//! Sections of the live table.

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Series};
use accelscope_core::table::{Lookup, Rates, Section, absent, name, text, value, whole};

use super::{catalogue, key};

/// The sections.
pub(super) const SECTIONS: &[Section] = &[Section {
    title: "SERVER",
    columns: &[name("MODEL"), name("STATE"), value("POWER"), value("EVENTS")],
    rated: |_| false,
    rows: servers,
}];

fn servers(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let row = |info: &Series| {
        let id = Attributes::new(info.attributes.get(key::HW_ID).map(|id| (key::HW_ID, id.clone())));
        let power = series.value(&hw::HOST_POWER, &id);
        vec![
            text(&info.attributes, key::HW_MODEL),
            state(series, &info.attributes),
            power.map_or_else(absent, |watts| format!("{watts:.0} W")),
            whole(series.value(&catalogue::SEL_ENTRIES, &id)),
        ]
    };
    series.of(&catalogue::BMC_INFO).map(row).collect()
}

/// The state of `hw.status` that is true.
fn state(series: &Lookup<'_>, info: &Attributes) -> String {
    let is_true = |one: &&Series| {
        one.attributes.get(key::HW_ID) == info.get(key::HW_ID)
            && one.value.as_ref().and_then(accelscope_core::metric::Value::as_f64) == Some(1.0)
    };
    let found = series.of(&hw::STATUS).find(is_true);
    found.map_or_else(absent, |one| text(&one.attributes, key::HW_STATE))
}
