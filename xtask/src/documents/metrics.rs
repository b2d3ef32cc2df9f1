//! The catalogue as documentation: `docs/metrics.md`, and the snapshot that a changed name cannot slip past.

use std::fmt::Write;

use accelscope_core::metric::{Instrument, Kind, catalogue};
use accelscope_core::source::{Sources, attribute_keys, attributes, instruments};
use accelscope_export::prometheus::name::metric_name;

/// `docs/metrics.md`, whole.
pub fn metrics_md(sources: Sources) -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Generated from the instruments of the agent and its sources by `cargo xtask bless`; do not edit.\n\n\
         Every metric is pushed as OTLP under the name in the first column, and served to Prometheus under the second. \
         A value that the device does not support, that could not be read or that is too old gives no point: absent is \
         not zero. Metrics marked *owned* also carry what is known of whoever uses the device (see the end).\n",
    );
    let mut group = "";
    for instrument in instruments(sources) {
        let of = instrument.name.split('.').next().unwrap_or_default();
        if of != group {
            group = of;
            text.push_str(&format!("\n## `{group}.*`\n\n| name | Prometheus | kind | unit | attributes | meaning |\n|---|---|---|---|---|---|\n"));
        }
        row(&mut text, sources, instrument);
    }
    text.push_str("\n## Attributes\n\n| key | meaning |\n|---|---|\n");
    for (key, meaning) in attributes(sources) {
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

fn row(text: &mut String, sources: Sources, instrument: &Instrument) {
    let mut attributes: Vec<_> = attribute_keys(sources, instrument)
        .iter()
        .map(|key| format!("`{key}`"))
        .collect();
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

/// One line per instrument, with all its properties that users may depend on.
pub fn snapshot(sources: Sources) -> String {
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
            attribute_keys(sources, instrument).join(","),
            if instrument.owned {
                format!(" owned:{:?}", instrument.merge)
            } else {
                String::new()
            },
            metric_name(instrument),
        )
    };
    instruments(sources).into_iter().map(line).collect()
}
