//! Section of the live table: what has a power or an energy, accelerators aside.

use std::collections::BTreeMap;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Series, Value};
use accelscope_core::table::{Lookup, Rates, Section, absent, decimal, name, text, value, whole};

use crate::key;

/// The sections.
pub(crate) const SECTIONS: &[Section] = &[Section {
    title: "POWER",
    columns: &[
        name("NAME"),
        name("TYPE"),
        name("PART"),
        value("POWER"),
        value("ENERGY"),
    ],
    rated: |_| false,
    rows: devices,
}];

#[derive(Default)]
struct Row {
    kind: String,
    is_part: bool,
    power: Option<f64>,
    energy: Option<f64>,
}

fn devices(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let mut rows = BTreeMap::<(String, String), Row>::new();
    let own = [key::HW_NAME, key::HW_ID];
    let mut add = |one: &Series, set: fn(&mut Row, Option<f64>)| {
        let [name, id] = own.map(|key| text(&one.attributes, key));
        // Accelerators have sections of their own, and their powers no name.
        if name.is_empty() {
            return;
        }
        let row = rows.entry((name, id)).or_default();
        row.kind = text(&one.attributes, key::HW_TYPE);
        row.is_part |= one.attributes.get(key::HW_PARENT).is_some();
        set(row, one.value.as_ref().and_then(Value::as_f64));
    };
    series
        .of(&hw::POWER)
        .for_each(|one| add(one, |row, power| row.power = power));
    series
        .of(&hw::ENERGY)
        .for_each(|one| add(one, |row, energy| row.energy = energy));
    let cells = |((name, _), row): ((String, String), Row)| {
        let with_unit =
            |value: Option<f64>, cell: String, unit| value.map_or_else(absent, |_| format!("{cell} {unit}"));
        vec![
            name,
            row.kind,
            if row.is_part { "yes".to_owned() } else { "no".to_owned() },
            with_unit(row.power, decimal(row.power), "W"),
            with_unit(row.energy, whole(row.energy), "J"),
        ]
    };
    rows.into_iter().map(cells).collect()
}
