use std::path::Path;

use super::{Given, env};
use accelscope_export::otlp::{Compression, Protocol};

#[test]
fn every_variable_of_the_exporter_in_both_forms() {
    for prefix in ["OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_METRICS_"] {
        let variables = [
            ("ENDPOINT", "https://c:1"),
            ("CERTIFICATE", "/ca"),
            ("CLIENT_KEY", "/key"),
            ("CLIENT_CERTIFICATE", "/cert"),
            ("HEADERS", "k=v"),
            ("COMPRESSION", "none"),
            ("TIMEOUT", "1500"),
            ("PROTOCOL", "http/protobuf"),
        ]
        .map(|(name, value)| (format!("{prefix}{name}"), value));
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let destination = env(&variables).config().destinations().remove(0);
        assert_eq!(destination.endpoint.host_str(), Some("c"));
        assert_eq!(destination.tls.ca_file.as_deref(), Some(Path::new("/ca")));
        assert_eq!(destination.tls.key_file.as_deref(), Some(Path::new("/key")));
        assert_eq!(destination.tls.cert_file.as_deref(), Some(Path::new("/cert")));
        assert_eq!(destination.headers[0].1.reveal(), "v");
        assert_eq!(destination.compression, Compression::None);
        assert_eq!(destination.timeout.as_millis(), 1500);
        assert_eq!(destination.protocol, Protocol::HttpProtobuf);

        let (endpoint, insecure) = (format!("{prefix}ENDPOINT"), format!("{prefix}INSECURE"));
        let bare = env(&[(&endpoint, "c:1"), (&insecure, "TRUE")])
            .config()
            .destinations()
            .remove(0);
        assert_eq!(bare.endpoint.as_str(), "http://c:1/");
    }
}

#[test]
fn an_empty_variable_is_none() {
    let names = [
        "ENDPOINT",
        "INSECURE",
        "CERTIFICATE",
        "HEADERS",
        "COMPRESSION",
        "TIMEOUT",
        "PROTOCOL",
    ]
    .map(|name| format!("OTEL_EXPORTER_OTLP_{name}"));
    let mut variables: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    variables.extend([
        ("OTEL_SDK_DISABLED", ""),
        ("OTEL_METRICS_EXPORTER", ""),
        ("OTEL_METRIC_EXPORT_INTERVAL", ""),
        ("OTEL_SERVICE_NAME", ""),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", ""),
    ]);
    let loaded = env(&variables).load().expect("as if unset");
    assert_eq!(loaded.config, crate::config::Config::defaults(crate::SOURCES));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_interval_is_in_milliseconds() {
    let config = env(&[("OTEL_METRIC_EXPORT_INTERVAL", "2500")]).config();
    assert_eq!(config.otlp.interval.as_millis(), 2500);
    let errors = env(&[("OTEL_METRIC_EXPORT_INTERVAL", "10s")]).errors();
    assert_eq!(
        errors,
        "environment variable OTEL_METRIC_EXPORT_INTERVAL: otlp.interval: \"10s\" is not a whole number of \
         milliseconds; write 5000 for five seconds"
    );
}

#[test]
fn a_bad_variable_that_is_overruled_does_no_harm() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ];
    let given = Given {
        env: &variables,
        sets: &["otlp.timeout=1s", "otlp.protocol=grpc"],
        ..Given::default()
    };
    assert_eq!(given.config().otlp.timeout.as_secs(), 1);
}

#[test]
fn what_the_agent_cannot_do_is_refused() {
    let refused = [
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "lowmemory"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zstd"),
    ];
    for (name, value) in refused {
        let errors = env(&[(name, value)]).errors();
        assert!(
            errors.starts_with(&format!("environment variable {name}: ")),
            "{errors}"
        );
        assert!(
            errors.contains(&format!("{value:?}")) && errors.contains("write"),
            "{errors}"
        );
    }
    env(&[
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Cumulative"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "explicit_bucket_histogram",
        ),
    ])
    .config();
}

#[test]
fn push_stops_and_pull_goes_on() {
    for variable in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_SDK_DISABLED", "True"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ] {
        let config = Given {
            env: &[variable],
            sets: &["otlp.destinations.b.endpoint=http://b:1"],
            ..Given::default()
        }
        .config();
        assert!(config.destinations().is_empty(), "{variable:?}");
        assert_eq!(config.otlp.stopped_by.as_deref(), Some(variable.0));
        assert!(config.http.enabled);
    }
    for variable in [
        ("OTEL_SDK_DISABLED", "false"),
        ("OTEL_METRICS_EXPORTER", "prometheus,otlp"),
    ] {
        assert_eq!(env(&[variable]).config().destinations().len(), 1, "{variable:?}");
    }
    let odd = env(&[("OTEL_SDK_DISABLED", "1")])
        .load()
        .expect("no error by the specification");
    assert_eq!(odd.config.destinations().len(), 1);
    assert!(odd.warnings[0].contains("OTEL_SDK_DISABLED") && odd.warnings[0].contains("counts as false"));
}

#[test]
fn resource_attributes_are_decoded_and_bad_ones_only_warned_about() {
    let variables = [
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other,a=b%2Cc, d = e ,bad,=x,f=%ff",
        ),
        ("OTEL_SERVICE_NAME", "mine"),
    ];
    let loaded = env(&variables).load().expect("warnings alone");
    let all: Vec<_> = loaded
        .config
        .resource
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(all, ["a=b,c", "d=e", "service.name=mine"]);
    assert_eq!(loaded.warnings.len(), 3, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("OTEL_RESOURCE_ATTRIBUTES: entry 4 has no \"=\""));
}
