//! Expositions, compared with golden text and read by independent parsers.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, too"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use accelscope_core::metric::{
    Attribute, Attributes, Histogram, Instrument, Kind, Resource, Series, Timestamp, Value, catalogue, key,
};
use accelscope_core::source::{attribute_keys, instruments};
use accelscope_export::prometheus::{Format, Renderer};
use proptest::prelude::*;
use skip_test::skip;

const FORMATS: [Format; 2] = [Format::Text, Format::OpenMetrics];

fn series(instrument: &'static Instrument, attributes: impl IntoIterator<Item = Attribute>, value: Value) -> Series {
    Series {
        instrument,
        attributes: Arc::new(Attributes::new(attributes)),
        value: Some(value),
        time: Timestamp::from_unix_nanos(1_700_000_100_000_000_000),
        start: instrument
            .kind
            .is_cumulative()
            .then(|| Timestamp::from_unix_nanos(1_700_000_000_000_000_007)),
    }
}

fn resource() -> Resource {
    let mut resource = Resource::default();
    resource.set("service.name", "accelscope");
    resource.set("service.instance.id", "0123");
    resource.set("k8s.node.name", "pi\"5\"");
    resource
}

fn some_series() -> Vec<Series> {
    use accelscope_hailo::catalogue as hailo;
    use catalogue::{agent, hw};
    let yolo = || (accelscope_hailo::key::HAILO_NETWORK_NAME, "yolo\\v8\n\"n\"".into());
    let distribution = Histogram {
        count: 6,
        sum: 12.5,
        buckets: Box::new([0, 3, 1, 0, 1, 0, 1]),
    };
    let mut ended = series(&hw::NPU_UTILIZATION, [(key::HW_ID, "gone".into())], 1.0.into());
    ended.value = None;
    let only_ended = Series {
        instrument: &hailo::STREAM_QUEUE_DEPTH,
        ..ended.clone()
    };
    vec![
        series(&hw::NPU_UTILIZATION, [(key::HW_ID, "b".into())], 0.1.into()),
        series(&hw::NPU_UTILIZATION, [(key::HW_ID, "a".into())], 1.0.into()),
        ended,
        only_ended,
        series(&hailo::NETWORK_FRAMES, [yolo()], 1e-7.into()),
        series(
            &hailo::NETWORK_FRAME_RATE,
            [yolo(), (key::PROCESS_PID, 7i64.into())],
            29.97.into(),
        ),
        series(
            &agent::EXPORT_BYTES,
            [(key::DESTINATION, "default".into())],
            9_007_199_254_740_993_i64.into(),
        ),
        series(&agent::EXPORT_QUEUE_POINTS, [], (-1i64).into()),
        series(
            &agent::EXPORT_DURATION,
            [(key::DESTINATION, "default".into()), ("k8s.node.name", "own".into())],
            Value::Histogram(Arc::new(distribution)),
        ),
    ]
}

fn renderer() -> Renderer {
    Renderer {
        resource_labels: vec!["k8s.node.name".into(), "k8s.cluster.name".into()],
        ..Renderer::default()
    }
}

const GOLDEN_TEXT: &str = r#"# HELP target_info Attributes of the agent and its host.
# TYPE target_info gauge
target_info{k8s_node_name="pi\"5\"",service_instance_id="0123",service_name="accelscope"} 1
# HELP agent_export_bytes_total Bytes of acknowledged requests before compression.
# TYPE agent_export_bytes_total counter
agent_export_bytes_total{destination="default",k8s_node_name="pi\"5\""} 9007199254740993
# HELP agent_export_duration_seconds Time from a request's start to its answer.
# TYPE agent_export_duration_seconds histogram
agent_export_duration_seconds_bucket{destination="default",k8s_node_name="own",le="0.0001"} 0
agent_export_duration_seconds_bucket{destination="default",k8s_node_name="own",le="0.001"} 3
agent_export_duration_seconds_bucket{destination="default",k8s_node_name="own",le="0.01"} 4
agent_export_duration_seconds_bucket{destination="default",k8s_node_name="own",le="0.1"} 4
agent_export_duration_seconds_bucket{destination="default",k8s_node_name="own",le="1"} 5
agent_export_duration_seconds_bucket{destination="default",k8s_node_name="own",le="10"} 5
agent_export_duration_seconds_bucket{destination="default",k8s_node_name="own",le="+Inf"} 6
agent_export_duration_seconds_sum{destination="default",k8s_node_name="own"} 12.5
agent_export_duration_seconds_count{destination="default",k8s_node_name="own"} 6
# HELP agent_export_queue_points Points that wait for the destination, those in flight included.
# TYPE agent_export_queue_points gauge
agent_export_queue_points{k8s_node_name="pi\"5\""} -1
# HELP hailo_network_frame_rate_per_second Frames that the network delivered per second over the last write interval.
# TYPE hailo_network_frame_rate_per_second gauge
hailo_network_frame_rate_per_second{hailo_network_name="yolo\\v8\n\"n\"",k8s_node_name="pi\"5\"",process_pid="7"} 29.97
# HELP hailo_network_frames_total Frames that the network delivered, integrated from its frame rate over each write interval.
# TYPE hailo_network_frames_total counter
hailo_network_frames_total{hailo_network_name="yolo\\v8\n\"n\"",k8s_node_name="pi\"5\""} 1e-7
# HELP hw_npu_utilization_ratio Share of time in which the NPU had work outstanding, all its processes together, at most 1.
# TYPE hw_npu_utilization_ratio gauge
hw_npu_utilization_ratio{hw_id="a",k8s_node_name="pi\"5\""} 1
hw_npu_utilization_ratio{hw_id="b",k8s_node_name="pi\"5\""} 0.1
"#;

#[test]
fn text_is_as_written_here() {
    assert_eq!(
        renderer().render(Format::Text, &some_series(), &resource()),
        GOLDEN_TEXT
    );
}

#[test]
fn openmetrics_differs_where_its_rules_do() {
    let expected = GOLDEN_TEXT
        .replace("# HELP target_info", "# HELP target")
        .replace("# TYPE target_info gauge", "# TYPE target info")
        .replace("# HELP agent_export_bytes_total", "# HELP agent_export_bytes")
        .replace(
            "# TYPE agent_export_bytes_total counter",
            "# TYPE agent_export_bytes counter\n# UNIT agent_export_bytes bytes",
        )
        .replace(
            "seconds histogram\n",
            "seconds histogram\n# UNIT agent_export_duration_seconds seconds\n",
        )
        .replace("le=\"1\"", "le=\"1.0\"")
        .replace("le=\"10\"", "le=\"10.0\"")
        .replace(
            "per_second gauge\n",
            "per_second gauge\n# UNIT hailo_network_frame_rate_per_second per_second\n",
        )
        .replace("# HELP hailo_network_frames_total", "# HELP hailo_network_frames")
        .replace("# TYPE hailo_network_frames_total", "# TYPE hailo_network_frames")
        .replace(
            "_ratio gauge\n",
            "_ratio gauge\n# UNIT hw_npu_utilization_ratio ratio\n",
        )
        .replace(
            "hw_npu_utilization_ratio{hw_id=\"a\",k8s_node_name=\"pi\\\"5\\\"\"} 1\n",
            "hw_npu_utilization_ratio{hw_id=\"a\",k8s_node_name=\"pi\\\"5\\\"\"} 1.0\n",
        )
        + "# EOF\n";
    assert_eq!(
        renderer().render(Format::OpenMetrics, &some_series(), &resource()),
        expected
    );
}

#[test]
fn start_times_are_exact_where_asked_for() {
    let renderer = Renderer {
        created_samples: true,
        ..Renderer::default()
    };
    let text = renderer.render(Format::OpenMetrics, &some_series(), &Resource::default());
    assert!(
        text.contains("\nagent_export_bytes_created{destination=\"default\"} 1700000000.000000007\n"),
        "{text}"
    );
    let created = text.lines().filter(|line| line.contains("_created")).count();
    assert_eq!(created, 3, "two counters and a histogram:\n{text}");
    assert!(
        !renderer
            .render(Format::Text, &some_series(), &Resource::default())
            .contains("_created")
    );
}

#[test]
fn series_that_look_alike_to_prometheus_are_shown_once_the_newest() {
    let id = |id: &'static str, time| Series {
        time: Timestamp::from_unix_nanos(time),
        attributes: Arc::new(Attributes::new(match id {
            "text" => [(key::PROCESS_PID, "7".into())],
            _ => [(key::PROCESS_PID, 7i64.into())],
        })),
        ..series(
            &accelscope_hailo::catalogue::PROCESS_UTILIZATION,
            [],
            (time as f64).into(),
        )
    };
    for format in FORMATS {
        let text = Renderer::default().render(
            format,
            &[id("text", 1), id("number", 3), id("text", 2)],
            &Resource::default(),
        );
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let [sample] = samples[..] else { panic!("{text}") };
        assert!(
            sample.starts_with("hailo_process_utilization_ratio{process_pid=\"7\"} 3"),
            "{sample}"
        );
    }
}

#[test]
fn nothing_live_gives_a_valid_empty_exposition() {
    assert_eq!(Renderer::default().render(Format::Text, &[], &Resource::default()), "");
    assert_eq!(
        Renderer::default().render(Format::OpenMetrics, &[], &Resource::default()),
        "# EOF\n"
    );
}

/// One series of every instrument, with a value for every attribute it may carry.
fn whole_catalogue() -> Vec<Series> {
    let all = instruments(accelscope::SOURCES);
    all.into_iter()
        .map(|instrument| {
            let value = match instrument.kind {
                Kind::Histogram(bounds) => Value::Histogram(Arc::new(Histogram {
                    count: 1 + bounds.len() as u64,
                    sum: 1.5,
                    buckets: vec![1; bounds.len() + 1].into(),
                })),
                _ => Value::Double(0.25),
            };
            let owner: &[&str] = if instrument.owned { catalogue::OWNER_KEYS } else { &[] };
            let keys = attribute_keys(accelscope::SOURCES, instrument);
            let keys = keys.into_iter().chain(owner.iter().copied());
            series(instrument, keys.map(|key| (key, "ä \\ \" \n \r \t } x".into())), value)
        })
        .collect()
}

/// Complaints of promtool's linter about names that are kept.
const LINT_EXCEPTIONS: &[&str] = &[
    // OpenTelemetry's names.
    "system_cpu_logical_count non-histogram and non-summary metrics should not have \"_count\" suffix",
    "system_cpu_physical_count non-histogram and non-summary metrics should not have \"_count\" suffix",
];

#[test]
fn promtool_finds_nothing_to_say() {
    let promtool = std::env::var("ACCELSCOPE_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    if Command::new(&promtool).arg("--version").output().is_err() {
        return skip(
            "promtool",
            "install Debian's package prometheus or set ACCELSCOPE_PROMTOOL",
        );
    }
    let lint = |series: &[Series]| {
        let text = renderer().render(Format::Text, series, &resource());
        feed(Command::new(&promtool).args(["check", "metrics"]), &text).1
    };
    assert_eq!(lint(&some_series()), "");
    assert_eq!(lint(&whole_catalogue()).lines().collect::<Vec<_>>(), LINT_EXCEPTIONS);
}

/// Reads an exposition with the parser named in its argument; prints each sample as JSON.
const PYTHON: &str = r"
import json, sys
from importlib import import_module
parser = import_module(sys.argv[1])
for family in parser.text_string_to_metric_families(sys.stdin.buffer.read().decode()):
    for sample in family.samples:
        print(json.dumps([family.type, family.unit, sample.name, sample.labels, sample.value]))
";

#[test]
fn pythons_parsers_read_back_every_sample() {
    let python = std::env::var("ACCELSCOPE_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import prometheus_client"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return skip(
            "python-prometheus-client",
            "pip install prometheus_client, or set ACCELSCOPE_PYTHON",
        );
    }
    let parsers = [
        (Format::Text, "prometheus_client.parser"),
        (Format::OpenMetrics, "prometheus_client.openmetrics.parser"),
    ];
    for (format, parser) in parsers {
        for created_samples in [false, true] {
            let renderer = Renderer {
                created_samples,
                ..renderer()
            };
            let text = renderer.render(format, &whole_catalogue(), &resource());
            let (worked, said) = feed(Command::new(&python).args(["-c", PYTHON, parser]), &text);
            assert!(worked, "{parser}: {said}");
            let mut read: Vec<(String, BTreeMap<String, String>)> = said
                .lines()
                .map(|line| {
                    let (_, _, name, labels, _): (String, String, String, BTreeMap<String, String>, f64) =
                        serde_json::from_str(line).unwrap();
                    (name, labels)
                })
                .collect();
            let mut written: Vec<_> = text
                .lines()
                .filter_map(parse_sample)
                .map(|(name, labels, _)| (name, labels))
                .collect();
            read.sort();
            written.sort();
            assert!(written.len() > instruments(accelscope::SOURCES).len());
            assert_eq!(read, written, "{parser}");
        }
    }
}

proptest! {
    #[test]
    fn any_value_of_a_label_reads_back_as_itself(values in prop::collection::vec("\\PC*|(?s).{0,40}|[\\\\\"\n}{, =#]*", 3)) {
        let keys = [accelscope_hailo::key::HAILO_NETWORK_NAME, accelscope_hailo::key::HAILO_STREAM_NAME, key::K8S_POD_NAME];
        let attributes = Attributes::new(keys.into_iter().zip(values).map(|(key, value)| (key, value.into())));
        let series = series(&catalogue::hw::NPU_UTILIZATION, attributes.iter().cloned(), 0.5.into());
        for format in FORMATS {
            let text = Renderer::default().render(format, std::slice::from_ref(&series), &Resource::default());
            let samples: Vec<_> = text.lines().filter_map(parse_sample).collect();
            let [(name, labels, value)] = &samples[..] else { panic!("{text}") };
            prop_assert_eq!(name, "hw_npu_utilization_ratio");
            prop_assert_eq!(value, "0.5");
            let expected: BTreeMap<String, String> =
                attributes.iter().map(|(key, value)| (key.replace('.', "_"), value.to_string())).collect();
            prop_assert_eq!(labels, &expected);
        }
    }

    #[test]
    fn any_number_reads_back_as_itself(number in any::<f64>().prop_filter("finite", |n| n.is_finite()), whole in any::<i64>()) {
        for format in FORMATS {
            let value = |value: Value| {
                let series = [series(&catalogue::hw::NPU_UTILIZATION, [], value)];
                let text = Renderer::default().render(format, &series, &Resource::default());
                text.lines().find_map(parse_sample).unwrap().2
            };
            prop_assert_eq!(value(number.into()).parse::<f64>().unwrap().to_bits(), number.to_bits());
            prop_assert_eq!(value(whole.into()), whole.to_string());
        }
    }
}

/// Name, labels and value of a sample line, by the grammar of the exposition formats; `None` for comments.
fn parse_sample(line: &str) -> Option<(String, BTreeMap<String, String>, String)> {
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"").expect("a label");
            let mut text = String::new();
            let mut chars = value.char_indices();
            let end = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') => text.push(match chars.next().expect("an escape").1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, other) => text.push(other),
                }
            };
            assert_eq!(labels.insert(label.to_owned(), text), None, "{label} twice in {line}");
            rest = &value[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    Some((
        name.to_owned(),
        labels,
        rest.strip_prefix(' ').expect("a blank").to_owned(),
    ))
}

fn feed(command: &mut Command, input: &str) -> (bool, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}
