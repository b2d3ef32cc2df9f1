//! A metric family: its comments and its samples.

use std::fmt;

use super::labels::{escape_into, put};
use super::name::unit_of;
use accelscope_core::metric::{Histogram, Instrument, Kind, Timestamp, Value};

/// Length from which text is passed on, in bytes.
const PASSED_ON: usize = 16 << 10;

/// The text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// A live series: the text of its labels, its value, and its start time.
pub(super) struct Sample<'a> {
    pub(super) labels: String,
    pub(super) value: &'a Value,
    pub(super) time: Timestamp,
    pub(super) start: Option<Timestamp>,
}

/// Properties that the samples of a family share.
pub(super) struct Family<'a> {
    pub(super) instrument: &'a Instrument,
    /// Translated name, with `_total` for a counter.
    pub(super) name: &'a str,
    pub(super) format: Format,
    pub(super) created: bool,
}

impl Family<'_> {
    /// Appends the comments and all samples, and passes on what has come together. Of samples with the same labels, which a
    /// scraper refuses, the last one is kept.
    pub(super) fn write(&self, out: &mut String, mut samples: Vec<Sample<'_>>, to: &mut dyn fmt::Write) -> fmt::Result {
        samples.sort_unstable_by(|a, b| a.labels.cmp(&b.labels).then(b.time.cmp(&a.time)));
        samples.dedup_by(|a, b| a.labels == b.labels);
        let (family, kind) = self.typed_name();
        let unit = match self.format {
            Format::OpenMetrics => unit_of(self.instrument, family),
            Format::Text => None,
        };
        write_comments(
            out,
            self.format,
            family,
            kind,
            unit.as_deref(),
            self.instrument.description,
        );
        for sample in &samples {
            if out.len() >= PASSED_ON {
                to.write_str(out)?;
                out.clear();
            }
            match (sample.value, self.instrument.kind) {
                (Value::Histogram(histogram), Kind::Histogram(bounds)) => {
                    self.write_histogram(out, &sample.labels, histogram, bounds);
                }
                (value, _) => write_line(out, self.name, "", &sample.labels, |out| self.write_value(out, value)),
            }
            if let (true, Some(start)) = (self.created && self.format == Format::OpenMetrics, sample.start) {
                write_line(out, family, "_created", &sample.labels, |out| {
                    let nanos = start.unix_nanos();
                    put(
                        out,
                        format_args!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000),
                    );
                });
            }
        }
        Ok(())
    }

    /// Name and type: a counter's family has no `_total` in OpenMetrics, and an up-down counter is a gauge in both formats.
    fn typed_name(&self) -> (&str, &'static str) {
        match (self.instrument.kind, self.format) {
            (Kind::Counter, Format::OpenMetrics) => (self.name.strip_suffix("_total").unwrap_or(self.name), "counter"),
            (Kind::Counter, Format::Text) => (self.name, "counter"),
            (Kind::Gauge | Kind::UpDownCounter, _) => (self.name, "gauge"),
            (Kind::Histogram(_), _) => (self.name, "histogram"),
        }
    }

    fn write_histogram(&self, out: &mut String, labels: &str, histogram: &Histogram, bounds: &[f64]) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut cumulative = 0;
        for (at, bucket) in histogram.buckets.iter().enumerate() {
            cumulative += bucket;
            let mut with_bound = format!("{labels}{comma}le=\"");
            match bounds.get(at) {
                Some(bound) => self.write_float(&mut with_bound, *bound),
                None => with_bound.push_str("+Inf"),
            }
            with_bound.push('"');
            write_line(out, self.name, "_bucket", &with_bound, |out| {
                put(out, format_args!("{cumulative}"));
            });
        }
        write_line(out, self.name, "_sum", labels, |out| {
            self.write_float(out, histogram.sum);
        });
        // Not the histogram's count: both formats require the value of the last bucket.
        write_line(out, self.name, "_count", labels, |out| {
            put(out, format_args!("{cumulative}"));
        });
    }

    fn write_value(&self, out: &mut String, value: &Value) {
        match value {
            Value::Int(number) => put(out, format_args!("{number}")),
            Value::Double(number) => self.write_float(out, *number),
            Value::Histogram(_) => {}
        }
    }

    /// Appends the shortest text that parses as the same number. OpenMetrics requires `le="1.0"` ("Considerations: Canonical
    /// Numbers"), text 0.0.4 has `le="1"`.
    fn write_float(&self, out: &mut String, number: f64) {
        let start = out.len();
        put(out, format_args!("{number:?}"));
        if self.format == Format::Text && out[start..].ends_with(".0") {
            out.truncate(out.len() - 2);
        }
    }
}

pub(super) fn write_comments(
    out: &mut String,
    format: Format,
    family: &str,
    kind: &str,
    unit: Option<&str>,
    help: &str,
) {
    put(out, format_args!("# HELP {family} "));
    escape_into(out, help, format == Format::OpenMetrics);
    put(out, format_args!("\n# TYPE {family} {kind}\n"));
    if let Some(unit) = unit {
        put(out, format_args!("# UNIT {family} {unit}\n"));
    }
}

pub(super) fn write_line(out: &mut String, name: &str, suffix: &str, labels: &str, value: impl FnOnce(&mut String)) {
    out.push_str(name);
    out.push_str(suffix);
    if !labels.is_empty() {
        put(out, format_args!("{{{labels}}}"));
    }
    out.push(' ');
    value(out);
    out.push('\n');
}
