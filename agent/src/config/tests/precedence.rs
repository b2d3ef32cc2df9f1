use std::path::Path;
use std::time::Duration;

use super::{Given, env, file, sets};
use crate::SOURCES;
use crate::config::{Config, ConfigFile, Inputs, LogLevel, load};
use accelscope_core::settings::Enabled;

fn hailo(config: &Config) -> &accelscope_hailo::Settings {
    config.sources.get("hailo").unwrap()
}

/// Removes the source with the highest precedence, one after the other; each time the next one applies.
#[test]
fn the_strongest_source_wins() {
    let variables = [
        ("ACCELSCOPE__OTLP__TIMEOUT", "4s"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "3000"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
    ];
    let timeout = |sets, skip: usize, file| {
        let config = Given {
            file,
            env: &variables[skip..],
            sets,
        }
        .config();
        config.destinations()[0].timeout.as_secs()
    };
    let text = "[otlp]\ntimeout = \"1s\"";
    assert_eq!(timeout(&["otlp.timeout=5s"], 0, text), 5);
    assert_eq!(timeout(&[], 0, text), 4);
    assert_eq!(timeout(&[], 1, text), 3);
    assert_eq!(timeout(&[], 2, text), 2);
    assert_eq!(timeout(&[], 3, text), 1);
    assert_eq!(timeout(&[], 3, ""), 10);
}

#[test]
fn without_any_source_the_defaults_hold() {
    let loaded = load(&Inputs::default(), SOURCES).expect("defaults are valid");
    assert_eq!(loaded.config, Config::defaults(SOURCES));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let absent = load(
        &super::super::Inputs {
            file: ConfigFile::IfPresent("/nonexistent/agent.toml".into()),
            ..Inputs::default()
        },
        crate::SOURCES,
    );
    assert_eq!(absent.expect("it may be absent").config, Config::defaults(SOURCES));
}

#[test]
fn text_becomes_what_the_key_wants() {
    let config = sets(&[
        "hailo.enabled=false",
        "hailo.discover=FALSE",
        "hailo.max_age=2m",
        "http.listen=[::1]:80",
        "http.resource_labels=host.name, k8s.node.name",
        "limits.series=7",
        "otlp.queue_bytes=64KiB",
        "log.level=debug",
        "compat.hailo_exporter.listen=0.0.0.0:9102",
    ])
    .config();
    assert_eq!(hailo(&config).enabled, Enabled::False);
    assert!(!hailo(&config).discover);
    assert_eq!(hailo(&config).max_age, Some(Duration::from_mins(2)));
    assert_eq!(config.http.listen.to_string(), "[::1]:80");
    assert_eq!(config.http.resource_labels, ["host.name", "k8s.node.name"]);
    assert_eq!(config.limits.series, 7);
    assert_eq!(config.otlp.queue_bytes.0, 65536);
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.compat.hailo_exporter.listen, "0.0.0.0:9102".parse().ok());
}

#[test]
fn toml_takes_its_own_types() {
    let config = file(
        "hailo.enabled = true\nhailo.dir = '/x'\nhttp.resource_labels = []\n\
         otlp.queue_bytes = 1_000\ncompat.hailo_exporter.listen = '127.0.0.1:1'",
    )
    .config();
    assert_eq!(hailo(&config).enabled, Enabled::True);
    assert_eq!(hailo(&config).dir, Path::new("/x"));
    assert!(config.http.resource_labels.is_empty());
    assert_eq!(config.otlp.queue_bytes.0, 1000);
    assert!(config.compat.hailo_exporter.listen.is_some());
}

#[cfg(feature = "ascend")]
#[test]
fn the_chips_are_read_as_often_as_the_annotation_is_written() {
    let period = |config: &Config| {
        let settings: &accelscope_ascend::Settings = config.sources.get("ascend").unwrap();
        settings.period.as_secs()
    };
    let on = "compat.k8s_monitor.annotation=true";
    let given = |env: &[(&str, &str)], sets: &[&str]| {
        let inputs = Inputs {
            env: env.iter().copied().collect(),
            sets: sets.iter().copied().map(str::to_owned).collect(),
            ..Inputs::default()
        };
        load(&inputs, SOURCES).unwrap()
    };
    let collector = [("COLLECT_INTERVAL", "3")];
    assert_eq!(period(&given(&collector, &[on]).config), 3);
    assert_eq!(
        period(&given(&[("COLLECT_INTERVAL", "1")], &[on]).config),
        3,
        "its least"
    );
    assert_eq!(
        period(&given(&[("COLLECT_INTERVAL", "60")], &[on]).config),
        10,
        "metrics stay as fine"
    );
    assert_eq!(period(&given(&collector, &[]).config), 10, "nothing is written");
    assert_eq!(period(&given(&[], &[on, "compat.k8s_monitor.interval=5s"]).config), 5);
    assert_eq!(period(&given(&collector, &[on, "ascend.period=2s"]).config), 2);
    let doubts = |env: &[(&str, &str)], sets: &[&str]| {
        let warnings = given(env, sets).warnings;
        warnings
            .iter()
            .filter(|line| line.contains("the annotation is off"))
            .count()
    };
    assert_eq!(doubts(&collector, &[]), 1, "and that is no secret");
    assert_eq!(doubts(&[("COLLECT_INTERVAL", "60")], &[]), 1);
    assert_eq!(doubts(&[], &["compat.k8s_monitor.interval=5s", "ascend.period=20s"]), 1);
    assert_eq!(doubts(&[], &["ascend.period=60s"]), 0, "nothing is expected");
    assert_eq!(doubts(&collector, &["ascend.period=3s"]), 0, "as often");
    assert_eq!(doubts(&collector, &["ascend.enabled=false"]), 0);
    assert_eq!(doubts(&collector, &[on]), 0);
    let slower = given(&collector, &[on, "ascend.period=20s"]);
    assert_eq!(period(&slower.config), 20, "what is set stays");
    let why = slower.warnings.iter().find(|line| line.contains("every 20s only"));
    assert!(
        why.is_some_and(|line| line.starts_with("environment variable COLLECT_INTERVAL: ")),
        "{:?}",
        slower.warnings
    );
}

#[test]
fn an_empty_value_turns_an_optional_key_off_again() {
    let given = Given {
        file: "compat.hailo_exporter.listen = '127.0.0.1:1'\nhailo.max_age = '9s'",
        sets: &["compat.hailo_exporter.listen=", "hailo.max_age="],
        ..Given::default()
    };
    let config = given.config();
    assert_eq!(config.compat.hailo_exporter.listen, None);
    assert_eq!(hailo(&config).max_age, None);
}

#[test]
fn the_environment_reads_names_whatever_their_case_and_skips_empty_values() {
    let config = env(&[
        ("ACCELSCOPE__Hailo__DIR", "/y"),
        ("ACCELSCOPE__otlp__queue_bytes", "5"),
        ("ACCELSCOPE__HTTP__LISTEN", ""),
        ("ACCELSCOPE__RESOURCE__K8S__NODE__NAME", "n1"),
        ("ACCELSCOPE__RESOURCE__K8S__POD_IP", "::1"),
    ])
    .config();
    assert_eq!(hailo(&config).dir, Path::new("/y"));
    assert_eq!(config.otlp.queue_bytes.0, 5);
    assert_eq!(config.http, Config::defaults(SOURCES).http);
    assert_eq!(config.resource["k8s.node.name"].to_string(), "n1");
    assert_eq!(config.resource["k8s.pod_ip"].to_string(), "::1");
}

#[test]
fn service_links_of_kubernetes_never_matter() {
    let config = env(&[
        ("ACCELSCOPE_SERVICE_HOST", "10.0.0.1"),
        ("ACCELSCOPE_SERVICE_PORT", "9464"),
        ("ACCELSCOPE_PORT", "tcp://10.0.0.1:9464"),
        ("ACCELSCOPE_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
        ("ACCELSCOPE_PORT_9464_TCP_PROTO", "tcp"),
        ("ACCELSCOPE_SERVICE_PORT_HTTP", "9464"),
    ]);
    let loaded = config.load().expect("nothing of ours");
    assert_eq!(loaded.config, Config::defaults(SOURCES));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn resource_keys_keep_their_dots_however_they_are_written() {
    for text in [
        "[resource]\n'k8s.node.name' = 'x'\n'a.b' = 1",
        "[resource]\nk8s.node.name = 'x'\na.b = 1",
        "[resource.k8s.node]\nname = 'x'\n[resource.a]\nb = 1",
        "resource = { k8s = { node.name = 'x' }, a.b = 1 }",
    ] {
        let config = file(text).config();
        let keys: Vec<_> = config
            .resource
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(keys, ["a.b=1", "k8s.node.name=x"], "{text}");
    }
    let config = sets(&["resource.k8s.node.name=x=y"]).config();
    assert_eq!(config.resource["k8s.node.name"].to_string(), "x=y");
}

#[test]
fn the_section_of_the_host_has_keys_of_the_agent_and_of_the_source() {
    let given = Given {
        file: "[host]\nroot = \"/host\"\nperiod = \"1m\"\ndisks = true",
        env: &[("ACCELSCOPE__HOST__NETWORK", "true")],
        sets: &["host.enabled=true"],
    };
    let config = given.config();
    assert_eq!(config.host.root, Path::new("/host"));
    let source: &accelscope_host::Settings = config.sources.get("host").unwrap();
    assert_eq!(source.enabled, Enabled::True);
    assert_eq!(source.period, Duration::from_mins(1));
    assert_eq!((source.disks, source.filesystems, source.network), (true, false, true));
    let all = config.to_value(SOURCES);
    let keys = crate::config::flat(&all);
    let shown = ["host.root", "host.disks"].map(|key| keys[key].to_string());
    assert_eq!(shown, ["\"/host\"", "true"]);
    let errors = file("[host]\nroots = \"/\"\ndisk = true\nperiod = \"1ms\"").errors();
    for known in ["host.root?", "host.disks?", "host.period"] {
        assert!(errors.contains(known), "{errors}");
    }
}
