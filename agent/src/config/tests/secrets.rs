//! What may be a secret is in no message, wherever it stands by mistake.

use super::{Given, env, file, sets};

const SECRET: &str = "hunter2";

/// The errors of this configuration, which must name the place and not show the secret.
fn errors(given: &Given<'_>, place: &str) {
    let errors = given.errors();
    assert!(errors.contains(place), "{place} is missing: {errors}");
    assert!(!errors.to_lowercase().contains(SECRET), "{errors}");
}

#[test]
fn a_headers_name_and_value_that_were_swapped_are_not_shown() {
    errors(
        &file("[otlp.headers]\n\"Bearer hunter2\" = \"Authorization\""),
        "agent.toml:2:1: otlp.headers.…: ",
    );
    errors(
        &file("[otlp.destinations.b.headers]\n\"Bearer hunter2\" = 3"),
        "agent.toml:2:1: otlp.destinations.b.headers.…: ",
    );
    errors(
        &env(&[("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Basic hunter2==")]),
        "variable OTEL_EXPORTER_OTLP_HEADERS: otlp.headers.…: ",
    );
    errors(
        &env(&[("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Basic hunter2")]),
        "variable OTEL_EXPORTER_OTLP_HEADERS: otlp.headers: entry 1",
    );
    errors(
        &sets(&["otlp.headers.Bearer hunter2=authorization"]),
        "--set otlp.headers.…: ",
    );
    errors(
        &sets(&["otlp.headers.authorization:Bearer hunter2"]),
        "--set otlp.headers.…: is not of the form",
    );
}

#[test]
fn a_line_that_is_no_toml_is_named_and_not_quoted() {
    for line in [
        "headers = { authorization: \"hunter2\" }",
        "headers.authorization = Bearer hunter2",
        "headers = { authorization = \"hunter2 }",
        "timeout = 5s # hunter2",
    ] {
        errors(&file(&format!("[otlp]\n{line}\n")), "agent.toml:2:");
    }
}

#[test]
fn an_endpoints_user_and_query_are_not_shown() {
    for endpoint in [
        "http://me:hunter2@collector:4318",
        "me:hunter2@http://collector",
        "http://collector:hunter2/",
        "http://collector:4318/?key=hunter2#x",
    ] {
        errors(&sets(&[&format!("otlp.endpoint={endpoint}")]), "otlp.endpoint: ");
    }
    let given = Given {
        sets: &[
            "otlp.endpoint=https://collector/?key=hunter2",
            "otlp.headers.x-key=hunter2",
        ],
        env: &[("HTTPS_PROXY", "http://me:hunter2@proxy:3128")],
        ..Given::default()
    };
    let loaded = given.load().expect("a configuration");
    let shown = format!("{loaded:?} {:?}", loaded.config.destinations());
    assert!(
        shown.contains("https://collector/v1/metrics?…") || shown.contains("https://collector/?…"),
        "{shown}"
    );
    assert!(
        shown.contains("http://proxy:3128 (HTTPS_PROXY)") && !shown.contains(SECRET),
        "{shown}"
    );
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_where_it_would_be_used() {
    let socks = ("ALL_PROXY", "socks5://me:hunter2@proxy:1080");
    let far = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4317");
    errors(
        &env(&[socks, far]),
        "environment variable ALL_PROXY: names a SOCKS proxy",
    );
    let local = env(&[socks]).load().expect("localhost needs no proxy");
    assert_eq!(local.config.destinations()[0].proxy, None);
    let excepted = env(&[socks, far, ("no_proxy", ".example")]).load();
    assert!(excepted.is_ok(), "{excepted:?}");
}
