//! Renderer of a whole exposition.

use std::collections::BTreeMap;
use std::fmt;

use super::family::{Family, Format, Sample, write_comments, write_line};
use super::labels::LabelNames;
use super::name::metric_name;
use accelscope_core::metric::{AttributeValue, Instrument, Kind, Resource, Series};

/// Writes series in either format, without timestamps and scope labels, with sorted families and samples.
///
/// `target_info` has every attribute of the resource, `service.name` and `service.instance.id` included, because the scraper
/// chooses `job` and `instance` itself (OpenTelemetry's Prometheus compatibility, "Resource Attributes": a pull exporter's
/// `target_info` has the resource attributes and no other label).
#[derive(Debug, Clone, Default)]
pub struct Renderer {
    /// Keys of resource attributes that every series gets as labels (`http.resource_labels`). An attribute of the series with
    /// the same key takes precedence.
    pub resource_labels: Vec<String>,
    /// Whether OpenMetrics has a `_created` sample for each cumulative series. Off by default: without its feature
    /// `created-timestamp-zero-ingestion` Prometheus stores them as further series, which pushed metrics do not have.
    pub created_samples: bool,
}

impl Renderer {
    /// Renders the exposition without ended series and without values that do not fit their instrument.
    pub fn render(&self, format: Format, series: &[Series], resource: &Resource) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        self.write(format, series, resource, &mut text).ok();
        text
    }

    /// Writes the exposition of [`render`](Self::render), part after part.
    pub fn write(
        &self,
        format: Format,
        series: &[Series],
        resource: &Resource,
        to: &mut dyn fmt::Write,
    ) -> fmt::Result {
        let mut names = LabelNames::default();
        let mut out = String::new();
        write_target_info(&mut out, format, resource, &mut names);
        let common: Vec<(&str, &AttributeValue)> = self
            .resource_labels
            .iter()
            .filter_map(|key| Some((key.as_str(), resource.get(key)?)))
            .collect();
        for (name, (instrument, series)) in families(series) {
            let reserved = matches!(instrument.kind, Kind::Histogram(_)).then_some("le");
            let samples = series
                .into_iter()
                .filter_map(|series| {
                    let attributes = &series.attributes;
                    let missing = common.iter().filter(|(key, _)| attributes.get(key).is_none());
                    let all = attributes
                        .iter()
                        .map(|(key, value)| (*key, value))
                        .chain(missing.copied());
                    Some(Sample {
                        labels: names.render(all, reserved),
                        value: series.value.as_ref()?,
                        time: series.time,
                        start: series.start,
                    })
                })
                .collect();
            let family = Family {
                instrument,
                name: &name,
                format,
                created: self.created_samples,
            };
            family.write(&mut out, samples, to)?;
        }
        if format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
        to.write_str(&out)
    }
}

fn families(series: &[Series]) -> BTreeMap<String, (&'static Instrument, Vec<&Series>)> {
    let mut by_instrument: BTreeMap<&str, (&'static Instrument, Vec<&Series>)> = BTreeMap::new();
    for series in series {
        let valid = series
            .value
            .as_ref()
            .is_some_and(|value| value.is_valid_for(series.instrument));
        if valid {
            let family = by_instrument
                .entry(series.instrument.name)
                .or_insert((series.instrument, Vec::new()));
            family.1.push(series);
        }
    }
    by_instrument
        .into_values()
        .map(|(instrument, series)| (metric_name(instrument), (instrument, series)))
        .collect()
}

fn write_target_info<'a>(out: &mut String, format: Format, resource: &'a Resource, names: &mut LabelNames<'a>) {
    let labels = names.render(resource.iter(), None);
    if labels.is_empty() {
        return;
    }
    let (family, kind) = match format {
        Format::Text => ("target_info", "gauge"),
        Format::OpenMetrics => ("target", "info"),
    };
    write_comments(out, format, family, kind, None, "Attributes of the agent and its host.");
    write_line(out, "target_info", "", &labels, |out| out.push('1'));
}
