//! Layer of OpenTelemetry's own variables.
//!
//! OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration". Deviations: an
//! unknown value is an error where the specification requires a warning, because a misspelt protocol must not lead to
//! data that arrives nowhere; the defaults are gRPC and an interval of 10 s.

use std::time::Duration;

use super::headers;
use super::layers::{Layer, Leaf, Raw};
use super::{ConfigError, Endpoint, Environment, Origin, Otlp};
use accelscope_core::settings::Textual;
use accelscope_export::otlp::{Destination, Protocol, TlsFiles};

/// The exporter of the log, and its value that sends it.
const LOGS_EXPORTER: &str = "OTEL_LOGS_EXPORTER";
const LOGS: &str = "OTEL_EXPORTER_OTLP_LOGS_";
const GENERAL: &str = "OTEL_EXPORTER_OTLP_";
const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_";
/// Used without appending a path, while the general endpoint is a base URL.
pub(super) const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

/// The interval of all destinations.
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// Name after the prefix, key of `[otlp]` that it sets, and form of the value.
const EXPORTER: [(&str, &str, Form); 9] = [
    ("ENDPOINT", "endpoint", Form::Text),
    ("INSECURE", "insecure", Form::Truth),
    ("CERTIFICATE", "ca_file", Form::Text),
    ("CLIENT_KEY", "key_file", Form::Text),
    ("CLIENT_CERTIFICATE", "cert_file", Form::Text),
    ("HEADERS", "headers", Form::Headers),
    ("COMPRESSION", "compression", Form::Text),
    ("TIMEOUT", "timeout", Form::Milliseconds),
    ("PROTOCOL", "protocol", Form::Protocol),
];

#[derive(Clone, Copy)]
enum Form {
    Text,
    Truth,
    Headers,
    Milliseconds,
    Protocol,
}

/// Variables of all signals, and of the resource.
pub(super) fn general(env: &Environment, warnings: &mut Vec<String>) -> Layer {
    let mut layer = exporter(env, GENERAL, warnings);
    put(&mut layer, env, INTERVAL, "interval", Form::Milliseconds, warnings);
    let resource = |key: &str, value: &str, name: &str| {
        let leaf = Leaf::new(Raw::Text(value.to_owned()), Origin::Variable(name.into()));
        (vec!["resource".to_owned(), key.to_owned()], leaf)
    };
    let name = "OTEL_RESOURCE_ATTRIBUTES";
    if let Some(text) = text(env, name, warnings) {
        for pair in headers::pairs_of(text) {
            match pair {
                Ok((key, value)) => layer.push(resource(&key, &value, name)),
                Err(problem) => warnings.push(format!(
                    "environment variable {name}: {problem} and is left out; write key=value,key=value, percent-encoded"
                )),
            }
        }
    }
    let name = "OTEL_SERVICE_NAME";
    if let Some(service) = text(env, name, warnings) {
        layer.push(resource("service.name", service, name));
    }
    if env.get("OTEL_METRIC_EXPORT_TIMEOUT").is_some() {
        warnings.push(
            "environment variable OTEL_METRIC_EXPORT_TIMEOUT: has no effect; OTEL_EXPORTER_OTLP_TIMEOUT limits a request"
                .to_owned(),
        );
    }
    layer
}

/// Variables of metrics alone.
pub(super) fn metrics(env: &Environment, warnings: &mut Vec<String>) -> Layer {
    exporter(env, METRICS, warnings)
}

/// Errors for requests that the agent does not support.
pub(super) fn refuse(env: &Environment, errors: &mut Vec<ConfigError>) {
    let fixed = [
        (
            "TEMPORALITY_PREFERENCE",
            "cumulative",
            "temporality is always cumulative",
        ),
        (
            "DEFAULT_HISTOGRAM_AGGREGATION",
            "explicit_bucket_histogram",
            "histograms always have explicit buckets",
        ),
    ];
    for (suffix, only, why) in fixed {
        let name = format!("{METRICS}{suffix}");
        let Some(value) = env.get(&name) else { continue };
        let shown = value.unwrap_or_default();
        if !shown.trim().eq_ignore_ascii_case(only) {
            errors.push(ConfigError {
                origin: Origin::Variable(name.into()),
                key: String::new(),
                problem: format!("{shown:?} is not supported: {why}; unset it or write {only:?}"),
            });
        }
    }
}

/// Where the log goes over gRPC, if `OTEL_LOGS_EXPORTER` is `otlp`: by the variables of logs, else those of all signals. OpenTelemetry's
/// exporter reads those of headers and compression itself. The error is one line with its remedy.
pub(super) fn logs(env: &Environment) -> Result<Option<Destination>, String> {
    let value = |suffix: &str| {
        let names = [LOGS, GENERAL].map(|prefix| format!("{prefix}{suffix}"));
        names.into_iter().find_map(|name| {
            let value = env.get(&name)?.map(|text| text.trim().to_owned());
            Some(
                value
                    .map_err(|problem| format!("environment variable {name}: {problem}"))
                    .map(|text| (name, text)),
            )
        })
    };
    if !matches!(env.get(LOGS_EXPORTER), Some(Ok(exporter)) if exporter.trim() == "otlp") {
        return Ok(None);
    }
    let mut to = Otlp::default().destination("logs");
    to.protocol = Protocol::Grpc;
    let is_insecure = value("INSECURE")
        .transpose()?
        .is_some_and(|(_, text)| text.eq_ignore_ascii_case("true"));
    if let Some((name, text)) = value("ENDPOINT").transpose()? {
        let endpoint = Endpoint::parse(&text).map_err(|problem| format!("environment variable {name}: {problem}"))?;
        to.endpoint = endpoint.resolve(Protocol::Grpc, is_insecure);
    }
    if let Some((name, text)) = value("TIMEOUT").transpose()? {
        let milliseconds = text.parse().map_err(|_| {
            format!("environment variable {name}: {text:?} is not a whole number of milliseconds; write 5000 for five seconds")
        })?;
        to.timeout = Duration::from_millis(milliseconds);
    }
    let file = |suffix| Ok::<_, String>(value(suffix).transpose()?.map(|(_, text)| text.into()));
    to.tls = TlsFiles {
        ca_file: file("CERTIFICATE")?,
        cert_file: file("CLIENT_CERTIFICATE")?,
        key_file: file("CLIENT_KEY")?,
    };
    Ok(Some(to))
}

/// The variable that disables all push, if one does.
pub(super) fn stopped_by(env: &Environment, warnings: &mut Vec<String>) -> Option<String> {
    if truth(env, "OTEL_SDK_DISABLED", warnings) == Some(true) {
        return Some("OTEL_SDK_DISABLED".to_owned());
    }
    let name = "OTEL_METRICS_EXPORTER";
    let mut others = false;
    for exporter in text(env, name, warnings)?
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        match exporter {
            "otlp" => return None,
            "none" | "prometheus" | "console" | "logging" => others = true,
            _ => warnings.push(format!(
                "environment variable {name}: {exporter:?} is not known and has no effect; write otlp or none"
            )),
        }
    }
    others.then(|| name.to_owned())
}

fn exporter(env: &Environment, prefix: &str, warnings: &mut Vec<String>) -> Layer {
    let mut layer = Layer::new();
    for (suffix, key, form) in EXPORTER {
        put(&mut layer, env, &format!("{prefix}{suffix}"), key, form, warnings);
    }
    layer
}

fn put(layer: &mut Layer, env: &Environment, name: &str, key: &str, form: Form, warnings: &mut Vec<String>) {
    let Some(value) = env.get(name) else { return };
    let origin = Origin::Variable(name.into());
    let path = vec!["otlp".to_owned(), key.to_owned()];
    let text = value.map(str::trim);
    let raw = match (form, text) {
        (_, Err(problem)) => Raw::Invalid(problem.to_owned()),
        (Form::Headers, Ok(text)) => return headers::put(layer, path, text, &origin),
        (Form::Truth, Ok(_)) => Raw::Bool(truth(env, name, warnings).unwrap_or(false)),
        (Form::Milliseconds, Ok(text)) => milliseconds(text),
        (Form::Protocol, Ok("http/json")) => {
            Raw::Invalid("\"http/json\" is not supported; write \"http/protobuf\" or \"grpc\"".to_owned())
        }
        (Form::Text | Form::Protocol, Ok(text)) => Raw::Text(text.to_owned()),
    };
    layer.push((path, Leaf::new(raw, origin)));
}

fn milliseconds(text: &str) -> Raw {
    match text.parse::<u64>() {
        Ok(number) => Raw::Text(format!("{number}ms")),
        Err(_) => Raw::Invalid(format!(
            "{text:?} is not a whole number of milliseconds; write 5000 for five seconds"
        )),
    }
}

fn text<'a>(env: &'a Environment, name: &str, warnings: &mut Vec<String>) -> Option<&'a str> {
    match env.get(name)? {
        Ok(text) => Some(text.trim()),
        Err(problem) => {
            warnings.push(format!("environment variable {name}: {problem} and has no effect"));
            None
        }
    }
}

/// True for `true`; everything else is false, with a warning unless it is `false` (specification, "Boolean value").
fn truth(env: &Environment, name: &str, warnings: &mut Vec<String>) -> Option<bool> {
    let text = text(env, name, warnings)?;
    let truth = text.eq_ignore_ascii_case("true");
    if !truth && !text.eq_ignore_ascii_case("false") {
        warnings.push(format!(
            "environment variable {name}: {text:?} counts as false; write true or false"
        ));
    }
    Some(truth)
}
