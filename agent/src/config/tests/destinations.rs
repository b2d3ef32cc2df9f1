use std::path::Path;

use super::{Given, env, file, sets};
use accelscope_export::otlp::{Compression, Destination, Protocol};

fn only(given: &Given<'_>) -> Destination {
    let mut all = given.config().destinations();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn headers(destination: &Destination) -> Vec<String> {
    destination
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={}", value.reveal()))
        .collect()
}

#[test]
fn nothing_said_means_grpc_on_localhost() {
    let destination = only(&Given::default());
    assert_eq!(destination.name, "default");
    assert_eq!(destination.endpoint.as_str(), "http://localhost:4317/");
    assert_eq!(destination.protocol, Protocol::Grpc);
    assert_eq!(destination.compression, Compression::Gzip);
    assert_eq!(destination.queue_bytes, 16 << 20);
}

#[test]
fn an_endpoint_is_a_base_over_http_and_an_address_over_grpc() {
    let cases: [(&[&str], &str); 11] = [
        (&["otlp.protocol=http/protobuf"], "http://localhost:4318/v1/metrics"),
        (
            &["otlp.protocol=http/protobuf", "otlp.endpoint=http://c:4318"],
            "http://c:4318/v1/metrics",
        ),
        (
            &["otlp.protocol=http/protobuf", "otlp.endpoint=http://c:4318/"],
            "http://c:4318/v1/metrics",
        ),
        (
            &["otlp.protocol=http/protobuf", "otlp.endpoint=https://c/otlp/?k=v"],
            "https://c/otlp/v1/metrics?k=v",
        ),
        (
            &["otlp.protocol=http/protobuf", "otlp.endpoint=http://c/v1/metrics"],
            "http://c/v1/metrics",
        ),
        (&["otlp.endpoint=http://c:4317"], "http://c:4317/"),
        (&["otlp.endpoint=http://c:4317/v1/metrics"], "http://c:4317/"),
        (&["otlp.endpoint=c:4317"], "https://c:4317/"),
        (&["otlp.endpoint=c:80"], "https://c:80/"),
        (&["otlp.endpoint=c:4317", "otlp.insecure=true"], "http://c:4317/"),
        (
            &["otlp.endpoint=https://c:4317", "otlp.insecure=true"],
            "https://c:4317/",
        ),
    ];
    for (given, expected) in cases {
        assert_eq!(only(&sets(given)).endpoint.as_str(), expected, "{given:?}");
    }
}

#[test]
fn the_metrics_variable_names_the_url_itself() {
    let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let url = |variables: &[(&str, &str)]| only(&env(variables)).endpoint.to_string();
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:1/base");
    let metrics = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics:1");
    assert_eq!(url(&[http, general]), "http://general:1/base/v1/metrics");
    assert_eq!(url(&[http, general, metrics]), "http://metrics:1/");
    let own = ("ACCELSCOPE__OTLP__ENDPOINT", "http://own:1");
    assert_eq!(url(&[http, general, metrics, own]), "http://own:1/v1/metrics");
}

#[test]
fn a_destination_inherits_what_it_does_not_set() {
    let config = file(
        "[otlp]\nendpoint = 'http://a:4317'\ncompression = 'none'\ntimeout = '3s'\nca_file = '/ca'\n\
         headers.token = 'one'\n\
         [otlp.destinations.b]\nendpoint = 'https://b:4318'\nprotocol = 'http/protobuf'\nqueue_bytes = 9\n\
         ca_file = ''\nheaders = {}\n\
         [otlp.destinations.c]\nendpoint = 'https://c:4317'\n[otlp.destinations.d]\nenabled = false",
    )
    .config();
    let all = config.destinations();
    assert_eq!(
        all.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(),
        ["default", "b", "c"]
    );
    let (b, c) = (&all[1], &all[2]);
    assert_eq!((b.endpoint.as_str(), b.queue_bytes), ("https://b:4318/v1/metrics", 9));
    assert_eq!((b.compression, b.timeout.as_secs()), (Compression::None, 3));
    assert_eq!((b.tls.ca_file.as_deref(), headers(b)), (None, vec![]));
    assert_eq!(
        (c.protocol, c.tls.ca_file.as_deref()),
        (Protocol::Grpc, Some(Path::new("/ca")))
    );
    assert_eq!(headers(c), ["token=one"]);
}

#[test]
fn an_empty_text_is_inherited_except_for_a_file() {
    let config = file(
        "[otlp]\nendpoint = 'http://a:4317'\ntimeout = '3s'\nheaders_file = '/h'\n\
         [otlp.destinations.b]\nendpoint = ''\ntimeout = ''\nheaders_file = ''",
    )
    .config();
    let b = &config.destinations()[1];
    assert_eq!((b.endpoint.as_str(), b.timeout.as_secs()), ("http://a:4317/", 3));
    assert_eq!(b.headers_file, None);
}

#[test]
fn the_environment_and_flags_reach_a_destination() {
    let given = Given {
        file: "[otlp.destinations.Edge-Site]\nendpoint = 'http://file:4317'",
        env: &[
            ("ACCELSCOPE__OTLP__DESTINATIONS__EDGE_SITE__TIMEOUT", "7s"),
            ("ACCELSCOPE__OTLP__DESTINATIONS__EDGE__ENDPOINT", "http://env:4317"),
        ],
        sets: &[
            "otlp.destinations.flag.endpoint=http://flag:4317",
            "otlp.enabled=false",
            "otlp.destinations.flag.enabled=true",
        ],
    };
    let config = given.config();
    let site = &config.otlp.destinations["Edge-Site"];
    assert_eq!(site.timeout.as_secs(), 7);
    assert!(config.otlp.destinations["edge"].endpoint.is_some());
    let names: Vec<_> = config.destinations().into_iter().map(|d| d.name).collect();
    assert_eq!(names, ["flag"], "off in [otlp] is inherited");
}

#[test]
fn headers_are_replaced_at_once_or_set_one_by_one() {
    let text = "[otlp.headers]\nA = 'file'\nb = 'file'";
    let of = |variables| {
        headers(&only(&Given {
            file: text,
            env: variables,
            ..Given::default()
        }))
    };
    assert_eq!(of(&[]), ["a=file", "b=file"]);
    assert_eq!(
        of(&[("OTEL_EXPORTER_OTLP_HEADERS", "b=x%20y%2C,C=d=e, ")]),
        ["b=x y,", "c=d=e"]
    );
    assert_eq!(of(&[("ACCELSCOPE__OTLP__HEADERS", "b=x")]), ["b=x"]);
    assert_eq!(of(&[("ACCELSCOPE__OTLP__HEADERS__A", "x=y")]), ["a=x=y", "b=file"]);
    assert_eq!(
        of(&[("ACCELSCOPE__OTLP__HEADERS__X_SCOPE_ORGID", "t")])[2],
        "x-scope-orgid=t"
    );
}

#[test]
fn two_that_reach_the_same_receiver_are_doubted() {
    let loaded = file("[otlp.destinations.b]\ntimeout = '1s'").load().expect("allowed");
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("same endpoint as default"));
}

#[test]
fn a_fault_of_a_destination_is_reported_where_it_is_configured_and_not_where_it_inherits_from() {
    let given = Given {
        env: &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317")],
        sets: &["otlp.destinations.default.timeout=5s"],
        ..Given::default()
    };
    let errors = given.errors();
    assert!(
        errors.starts_with("--set otlp.destinations.default.timeout: "),
        "{errors}"
    );
}

#[test]
fn a_blank_text_is_not_set() {
    let given = file(
        "[otlp]\nendpoint = \"http://c:4317\"\ntimeout = \"3s\"\n[otlp.destinations.b]\nendpoint = \"  \"\ntimeout = \" \"\n",
    );
    let all = given.config().destinations();
    assert_eq!(all[1].endpoint.as_str(), "http://c:4317/");
    assert_eq!(all[1].timeout, std::time::Duration::from_secs(3));
}

#[test]
fn a_path_is_no_number_and_no_truth_value() {
    for text in [
        "[otlp]\nca_file = false\n",
        "[otlp.destinations.b]\nheaders_file = 3\n",
        "[hailo]\ndir = 3\n",
    ] {
        let errors = file(text).errors();
        assert!(errors.contains("expected a path"), "{errors}");
    }
}

#[test]
fn a_scheme_may_be_in_capitals() {
    let given = sets(&[
        "otlp.endpoint=HTTP://Collector:4317",
        "otlp.destinations.b.endpoint=HttpS://b",
    ]);
    let all = given.config().destinations();
    assert_eq!(all[0].endpoint.as_str(), "http://collector:4317/");
    assert_eq!(all[1].endpoint.scheme(), "https");
}
