//! Prometheus text 0.0.4 with the labels in the order of the replaced tool.

use std::fmt::{Display, Write};
use std::sync::Arc;

use accelscope_core::metric::{MetricsSource, Resource, Series};
use axum::http::HeaderMap;

use crate::http::Route;
use crate::prometheus::{Format, escape_into};

/// Content type of the replaced tools.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A route that serves the newest state in text 0.0.4 as `render` writes it.
pub(super) fn metrics_route(
    path: &'static str,
    about: &'static str,
    source: &Arc<dyn MetricsSource>,
    render: impl Fn(&[Series], &Resource) -> String + Send + Sync + 'static,
) -> Route {
    route(path, about, |_| (Format::Text, TEXT.to_owned()), source, render)
}

/// As [`metrics_route`], in JSON.
pub(super) fn json_route(
    path: &'static str,
    about: &'static str,
    source: &Arc<dyn MetricsSource>,
    render: impl Fn(&[Series], &Resource) -> String + Send + Sync + 'static,
) -> Route {
    route(
        path,
        about,
        |_| (Format::Text, "application/json".to_owned()),
        source,
        render,
    )
}

fn route(
    path: &'static str,
    about: &'static str,
    negotiate: fn(&HeaderMap) -> (Format, String),
    source: &Arc<dyn MetricsSource>,
    render: impl Fn(&[Series], &Resource) -> String + Send + Sync + 'static,
) -> Route {
    let source = Arc::clone(source);
    Route::metrics(path, about, negotiate, move |_, sink| {
        // The sink keeps its own error.
        sink.write_str(&render(&source.series(), source.resource())).ok();
    })
}

/// Text of families and their samples. A family without samples is left out.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    family: &'static str,
    help: &'static str,
    kind: &'static str,
    has_comments: bool,
}

impl Exposition {
    /// Begins a family of gauges, to which the following samples belong.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) {
        self.family(name, help, "gauge");
    }

    /// Begins a family of that type.
    pub(super) fn family(&mut self, name: &'static str, help: &'static str, kind: &'static str) {
        self.family = name;
        self.help = help;
        self.kind = kind;
        self.has_comments = false;
    }

    /// Appends a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let (name, help, kind) = (self.family, self.help, self.kind);
        if !std::mem::replace(&mut self.has_comments, true) {
            // Writing to a string cannot fail.
            writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
        }
        self.text.push_str(name);
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

/// `value` rounded to `decimals`: the further digits of a ratio in percent are noise.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
