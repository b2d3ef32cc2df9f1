//! NVML in a worker: the values, and whatever a vendor's library, driver or GPU can do wrong.
#![cfg(feature = "nvidia")]
// The state of a GPU is one long `json!`.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod nvml_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use accelscope::attribution::{self, Attribution, Merger};
use accelscope::host::HostRoots;
use accelscope::metric::{Batch, Point, Resource, Value};
use accelscope::pipeline::Limits;
use accelscope::runtime::worker::WorkerSampler;
use accelscope::runtime::{Hub, Started};
use accelscope::sampler::nvidia::{Launch, Settings, sampler};
use accelscope::sampler::{Descriptor, Outcome, Sampler};
use accelscope::telemetry::OwnMetrics;
use nvml_support::{Fake, GIB, h100, uuid};
use serde_json::json;

const LONG: Duration = Duration::from_secs(30);
/// What a hang may cost in a test that provokes one.
const SHORT: Duration = Duration::from_secs(2);

fn worker(fake: &Fake, patience: Duration) -> WorkerSampler {
    let settings = Settings {
        library: Some(fake.library()),
        period: Duration::from_secs(60),
    };
    sampler(Launch {
        program: env!("CARGO_BIN_EXE_agent").into(),
        settings,
        roots: HostRoots::new("/"),
        node_name: "node".to_owned(),
        patience,
    })
    .unwrap()
}

fn run(worker: &mut WorkerSampler) -> (Outcome, Vec<Point>) {
    let mut batches: Vec<Batch> = Vec::new();
    let outcome = worker.sample(&mut batches);
    (outcome, batches.into_iter().flat_map(|batch| batch.points).collect())
}

fn sampled(worker: &mut WorkerSampler) -> Vec<Point> {
    let (outcome, points) = run(worker);
    assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
    points
}

/// The worker may rest after a failure: asked again until it samples.
fn until_sampled(worker: &mut WorkerSampler, is_it: impl Fn(&[Point]) -> bool) -> Vec<Point> {
    let until = Instant::now() + LONG;
    loop {
        let (outcome, points) = run(worker);
        if matches!(outcome, Outcome::Sampled) && is_it(&points) {
            return points;
        }
        assert!(Instant::now() < until, "{outcome:?} after {LONG:?}: {points:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The value of the one series of that GPU that has these attributes.
fn value(points: &[Point], name: &str, gpu: usize, more: &[(&str, &str)]) -> Option<f64> {
    find(points, name, gpu, more).and_then(|point| point.value.as_f64())
}

fn find<'a>(points: &'a [Point], name: &str, gpu: usize, more: &[(&str, &str)]) -> Option<&'a Point> {
    let fits = |point: &&Point| {
        let has = |key: &str, value: &str| {
            point
                .attributes
                .get(key)
                .is_some_and(|found| found.to_string() == value)
        };
        point.instrument.name == name && has("hw.id", &uuid(gpu)) && more.iter().all(|(key, value)| has(key, value))
    };
    let found: Vec<_> = points.iter().filter(fits).collect();
    assert!(found.len() <= 1, "{name} {gpu} {more:?}: {found:?}");
    found.first().copied()
}

#[track_caller]
fn close(found: Option<f64>, expected: f64) {
    assert!(
        found.is_some_and(|found| (found - expected).abs() < 1e-9),
        "{found:?} instead of {expected}"
    );
}

#[test]
fn every_value_arrives_with_its_unit_and_its_gpu() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    fake.change(|state| {
        let gpu = &mut state["devices"][1];
        gpu["values"]["nvmlDeviceGetNumFans"] = json!(2);
        gpu["values"]["nvmlDeviceGetFanSpeed"] = json!({"0": 30, "1": 105});
        gpu["values"]["nvmlDeviceGetMarginTemperature"] = json!([41]);
        gpu["values"]["nvmlDeviceGetMemoryErrorCounter"] = json!({"0,0,2": 4, "1,0,7": 3});
        gpu["fields"]["197"] = json!({"type": 3, "value": 9_000_000_000_u64});
        gpu["fields"]["198"] = json!({"type": 3, "value": 8_000_000_000_u64});
        gpu["fields"]["180"] = json!({"type": 1, "value": 5});
        gpu["fields"]["165/3"] = json!({"type": 1, "value": 1});
        gpu["fields"]["163/3"] = json!({"type": 3, "value": 21});
        gpu["fields"]["193"] = json!({"type": 5, "value": -8});
        gpu["fields"]["29"] = json!({"type": 1, "value": 2});
    });
    let points = sampled(&mut worker(&fake, LONG));
    let of = |name: &str, more: &[(&str, &str)]| value(&points, name, 1, more);

    close(of("hw.gpu.utilization", &[("hw.gpu.task", "general")]), 0.41);
    close(of("hw.gpu.utilization", &[("hw.gpu.task", "encoder")]), 0.04);
    close(of("hw.gpu.utilization", &[("hw.gpu.task", "decoder")]), 0.05);
    close(of("hw.gpu.utilization", &[("hw.gpu.task", "jpeg")]), 0.06);
    close(of("hw.gpu.utilization", &[("hw.gpu.task", "ofa")]), 0.07);
    close(of("nvidia.memory.bandwidth.utilization", &[]), 0.21);
    close(of("hw.gpu.memory.limit", &[]), (80 * GIB) as f64);
    close(of("hw.gpu.memory.usage", &[]), (20 * GIB) as f64);
    close(of("hw.gpu.memory.utilization", &[]), 0.25);
    close(of("nvidia.memory.reserved", &[]), GIB as f64);
    close(of("hw.power", &[("hw.type", "gpu")]), 250.001);
    close(of("hw.energy", &[("hw.type", "gpu")]), 123_456.79);
    close(
        of("nvidia.power.limit", &[("nvidia.power.limit.type", "enforced")]),
        650.0,
    );
    close(
        of("nvidia.power.limit", &[("nvidia.power.limit.type", "default")]),
        700.0,
    );
    close(of("hw.temperature", &[("hw.sensor_location", "gpu")]), 46.0);
    close(of("hw.temperature", &[("hw.sensor_location", "memory")]), 61.0);
    let limit = |kind: &'static str, place: &'static str| [("hw.limit_type", kind), ("hw.sensor_location", place)];
    close(of("hw.temperature.limit", &limit("high.critical", "gpu")), 92.0);
    close(of("hw.temperature.limit", &limit("high.degraded", "gpu")), 89.0);
    close(of("hw.temperature.limit", &limit("throttled", "gpu")), 87.0);
    close(of("hw.temperature.limit", &limit("throttled", "memory")), 95.0);
    close(of("nvidia.temperature.margin", &[]), 41.0);
    close(
        of("nvidia.temperature.margin.limit", &[("hw.limit_type", "high.critical")]),
        -8.0,
    );
    close(of("hw.fan.speed_ratio", &[("hw.sensor_location", "fan0")]), 0.3);
    close(of("hw.fan.speed_ratio", &[("hw.sensor_location", "fan1")]), 1.05);
    close(of("nvidia.clock.frequency", &[("nvidia.clock", "sm")]), 1.755e9);
    close(of("nvidia.clock.frequency", &[("nvidia.clock", "memory")]), 2.619e9);
    close(
        of("nvidia.clock.frequency.limit", &[("nvidia.clock", "video")]),
        1.545e9,
    );
    close(
        of("nvidia.throttle.active", &[("nvidia.throttle.reason", "sw_power_cap")]),
        1.0,
    );
    close(
        of("nvidia.throttle.active", &[("nvidia.throttle.reason", "gpu_idle")]),
        0.0,
    );
    close(of("nvidia.performance.state", &[]), 0.0);
    close(of("nvidia.pcie.link.generation", &[]), 5.0);
    close(of("nvidia.pcie.link.width", &[]), 16.0);
    close(of("nvidia.pcie.replays", &[]), 8.0);
    close(of("hw.gpu.io", &[("network.io.direction", "transmit")]), 9e9);
    close(of("hw.gpu.io", &[("network.io.direction", "receive")]), 8e9);
    close(of("nvidia.pcie.errors", &[("error.type", "fatal")]), 5.0);
    close(
        of("nvidia.nvlink.io", &[("network.io.direction", "transmit")]),
        1_024_000.0,
    );
    close(
        of("nvidia.nvlink.io", &[("network.io.direction", "receive")]),
        2_048_000.0,
    );
    close(of("nvidia.nvlink.up", &[("nvidia.nvlink.link", "3")]), 1.0);
    let link = [("nvidia.nvlink.link", "3"), ("error.type", "crc")];
    close(of("nvidia.nvlink.errors", &link), 21.0);
    close(of("nvidia.ecc.enabled", &[]), 1.0);
    close(
        of("hw.errors", &[("error.type", "corrected"), ("hw.type", "gpu")]),
        11.0,
    );
    close(
        of("hw.errors", &[("error.type", "uncorrected"), ("hw.type", "gpu")]),
        12.0,
    );
    close(of("nvidia.ecc.lifetime.errors", &[("error.type", "uncorrected")]), 14.0);
    let place = |kind: &'static str, place: &'static str| [("error.type", kind), ("nvidia.memory.location", place)];
    close(of("nvidia.ecc.errors", &place("corrected", "dram")), 4.0);
    close(of("nvidia.ecc.errors", &place("uncorrected", "sram")), 3.0);
    close(of("nvidia.remapped.rows", &[("error.type", "uncorrected")]), 2.0);
    close(of("nvidia.remapped.rows.pending", &[]), 0.0);
    close(of("nvidia.remapped.rows.failed", &[]), 0.0);
    close(of("nvidia.retired.pages", &[("error.type", "corrected")]), 2.0);
    close(of("hw.status", &[("hw.state", "ok")]), 1.0);
    close(of("hw.status", &[("hw.state", "failed")]), 0.0);
    close(
        value(&points, "hw.gpu.utilization", 0, &[("hw.gpu.task", "general")]),
        0.40,
    );

    let info = find(&points, "nvidia.device.info", 1, &[]).unwrap();
    for (key, expected) in [
        ("hw.name", "nvidia1"),
        ("hw.model", "NVIDIA H100 80GB HBM3"),
        ("hw.vendor", "NVIDIA"),
        ("hw.serial_number", "1650824000001"),
        ("hw.driver_version", "580.82.07"),
        ("hw.firmware_version", "96.00.99.00.01"),
        ("accel.device.address", "0000:11:00.0"),
        ("nvidia.cuda.version", "13.0"),
        ("nvidia.nvml.version", "13.580.82.07"),
        ("nvidia.gpu.index", "1"),
        ("nvidia.gpu.minor", "1"),
        ("nvidia.architecture", "hopper"),
    ] {
        let found = info.attributes.get(key).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(expected), "{key}");
    }
    let energy = find(&points, "hw.energy", 1, &[]).unwrap();
    assert!(energy.start.unwrap() < energy.time, "since the host's boot");
}

#[test]
fn sentinels_and_failures_are_absent_and_cost_nothing_else() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| {
        let values = &mut state["devices"][0]["values"];
        values["nvmlDeviceGetUtilizationRates"] = json!([u32::MAX, 20]);
        values["nvmlDeviceGetPowerUsage"] = json!(u32::MAX);
        values["nvmlDeviceGetPerformanceState"] = json!(32);
        values["nvmlDeviceGetCurrPcieLinkGeneration"] = json!(0);
        values["nvmlDeviceGetEccMode"] = json!([0, 1]);
        state["devices"][0]["fields"]["82"] = json!({"type": 1, "value": 0});
        state["devices"][0]["fail"] = json!({"nvmlDeviceGetTemperature": 999, "nvmlDeviceGetClockInfo": 4});
    });
    let points = sampled(&mut worker(&fake, LONG));
    let of = |name: &str, more: &[(&str, &str)]| value(&points, name, 0, more);
    for name in [
        "hw.power",
        "hw.temperature",
        "hw.errors",
        "nvidia.performance.state",
        "nvidia.pcie.link.generation",
        "nvidia.clock.frequency",
    ] {
        assert!(points.iter().all(|point| point.instrument.name != name), "{name}");
    }
    assert_eq!(of("hw.gpu.utilization", &[("hw.gpu.task", "general")]), None);
    close(of("nvidia.memory.bandwidth.utilization", &[]), 0.2);
    close(of("nvidia.ecc.enabled", &[]), 0.0);
    close(of("nvidia.clock.frequency.limit", &[("nvidia.clock", "sm")]), 1.98e9);
    close(of("hw.energy", &[]), 123_456.789);
    close(of("hw.status", &[("hw.state", "ok")]), 1.0);
    assert!(
        points
            .iter()
            .all(|point| !matches!(point.value, Value::Double(number) if !number.is_finite()))
    );
}

#[test]
fn what_is_not_supported_is_asked_once() {
    let fake = Fake::new(vec![h100(0)]);
    fake.record_calls();
    let mut worker = worker(&fake, LONG);
    for _ in 0..3 {
        sampled(&mut worker);
    }
    let calls = fake.calls();
    let count = |call: &str| calls.iter().filter(|one| *one == call).count();
    assert_eq!(count("nvmlDeviceGetUtilizationRates 0"), 3);
    assert_eq!(count("nvmlDeviceGetNumFans 0"), 1, "this board has no fan");
    assert_eq!(count("nvmlDeviceGetMarginTemperature 0"), 1);
    assert_eq!(count("nvmlDeviceGetName 0"), 1, "it does not change");
    assert_eq!(count("nvmlDeviceGetPcieThroughput 0"), 0, "that would block");
}

#[test]
fn a_library_that_lacks_a_function_lacks_only_what_it_tells() {
    let fake = Fake::without(
        &[
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetSupportedClocksEventReasons",
            "nvmlDeviceGetMemoryInfo_v2",
            "nvmlDeviceGetTotalEnergyConsumption",
            "nvmlDeviceGetFieldValues",
            "nvmlDeviceGetJpgUtilization",
            "nvmlInit_v2",
        ],
        vec![h100(0)],
    );
    let points = sampled(&mut worker(&fake, LONG));
    let of = |name: &str, more: &[(&str, &str)]| value(&points, name, 0, more);
    close(
        of("nvidia.throttle.active", &[("nvidia.throttle.reason", "sw_power_cap")]),
        1.0,
    );
    close(of("hw.gpu.memory.usage", &[]), (19 * GIB) as f64);
    assert_eq!(
        of("nvidia.memory.reserved", &[]),
        None,
        "the older function does not tell it"
    );
    assert_eq!(of("hw.energy", &[]), None);
    close(of("hw.power", &[]), 250.0);
    assert_eq!(of("hw.gpu.utilization", &[("hw.gpu.task", "jpeg")]), None);
}

#[test]
fn a_gpu_that_falls_off_the_bus_has_failed_and_the_others_go_on_until_it_is_back() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let mut worker = worker(&fake, LONG);
    sampled(&mut worker);
    fake.change(|state| state["devices"][0]["lost"] = json!(true));
    for _ in 0..2 {
        let points = sampled(&mut worker);
        close(value(&points, "hw.status", 0, &[("hw.state", "failed")]), 1.0);
        close(value(&points, "hw.status", 0, &[("hw.state", "ok")]), 0.0);
        assert_eq!(value(&points, "hw.power", 0, &[]), None, "nothing that was true once");
        assert!(
            find(&points, "nvidia.device.info", 0, &[]).is_some(),
            "one must know which it is"
        );
        close(value(&points, "hw.power", 1, &[]), 250.001);
        close(value(&points, "hw.status", 1, &[("hw.state", "ok")]), 1.0);
    }
    fake.change(|state| state["devices"][0]["lost"] = json!(false));
    let points = until_sampled(&mut worker, |points| value(points, "hw.power", 0, &[]).is_some());
    close(value(&points, "hw.status", 0, &[("hw.state", "ok")]), 1.0);
}

#[test]
fn a_gpu_that_was_lost_before_the_start_is_named_by_what_the_kernel_lists() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    fake.change(|state| state["devices"][1]["lost"] = json!(true));
    let host = fake.directory().join("host");
    for (at, address) in [(0, "0000:10:00.0"), (1, "0000:11:00.0")] {
        let folder = host.join("proc/driver/nvidia/gpus").join(address);
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!("GPU UUID: \t {}\nDevice Minor: \t {at}\n", uuid(at));
        std::fs::write(folder.join("information"), text).unwrap();
    }
    let mut launch = Launch::new(&Settings::default(), &HostRoots::new(&host), "node").unwrap();
    launch.program = env!("CARGO_BIN_EXE_agent").into();
    launch.settings.library = Some(fake.library());
    let points = sampled(&mut sampler(launch).unwrap());
    close(value(&points, "hw.status", 1, &[("hw.state", "failed")]), 1.0);
    close(value(&points, "hw.status", 0, &[("hw.state", "ok")]), 1.0);
}

#[test]
fn a_reading_that_hangs_costs_one_topic_of_one_gpu() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let mut worker = worker(&fake, SHORT);
    sampled(&mut worker);
    fake.change(|state| state["devices"][0]["hang"] = json!({"nvmlDeviceGetEccMode": "forever"}));
    let (outcome, points) = run(&mut worker);
    let Outcome::Retry(error) = outcome else {
        panic!("{outcome:?}")
    };
    let error = error.to_string();
    assert!(error.contains("ecc") && error.contains(&uuid(0)), "{error}");
    close(value(&points, "hw.power", 0, &[]), 250.0);
    close(value(&points, "hw.power", 1, &[]), 250.001);
    // Without a rest: the next process leaves alone what hung.
    let points = sampled(&mut worker);
    assert_eq!(value(&points, "nvidia.ecc.enabled", 0, &[]), None);
    close(value(&points, "nvidia.ecc.enabled", 1, &[]), 1.0);
    close(value(&points, "hw.power", 0, &[]), 250.0);
    close(
        value(&points, "nvidia.nvlink.io", 0, &[("network.io.direction", "receive")]),
        2_048_000.0,
    );
}

#[test]
fn a_start_that_hangs_does_not_hang_the_sampler_and_is_over_when_the_driver_is() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["hang"] = json!({"nvmlInit_v2": 3}));
    let mut worker = worker(&fake, Duration::from_secs(1));
    let (outcome, points) = run(&mut worker);
    assert!(points.is_empty());
    let Outcome::Retry(error) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(error.to_string().contains("nvidia-persistenced"), "{error}");
    until_sampled(&mut worker, |points| !points.is_empty());
}

#[test]
fn a_crash_is_reported_with_the_library_s_last_words_and_the_worker_comes_back() {
    let mut fake = Fake::new(vec![h100(0)]);
    let mut worker = worker(&fake, LONG);
    sampled(&mut worker);
    fake.change(|state| state["crash"] = json!({"nvmlDeviceGetPowerUsage": "segv"}));
    let (outcome, points) = run(&mut worker);
    let Outcome::Retry(error) = outcome else {
        panic!("{outcome:?}")
    };
    let error = error.to_string();
    assert!(
        error.contains("nvmlDeviceGetPowerUsage crashes") && error.contains("signal: 11"),
        "{error}"
    );
    assert!(points.is_empty());
    fake.change(|state| state["crash"] = json!({}));
    until_sampled(&mut worker, |points| value(points, "hw.power", 0, &[]).is_some());
}

#[test]
fn a_driver_that_is_not_loaded_says_how_to_mend_it_and_is_found_later() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["init"] = json!(9));
    let mut worker = worker(&fake, LONG);
    for _ in 0..2 {
        let (outcome, points) = run(&mut worker);
        assert!(points.is_empty());
        let Outcome::Retry(error) = outcome else {
            panic!("{outcome:?}")
        };
        let error = error.to_string();
        assert!(
            error.contains("driver_not_loaded") && error.contains("modprobe nvidia"),
            "{error}"
        );
    }
    fake.change(|state| state["init"] = json!(0));
    until_sampled(&mut worker, |points| !points.is_empty());
}

#[test]
fn a_driver_that_is_replaced_underneath_is_found_again() {
    let mut fake = Fake::new(vec![h100(0)]);
    let mut worker = worker(&fake, LONG);
    sampled(&mut worker);
    // All handles are void.
    fake.change(|state| state["generation"] = json!(2));
    until_sampled(&mut worker, |points| value(points, "hw.power", 0, &[]).is_some());
    // As after an upgrade of the package without a reboot, and then with one.
    fake.change(|state| state["fail"] = json!({"nvmlDeviceGetPowerUsage": 18}));
    let (outcome, points) = run(&mut worker);
    let Outcome::Retry(error) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(error.to_string().contains("lib_rm_version_mismatch"), "{error}");
    assert!(points.is_empty(), "nothing is known any more");
    fake.change(|state| state["fail"] = json!({}));
    until_sampled(&mut worker, |points| value(points, "hw.power", 0, &[]).is_some());
}

#[test]
fn what_needs_a_hand_shows_in_the_status() {
    let mut fake = Fake::new(vec![h100(0), h100(1), h100(2), h100(3)]);
    fake.change(|state| {
        state["devices"][0]["values"]["nvmlDeviceGetRemappedRows"] = json!([0, 1, 1, 0]);
        state["devices"][1]["values"]["nvmlDeviceGetRemappedRows"] = json!([0, 1, 0, 1]);
        state["devices"][2]["fields"]["230"] = json!({"type": 1, "value": 1});
        state["devices"][3]["values"]["nvmlDeviceGetCurrentClocksEventReasons"] = json!(0x248);
    });
    let points = sampled(&mut worker(&fake, LONG));
    for (gpu, state) in ["degraded", "predicted_failure", "failed", "degraded"]
        .iter()
        .enumerate()
    {
        for other in ["ok", "degraded", "predicted_failure", "failed"] {
            let expected = if other == *state { 1.0 } else { 0.0 };
            close(value(&points, "hw.status", gpu, &[("hw.state", other)]), expected);
        }
    }
    let reason = |word: &'static str| {
        value(
            &points,
            "nvidia.throttle.active",
            3,
            &[("nvidia.throttle.reason", word)],
        )
    };
    close(reason("hw_thermal_slowdown"), 1.0);
    close(reason("board_limit"), 1.0);
    assert_eq!(reason("reliability"), None, "a bit that the board cannot set is not 0");
}

#[test]
fn nothing_to_read_is_no_error() {
    let fake = Fake::new(vec![]);
    let (outcome, points) = run(&mut worker(&fake, LONG));
    assert!(points.iter().all(|point| point.attributes.get("hw.id").is_none()));
    assert!(
        matches!(&outcome, Outcome::NothingHere(why) if why.contains("no GPU")),
        "{outcome:?}"
    );
}

/// Another sampler, with a short period.
struct Neighbour {
    runs: Arc<AtomicU64>,
    longest: Arc<AtomicU64>,
    last: Option<Instant>,
}

impl Sampler for Neighbour {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "neighbour",
            period: Duration::from_millis(20),
            deadline: Duration::from_secs(10),
            instruments: &[],
        }
    }

    fn sample(&mut self, _out: &mut Vec<Batch>) -> Outcome {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            let gap = u64::try_from((now - last).as_millis()).unwrap();
            self.longest.fetch_max(gap, Ordering::SeqCst);
        }
        self.runs.fetch_add(1, Ordering::SeqCst);
        Outcome::Sampled
    }
}

/// Runs the sampler beside another until it has failed and then, when `mend` has been called, works: how often the other
/// ran until the failure was known, and its longest pause in milliseconds.
fn beside_another(fake: &mut Fake, mend: impl FnOnce(&mut Fake)) -> (u64, u64) {
    let settings = Settings {
        library: Some(fake.library()),
        period: Duration::from_millis(100),
    };
    let nvml = sampler(Launch {
        program: env!("CARGO_BIN_EXE_agent").into(),
        settings,
        roots: HostRoots::new("/"),
        node_name: "node".to_owned(),
        patience: Duration::from_secs(3),
    });
    let (runs, longest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let neighbour = Neighbour {
        runs: Arc::clone(&runs),
        longest: Arc::clone(&longest),
        last: None,
    };
    let limits = Limits {
        series_per_instrument: 1000,
        series: 10_000,
    };
    let hub = Arc::new(Hub::new(
        OwnMetrics::install(),
        Resource::default(),
        limits,
        false,
        None,
    ));
    let attribution = Attribution::new(&HostRoots::new("/"), attribution::Settings::default());
    let samplers: Vec<Box<dyn Sampler>> = vec![Box::new(nvml.unwrap()), Box::new(neighbour)];
    let started = Started::launch(samplers, hub.clone(), attribution, Merger::new()).unwrap();
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        let until = Instant::now() + 2 * LONG;
        while !is_so() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait("the failure is not known", &|| {
        started.statuses[0].last().is_some_and(|report| report.is_failure())
    });
    let seen = (runs.load(Ordering::SeqCst), longest.load(Ordering::SeqCst));
    mend(fake);
    wait("the worker does not come back", &|| {
        hub.live().iter().any(|series| series.instrument.name == "hw.power")
    });
    seen
}

#[test]
fn while_nvml_hangs_the_others_keep_their_period_and_it_comes_back() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["hang"] = json!({"nvmlDeviceGetCount_v2": "forever"}));
    let (runs, longest) = beside_another(&mut fake, |fake| fake.change(|state| state["hang"] = json!({})));
    assert!(
        runs > 10 && longest < 1500,
        "{runs} runs while NVML hung for 3 s, {longest} ms between two of them"
    );
}

#[test]
fn while_nvml_crashes_the_others_keep_their_period_and_it_comes_back() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["crash"] = json!({"nvmlDeviceGetCount_v2": "abort"}));
    let (_, longest) = beside_another(&mut fake, |fake| fake.change(|state| state["crash"] = json!({})));
    assert!(longest < 1500, "{longest} ms between two runs");
}
