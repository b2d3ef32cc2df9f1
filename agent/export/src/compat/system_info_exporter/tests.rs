use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json as expected};

use super::{Document, json, render};
use accelscope_core::metric::Kind::{Counter, Gauge};
use accelscope_core::metric::catalogue::{agent, instrument};
use accelscope_core::metric::{Attribute, Attributes, Instrument, Series, Timestamp, Value, key};

macro_rules! of_the_sources {
    ($($name:ident = $text:literal, $kind:ident;)*) => { $(
        static $name: Instrument = instrument($text, "", $kind, &[], "");
    )* };
}

of_the_sources! {
    INFO = "accel.host.info", Gauge;
    UPTIME = "system.uptime", Gauge;
    PHYSICAL = "system.cpu.physical.count", Gauge;
    LOGICAL = "system.cpu.logical.count", Gauge;
    CPU = "system.cpu.utilization", Gauge;
    LIMIT = "system.memory.limit", Gauge;
    AVAILABLE = "system.memory.linux.available", Gauge;
    GPU = "nvidia.device.info", Gauge;
    GPUS = "nvidia.devices", Gauge;
    GPU_POWER = "hw.power", Gauge;
    GPU_MEMORY = "hw.gpu.memory.usage", Gauge;
    GPU_MEMORY_LIMIT = "hw.gpu.memory.limit", Gauge;
    GPU_USE = "hw.gpu.utilization", Counter;
}

const READ: Timestamp = Timestamp::from_unix_nanos(1_700_000_000_000_000_000);

fn series(instrument: &'static Instrument, attributes: &[Attribute], value: impl Into<Value>) -> Series {
    Series {
        instrument,
        attributes: Arc::new(Attributes::new(attributes.to_vec())),
        value: Some(value.into()),
        time: READ,
        start: None,
    }
}

fn info(attributes: &[Attribute]) -> Series {
    series(&INFO, attributes, 1_i64)
}

fn described() -> Series {
    info(&[
        ("host.name", "vm".into()),
        ("os.name", "Debian GNU/Linux".into()),
        ("os.version", "12".into()),
        ("accel.host.kernel_version", "6.18.44".into()),
        ("host.cpu.model.name", "Intel(R) Xeon(R) Processor".into()),
    ])
}

/// The machine on which the replaced tool was run, 0.75 s after the readings.
fn machine() -> Vec<Series> {
    let mode = |mode: &'static str, share: f64| series(&CPU, &[("cpu.mode", mode.into())], share);
    let mut all = vec![
        described(),
        series(&UPTIME, &[], 9294.5),
        series(&PHYSICAL, &[], 1_i64),
        series(&LOGICAL, &[], 2_i64),
        series(&LIMIT, &[], 25_276_063_744_i64),
        series(&AVAILABLE, &[], 23_447_896_064_i64),
    ];
    all.extend([("user", 0.2), ("system", 0.03), ("interrupt", 0.02)].map(|(name, share)| mode(name, share)));
    all.extend([("idle", 0.625), ("iowait", 0.0625), ("steal", 0.0625)].map(|(name, share)| mode(name, share)));
    // Of one CPU alone.
    let alone = [("cpu.mode", "idle".into()), ("cpu.logical_number", 0_i64.into())];
    all.push(series(&CPU, &alone, 0.9));
    all
}

fn looks(outcome: &'static str, runs: i64) -> Series {
    let attributes = [
        (key::AGENT_SAMPLER, "nvidia".into()),
        (key::AGENT_OUTCOME, outcome.into()),
    ];
    series(&agent::SAMPLER_RUNS, &attributes, runs)
}

fn now() -> Timestamp {
    Timestamp::from_unix_nanos(READ.unix_nanos() + 750_000_000)
}

fn text(all: &[Series]) -> String {
    render(all, "gpu-node-01", now())
}

fn node(all: &[Series]) -> Json {
    serde_json::from_str(&json(Document::Node, all, "gpu-node-01", now())).unwrap()
}

const TEXT: &str = r#"# HELP hw_node_info Node hardware information
# TYPE hw_node_info gauge
hw_node_info{node="gpu-node-01",os="Debian GNU/Linux",os_version="12",kernel="6.18.44",cpu_model="Intel(R) Xeon(R) Processor"} 1
# HELP hw_node_uptime_seconds Node uptime in seconds
# TYPE hw_node_uptime_seconds counter
hw_node_uptime_seconds{node="gpu-node-01"} 9295
# HELP hw_cpu_cores Number of physical CPU cores
# TYPE hw_cpu_cores gauge
hw_cpu_cores{node="gpu-node-01"} 1
# HELP hw_cpu_threads Number of CPU threads
# TYPE hw_cpu_threads gauge
hw_cpu_threads{node="gpu-node-01"} 2
# HELP hw_cpu_usage_percent CPU usage percentage
# TYPE hw_cpu_usage_percent gauge
hw_cpu_usage_percent{node="gpu-node-01"} 25.00
# HELP hw_cpu_used_cores Number of CPU cores currently in use
# TYPE hw_cpu_used_cores gauge
hw_cpu_used_cores{node="gpu-node-01"} 0.50
# HELP hw_memory_total_bytes Total memory in bytes
# TYPE hw_memory_total_bytes gauge
hw_memory_total_bytes{node="gpu-node-01"} 25276063744
# HELP hw_memory_used_bytes Used memory in bytes
# TYPE hw_memory_used_bytes gauge
hw_memory_used_bytes{node="gpu-node-01"} 1828167680
# HELP hw_memory_available_bytes Available memory in bytes
# TYPE hw_memory_available_bytes gauge
hw_memory_available_bytes{node="gpu-node-01"} 23447896064
# HELP hw_memory_usage_percent Memory usage percentage
# TYPE hw_memory_usage_percent gauge
hw_memory_usage_percent{node="gpu-node-01"} 7.23
"#;

#[test]
fn a_node_without_gpu_reads_as_from_the_replaced_tool() {
    let mut all = machine();
    all.push(looks("nothing_here", 3));
    all.push(looks("retry", 0));
    assert_eq!(text(&all), TEXT);
    let whole = concat!(
        r#"{"hostname":"vm","node":"gpu-node-01","os_name":"Debian GNU/Linux","os_version":"12","kernel_version":"6.18.44","#,
        r#""uptime_secs":9295,"cpu_cores":1,"cpu_threads":2,"cpu_model":"Intel(R) Xeon(R) Processor","cpu_usage_percent":25.0,"#,
        r#""cpu_used_cores":0.5,"memory_total_bytes":25276063744,"memory_used_bytes":1828167680,"#,
        r#""memory_available_bytes":23447896064,"memory_usage_percent":7.2328024,"gpu_count":0,"gpu_used_count":0,"#,
        r#""gpu_devices":[],"gpu_type_counts":{}}"#
    );
    assert_eq!(json(Document::Node, &all, "gpu-node-01", now()), whole);
    let summary = concat!(
        r#"{"cpu_usage":25.0,"memory_total":25276063744,"memory_used":1828167680,"memory_usage_percent":7.2328024,"#,
        r#""hostname":"vm","os_name":"Debian GNU/Linux","os_version":"12","uptime":9295}"#
    );
    assert_eq!(json(Document::Summary, &all, "gpu-node-01", now()), summary);
}

#[test]
fn what_ended_is_absent_and_keeps_its_key() {
    let all = machine();
    let mut ended = all.clone();
    for series in &mut ended {
        series.value = None;
    }
    for gone in [ended.as_slice(), &[]] {
        assert_eq!(text(gone), "");
        let (was, is) = (node(&all), node(gone));
        let (was, is) = (was.as_object().unwrap(), is.as_object().unwrap());
        assert!(was.keys().eq(is.keys()), "{is:?}");
        for (key, value) in is {
            match key.as_str() {
                "node" => assert_eq!(value, "gpu-node-01"),
                "gpu_devices" => assert_eq!(*value, expected!([])),
                "gpu_type_counts" => assert_eq!(*value, expected!({})),
                _ => assert_eq!(*value, Json::Null, "{key}"),
            }
        }
        let summary: Json = serde_json::from_str(&json(Document::Summary, gone, "n", now())).unwrap();
        let summary = summary.as_object().unwrap();
        assert!(summary.len() == 8 && summary.values().all(Json::is_null), "{summary:?}");
    }
}

#[test]
fn one_missing_part_takes_only_what_is_made_of_it() {
    for (name, lost) in [
        ("accel.host.info", vec!["hw_node_info"]),
        ("system.uptime", vec!["hw_node_uptime_seconds"]),
        ("system.cpu.logical.count", vec!["hw_cpu_threads", "hw_cpu_used_cores"]),
        (
            "system.cpu.utilization",
            vec!["hw_cpu_usage_percent", "hw_cpu_used_cores"],
        ),
        (
            "system.memory.limit",
            vec![
                "hw_memory_total_bytes",
                "hw_memory_used_bytes",
                "hw_memory_usage_percent",
            ],
        ),
        (
            "system.memory.linux.available",
            vec![
                "hw_memory_used_bytes",
                "hw_memory_available_bytes",
                "hw_memory_usage_percent",
            ],
        ),
    ] {
        let mut all = machine();
        all.retain(|series| series.instrument.name != name);
        let text = text(&all);
        let left: Vec<_> = TEXT
            .lines()
            .filter(|line| !lost.iter().any(|lost| line.contains(lost)))
            .collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), left, "without {name}");
    }
}

#[test]
fn a_host_without_os_release_is_unknown_as_there() {
    let all = [info(&[
        ("host.name", "vm".into()),
        ("accel.host.kernel_version", "6.18.44".into()),
    ])];
    let line =
        r#"hw_node_info{node="gpu-node-01",os="unknown",os_version="unknown",kernel="6.18.44",cpu_model="unknown"} 1"#;
    assert!(text(&all).lines().any(|found| found == line), "{}", text(&all));
    assert_eq!(node(&all)["os_name"], "unknown");
}

#[test]
fn odd_texts_stay_one_line_and_one_value() {
    for odd in [
        "a \"b\" c",
        "back\\slash",
        "two\nlines",
        "tab\tand\u{7}bell",
        "\u{fffd}\u{1f980}",
        "} 1\nforged 2",
    ] {
        let all = [info(&[("host.cpu.model.name", odd.into()), ("os.name", odd.into())])];
        let text = text(&all);
        assert_eq!(text.lines().count(), 3, "{text:?}");
        let escaped = odd.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        assert!(text.contains(&format!("cpu_model=\"{escaped}\"")), "{text:?}");
        let node = node(&all);
        assert_eq!((&node["cpu_model"], &node["os_name"]), (&odd.into(), &odd.into()));
    }
}

#[test]
fn numbers_that_cannot_be_are_no_numbers() {
    let mut all = machine();
    all.retain(|series| !["system.uptime", "system.memory.linux.available"].contains(&series.instrument.name));
    // More is available than there is, and an uptime before the boot.
    all.push(series(&AVAILABLE, &[], 30_000_000_000_i64));
    all.push(series(&UPTIME, &[], -5.0));
    let found = node(&all);
    for key in ["uptime_secs", "memory_used_bytes", "memory_usage_percent"] {
        assert_eq!(found[key], Json::Null, "{key}");
    }
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        let all = [&LIMIT, &AVAILABLE, &UPTIME, &LOGICAL].map(|instrument| series(instrument, &[], odd));
        assert_eq!(text(&all), "");
        assert_eq!(node(&all)["memory_total_bytes"], Json::Null);
    }
    let none = [series(&LIMIT, &[], 0_i64), series(&AVAILABLE, &[], 0_i64)];
    assert_eq!(node(&none)["memory_usage_percent"], Json::Null, "no memory at all");
}

#[test]
fn the_uptime_goes_on_between_two_readings() {
    let all = [series(&UPTIME, &[], 9294.5)];
    let at = |millis| {
        let now = READ.unix_nanos() + Duration::from_millis(millis).as_nanos() as u64;
        json(Document::Summary, &all, "n", Timestamp::from_unix_nanos(now))
    };
    assert!(at(499).ends_with("\"uptime\":9294}"), "{}", at(499));
    assert!(at(500).ends_with("\"uptime\":9295}"), "{}", at(500));
    assert!(at(9_600).ends_with("\"uptime\":9304}"), "{}", at(9_600));
    let before = json(Document::Summary, &all, "n", Timestamp::from_unix_nanos(1));
    assert!(before.ends_with("\"uptime\":9294}"), "the clock was set back: {before}");
}

#[test]
fn gpus_are_none_only_where_no_look_found_a_driver() {
    let count = |all: &[Series]| node(all)["gpu_count"].clone();
    assert_eq!(count(&[looks("nothing_here", 1)]), 0);
    assert_eq!(
        count(&[looks("nothing_here", 0), looks("retry", 0)]),
        Json::Null,
        "no look yet"
    );
    for other in ["retry", "sampled", "deadline", "gone"] {
        assert_eq!(
            count(&[looks("nothing_here", 5), looks(other, 1)]),
            Json::Null,
            "{other}"
        );
    }
    assert_eq!(
        count(&[looks("sampled", 4), series(&GPUS, &[], 0_i64)]),
        0,
        "a driver without a GPU"
    );
    assert_eq!(
        count(&[looks("sampled", 4), series(&GPUS, &[], 2_i64)]),
        Json::Null,
        "none has answered"
    );
    let mut hailo = looks("nothing_here", 1);
    hailo.attributes = Arc::new(Attributes::new([
        (key::AGENT_SAMPLER, "hailo".into()),
        (key::AGENT_OUTCOME, "nothing_here".into()),
    ]));
    assert_eq!(count(&[hailo]), Json::Null, "another sampler's look");
}

/// A GPU with these readings of memory in bytes and use in percent.
fn gpu(index: i64, memory: Option<i64>, percent: Option<i64>) -> Vec<Series> {
    let id = (key::HW_ID, format!("GPU-{index}").into());
    let described = [
        id.clone(),
        ("nvidia.gpu.index", index.into()),
        (key::HW_MODEL, "NVIDIA A100".into()),
    ];
    let general = [id.clone(), (key::HW_GPU_TASK, "general".into())];
    let mut all = vec![
        series(&GPU, &described, 1_i64),
        series(&GPU_MEMORY_LIMIT, std::slice::from_ref(&id), 15_843_721_216_i64),
    ];
    all.extend(memory.map(|bytes| series(&GPU_MEMORY, std::slice::from_ref(&id), bytes)));
    all.extend(percent.map(|percent| series(&GPU_USE, &general, percent as f64 / 100.0)));
    all
}

#[test]
fn a_gpu_is_used_if_it_works_or_holds_memory() {
    let used = |memory, percent| {
        let all = [gpu(0, Some(0), Some(0)), gpu(1, memory, percent)].concat();
        node(&all)["gpu_used_count"].clone()
    };
    assert_eq!(used(Some(0), Some(0)), 0);
    assert_eq!(used(Some(1 << 20), Some(0)), 1);
    assert_eq!(used(Some(0), Some(1)), 1);
    assert_eq!(used(Some(1 << 30), None), 1, "divided into instances");
    assert_eq!(used(Some((1 << 20) - 1), Some(0)), 0, "less than it shows");
    assert_eq!(used(Some(0), None), Json::Null);
    assert_eq!(used(None, Some(0)), Json::Null);
    assert_eq!(used(None, None), Json::Null);
}

#[test]
fn values_of_gpus_are_whole_as_those_of_nvidia_smi() {
    let mut all = gpu(3, Some(554_172_416), Some(57));
    let id = [(key::HW_ID, "GPU-3".into())];
    all.push(series(&GPU_POWER, &id, 71.996));
    let found = node(&all);
    let device = expected!({
        "index": 3, "name": "NVIDIA A100", "uuid": "GPU-3", "memory_total_mb": 15109, "memory_used_mb": 528,
        "memory_free_mb": 14581, "utilization_percent": 57, "temperature_celsius": null, "power_draw_watts": 72,
        "power_limit_watts": null,
    });
    assert_eq!(found["gpu_devices"], expected!([device]));
    let text = text(&all);
    let used = format!(
        "hw_gpu_memory_used_bytes{{node=\"gpu-node-01\",gpu_index=\"3\",gpu_name=\"NVIDIA A100\",gpu_uuid=\"GPU-3\"}} {}",
        528 << 20
    );
    assert!(text.lines().any(|line| line == used), "{text}");
    assert!(!text.contains("hw_gpu_power_limit_watts"), "not even a comment: {text}");
}

proptest::proptest! {
    /// Whatever a source says, both documents have their keys and each line of the text is a comment or a sample.
    #[test]
    fn no_reading_breaks_an_answer(
        numbers in proptest::collection::vec(proptest::num::f64::ANY, 12),
        texts in proptest::collection::vec(proptest::string::string_regex("[\\s\\S]{0,12}").unwrap(), 4),
        now: u64,
    ) {
        let id = [(key::HW_ID, texts[0].as_str().into())];
        let described = [id[0].clone(), ("nvidia.gpu.index", i64::MIN.into()), (key::HW_MODEL, texts[1].as_str().into())];
        let mut all = vec![series(&GPU, &described, numbers[0])];
        all.push(info(&[("os.name", texts[2].as_str().into()), ("host.cpu.model.name", texts[3].as_str().into())]));
        let of_host = [&UPTIME, &PHYSICAL, &LOGICAL, &LIMIT, &AVAILABLE, &GPUS];
        all.extend(of_host.iter().zip(&numbers[1..]).map(|(instrument, number)| series(instrument, &[], *number)));
        all.push(series(&CPU, &[("cpu.mode", "idle".into())], numbers[7]));
        let of_gpu = [&GPU_POWER, &GPU_MEMORY, &GPU_MEMORY_LIMIT, &GPU_USE];
        all.extend(of_gpu.iter().zip(&numbers[8..]).map(|(instrument, number)| series(instrument, &id, *number)));
        let now = Timestamp::from_unix_nanos(now);
        let whole: Json = serde_json::from_str(&json(Document::Node, &all, &texts[0], now)).unwrap();
        proptest::prop_assert_eq!(whole.as_object().unwrap().len(), 19);
        let summary: Json = serde_json::from_str(&json(Document::Summary, &all, &texts[0], now)).unwrap();
        proptest::prop_assert_eq!(summary.as_object().unwrap().len(), 8);
        for line in render(&all, &texts[0], now).split_terminator('\n') {
            let value = line.rsplit(' ').next().unwrap();
            let is_sample = line.starts_with("hw_") && line.contains("{node=\"") && value.parse::<f64>().is_ok_and(f64::is_finite);
            proptest::prop_assert!(line.starts_with("# ") || is_sample, "{}", line);
        }
    }
}
