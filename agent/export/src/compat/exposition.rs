//! Text 0.0.4 with the labels in the order in which the replaced tool had them.

use std::fmt::Write;

use crate::prometheus::escape_into;

/// What the replaced tools declare.
pub(super) const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text that grows by families and their samples.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a family of gauges. Every sample after it belongs to it.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) {
        self.family = name;
        // Writing to a string cannot fail.
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge").ok();
    }

    /// One sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.family);
        for (nth, (name, value)) in labels.iter().enumerate() {
            self.text.push_str(if nth == 0 { "{" } else { "," });
            write!(self.text, "{name}=\"").ok();
            escape_into(&mut self.text, value, true);
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        writeln!(self.text, "{end} {value}").ok();
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// With at most so many decimals: a ratio in percent would otherwise end in digits that mean nothing.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
