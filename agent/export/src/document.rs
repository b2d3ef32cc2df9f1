//! The catalogue as documentation: `docs/metrics.md`, and the snapshot that a changed name cannot slip past.

use std::fmt::Write;

use super::prometheus::name::metric_name;
use accelscope_core::metric::{Instrument, Kind, catalogue, key};

/// `docs/metrics.md`, whole.
pub fn metrics_md() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Generated from the catalogue in `agent/src/metric/catalogue` by `cargo xtask bless`; do not edit.\n\n\
         Every metric is pushed as OTLP under the name in the first column, and served to Prometheus under the second. \
         A value that the device does not support, that could not be read or that is too old gives no point: absent is \
         not zero. Metrics marked *owned* also carry what is known of whoever uses the device (see the end).\n",
    );
    let mut group = "";
    for instrument in catalogue::all() {
        let of = instrument.name.split('.').next().unwrap_or_default();
        if of != group {
            group = of;
            text.push_str(&format!("\n## `{group}.*`\n\n| name | Prometheus | kind | unit | attributes | meaning |\n|---|---|---|---|---|---|\n"));
        }
        row(&mut text, instrument);
    }
    text.push_str("\n## Attributes\n\n| key | meaning |\n|---|---|\n");
    for (key, meaning) in key::ALL {
        // Writing to a string cannot fail.
        writeln!(text, "| `{key}` | {} |", meaning.trim()).ok();
    }
    let owner = catalogue::OWNER_KEYS
        .iter()
        .map(|key| format!("`{key}`"))
        .collect::<Vec<_>>()
        .join(", ");
    writeln!(
        text,
        "\nOwned metrics carry, where known: {owner}. `process.pid` stands only on what the vendor itself reports by \
         process, and on everything with `attribution.per_process = true`."
    )
    .ok();
    text
}

fn row(text: &mut String, instrument: &Instrument) {
    let mut attributes: Vec<_> = instrument.attributes.iter().map(|key| format!("`{key}`")).collect();
    if instrument.owned {
        attributes.push("*owned*".into());
    }
    let unit = if instrument.unit.is_empty() {
        String::new()
    } else {
        format!("`{}`", instrument.unit)
    };
    writeln!(
        text,
        "| `{}` | `{}` | {} | {unit} | {} | {} |",
        instrument.name,
        metric_name(instrument),
        instrument.kind.as_str(),
        attributes.join(", "),
        instrument.description,
    )
    .ok();
}

/// One line an instrument with everything that somebody outside may rely on.
pub fn snapshot() -> String {
    let line = |instrument: &Instrument| {
        let bounds = if let Kind::Histogram(bounds) = instrument.kind {
            format!(" {bounds:?}")
        } else {
            String::new()
        };
        format!(
            "{} [{}] {}{bounds} {} {{{}}}{} -> {}\n",
            instrument.name,
            instrument.unit,
            instrument.kind.as_str(),
            instrument.stability.as_str(),
            instrument.attributes.join(","),
            if instrument.owned {
                format!(" owned:{:?}", instrument.merge)
            } else {
                String::new()
            },
            metric_name(instrument),
        )
    };
    catalogue::all().into_iter().map(line).collect()
}
