//! Sections of the live table.

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Series, key};
use accelscope_core::table::{Lookup, Rates, Section, name, percent, value, whole};

use super::catalogue;

/// The sections.
pub(super) const SECTIONS: &[Section] = &[Section {
    title: "ACME",
    columns: &[name("NPU"), value("UTILIZATION"), value("JOBS")],
    rated: |_| false,
    rows: devices,
}];

fn devices(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let row = |info: &Series| {
        let id = Attributes::new(info.attributes.get(key::HW_ID).map(|id| (key::HW_ID, id.clone())));
        vec![
            series.device(&info.attributes),
            percent(series.value(&hw::NPU_UTILIZATION, &id)),
            whole(series.value(&catalogue::JOBS, &id)),
        ]
    };
    series.of(&catalogue::DEVICE_INFO).map(row).collect()
}
