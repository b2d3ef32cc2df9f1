//! `libdcmi.so` in a worker: the values, and every fault of a vendor's library.
#![cfg(feature = "ascend")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use accelscope_ascend::dcmi::{Launch, command, sampler};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Batch, Owner, Point, Value};
use accelscope_core::sampler::{Outcome, Sampler};
use accelscope_core::worker::{Worker, WorkerError, WorkerSampler};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const MIB: i64 = 1 << 20;
const LONG: Duration = Duration::from_secs(120);
/// Time limit of a call in tests that provoke a hang: more than all else takes on a busy machine.
const SHORT: Duration = Duration::from_secs(8);

/// A copy of the fake library with its script beside it.
struct Fake {
    directory: TempDir,
}

impl Fake {
    fn new(script: &str) -> Self {
        Self::without(&[], script)
    }

    /// A copy that lacks these functions: their names in its symbol table are replaced.
    fn without(functions: &[&str], script: &str) -> Self {
        let built = std::env::current_exe().unwrap();
        let built = built.parent().unwrap().join("libfake_dcmi.so");
        let mut bytes = std::fs::read(&built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
        for function in functions {
            let name = [b"\0", function.as_bytes(), b"\0"].concat();
            let at: Vec<_> = (0..bytes.len() - name.len())
                .filter(|at| bytes[*at..].starts_with(&name))
                .collect();
            assert!(!at.is_empty(), "no symbol {function}");
            for at in at {
                bytes[at + 1] = b'_';
            }
        }
        let fake = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        std::fs::write(fake.library(), bytes).unwrap();
        std::fs::set_permissions(fake.library(), std::fs::Permissions::from_mode(0o755)).unwrap();
        fake.script(script);
        fake
    }

    fn script(&self, script: &str) {
        std::fs::write(self.directory.path().join("libdcmi.so.script"), script).unwrap();
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("libdcmi.so")
    }

    fn launch(&self, deadline: Duration) -> Launch {
        Launch {
            program: env!("CARGO_BIN_EXE_agent").into(),
            library: Some(self.library()),
            roots: HostRoots::new("/"),
            node_name: "node".to_owned(),
            period: Duration::from_secs(10),
            deadline,
        }
    }

    fn sampler(&self) -> WorkerSampler {
        sampler(self.launch(LONG)).unwrap()
    }

    fn worker(&self) -> Worker {
        Worker::new(command(self.launch(LONG)).unwrap())
    }

    fn points(&self) -> Vec<Point> {
        sampled(&mut self.sampler())
    }
}

/// The worker's reply as JSON.
fn asked(worker: &mut Worker, deadline: Duration) -> Result<Json, WorkerError> {
    worker.request(deadline, |reply| serde_json::to_value(&reply).unwrap())
}

/// The points of the reply's only part.
fn points_of(reply: &Json) -> &[Json] {
    assert_eq!(reply["parts"].as_array().unwrap().len(), 1, "{reply}");
    reply["parts"][0]["points"].as_array().unwrap()
}

fn reason(reply: &Json) -> &str {
    reply["reason"].as_str().unwrap()
}

fn sampled(sampler: &mut WorkerSampler) -> Vec<Point> {
    let mut batches: Vec<Batch> = Vec::new();
    let outcome = sampler.sample(&mut batches);
    assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
    batches.into_iter().flat_map(|batch| batch.points).collect()
}

/// Value of the only series of that chip with these attributes.
fn value(points: &[Point], name: &str, npu: i64, chip: i64, more: &[(&str, &str)]) -> Option<f64> {
    let ids = [("ascend.npu.id", npu.to_string()), ("ascend.chip.id", chip.to_string())];
    let fits = |point: &&Point| {
        let has = |key: &str, value: &str| {
            point
                .attributes
                .get(key)
                .is_some_and(|found| found.to_string() == value)
        };
        point.instrument.name == name
            && ids.iter().all(|(key, id)| has(key, id))
            && more.iter().all(|(key, value)| has(key, value))
    };
    let found: Vec<_> = points.iter().filter(fits).collect();
    assert!(found.len() <= 1, "{name} {npu}/{chip} {more:?}: {found:?}");
    found.first().and_then(|point| point.value.as_f64())
}

#[track_caller]
fn close(found: Option<f64>, expected: f64) {
    assert!(
        found.is_some_and(|found| (found - expected).abs() < 1e-9),
        "{found:?} instead of {expected}"
    );
}

#[test]
fn every_value_arrives_with_its_unit_and_its_chip() {
    let fake = Fake::new("cards 4:1 7:2\nprint * * whatever a vendor likes to say\n");
    let points = fake.points();
    for (npu, chip) in [(4, 0), (7, 0), (7, 1)] {
        let seed = (npu * 10 + chip) as f64;
        let of = |name, more: &[(&str, &str)]| value(&points, name, npu, chip, more);
        let hbm = ("ascend.memory.type", "hbm");
        close(of("hw.power", &[]), (1000.0 + seed) / 10.0);
        close(of("hw.temperature", &[]), (40 + chip) as f64);
        close(of("hw.voltage", &[]), 0.85);
        close(of("hw.npu.utilization", &[]), seed / 100.0);
        close(of("ascend.aicore.utilization", &[]), seed / 100.0);
        close(of("ascend.npu.utilization", &[]), 0.65);
        close(of("ascend.aicpu.utilization", &[]), 0.03);
        close(of("ascend.control_cpu.utilization", &[]), 0.04);
        close(of("ascend.memory.bandwidth.utilization", &[hbm]), 0.17);
        close(of("ascend.memory.temperature", &[hbm]), 51.0);
        close(of("hw.npu.memory.limit", &[hbm]), (65536 * MIB) as f64);
        close(of("hw.npu.memory.usage", &[hbm]), (3000.0 + seed) * MIB as f64);
        assert_eq!(
            of("hw.npu.memory.limit", &[("ascend.memory.type", "ddr")]),
            None,
            "it has no DDR"
        );
        close(of("ascend.clock.frequency", &[("ascend.clock", "aicore")]), 1.8e9);
        close(
            of("ascend.clock.frequency.limit", &[("ascend.clock", "aicore")]),
            1.85e9,
        );
        close(of("ascend.clock.frequency", &[("ascend.clock", "hbm")]), 1.6e9);
        close(of("ascend.clock.frequency", &[("ascend.clock", "control_cpu")]), 2e9);
        close(of("ascend.clock.frequency", &[("ascend.clock", "vector")]), 1.7e9);
        for (kind, now, in_all, pages) in [("corrected", 11.0, 13.0, 15.0), ("uncorrected", 12.0, 14.0, 16.0)] {
            close(of("hw.errors", &[hbm, ("error.type", kind)]), now);
            close(of("ascend.ecc.lifetime.errors", &[hbm, ("error.type", kind)]), in_all);
            close(of("ascend.ecc.isolated.pages", &[hbm, ("error.type", kind)]), pages);
        }
        close(of("hw.status", &[("hw.state", "ok")]), 1.0);
        close(of("hw.status", &[("hw.state", "failed")]), 0.0);
        close(of("ascend.health.status", &[("ascend.health", "OK")]), 1.0);
        close(of("ascend.processes", &[]), 0.0);
        close(of("hw.energy", &[("accel.derived", "true")]), 0.0);
        let logical = if npu == 4 { 0 } else { 1 + chip };
        let about = [
            ("hw.model", "910B3".to_owned()),
            ("hw.name", format!("davinci{}", logical + 8)),
            ("hw.driver_version", "24.1.0".to_owned()),
            (
                "accel.device.address",
                format!("0000:{:02x}:00.0", 0x80 + npu * 10 + chip),
            ),
            ("ascend.logical.id", logical.to_string()),
            ("ascend.physical.id", (logical + 8).to_string()),
        ];
        let about: Vec<_> = about.iter().map(|(key, text)| (*key, text.as_str())).collect();
        close(of("ascend.device.info", &about), 1.0);
    }
    let mut ids: Vec<_> = points
        .iter()
        .map(|point| point.attributes.get("hw.id").unwrap())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn ddr_huge_pages_and_its_bandwidth_are_read() {
    let values = "cards 0:1\nvalue dcmi_get_device_memory_info_v3 0/0 - 44280 41000 1600 2048 15 9 7\n\
                  fail dcmi_get_device_hbm_info 0/0 -8255\n";
    let points = Fake::new(values).points();
    let ddr = [("ascend.memory.type", "ddr")];
    let of = |name, more: &[(&str, &str)]| value(&points, name, 0, 0, more);
    close(of("hw.npu.memory.limit", &ddr), (44280 * MIB) as f64);
    close(of("hw.npu.memory.usage", &ddr), (3280 * MIB) as f64);
    close(of("ascend.memory.bandwidth.utilization", &ddr), 0.05);
    close(of("ascend.clock.frequency", &[("ascend.clock", "ddr")]), 1.6e9);
    close(of("ascend.hugepages.limit", &[]), 15.0);
    close(of("ascend.hugepages.usage", &[]), 6.0);
    assert_eq!(of("hw.npu.memory.limit", &[("ascend.memory.type", "hbm")]), None);
}

#[test]
fn one_call_gives_several_utilizations_where_the_driver_has_it() {
    let script = "cards 0:1\nvalue dcmi_get_device_multi_utilization_rate * - 11 22 33 44\n\
                  value dcmi_get_device_utilization_rate * 2 99\n";
    let points = Fake::new(script).points();
    let of = |name| value(&points, name, 0, 0, &[]);
    close(of("ascend.cube.utilization"), 0.11);
    close(of("ascend.vector.utilization"), 0.22);
    close(of("ascend.aicore.utilization"), 0.33);
    close(of("ascend.npu.utilization"), 0.44);
    close(of("hw.npu.utilization"), 0.33);
}

#[test]
fn the_950_is_read_by_the_other_functions() {
    let fake = Fake::new("devices 0 5\nprocesses 5 1:2097152\n");
    let points = fake.points();
    for npu in [0, 5] {
        close(value(&points, "hw.power", npu, 0, &[]), 100.0 + npu as f64);
        close(value(&points, "hw.npu.utilization", npu, 0, &[]), 0.65);
        close(value(&points, "ascend.npu.utilization", npu, 0, &[]), 0.65);
        let about = [
            ("hw.driver_version", "26.0.0".to_owned()),
            ("hw.name", format!("davinci{}", npu + 8)),
        ];
        let about: Vec<_> = about.iter().map(|(key, text)| (*key, text.as_str())).collect();
        close(value(&points, "ascend.device.info", npu, 0, &about), 1.0);
    }
    close(
        value(&points, "accel.process.memory.usage", 5, 0, &[]),
        (2 * MIB) as f64,
    );
}

#[test]
fn failures_sentinels_and_zeros_are_absent_and_cost_nothing_else() {
    let fake = Fake::new(
        "cards 0:1 1:1\n\
         fail dcmi_get_device_power_info 0/0 -8006\n\
         value dcmi_get_device_temperature 0/0 - 32765\n\
         value dcmi_get_device_voltage 0/0 - 0\n\
         value dcmi_get_device_utilization_rate 0/0 2 4294967295\n\
         fail dcmi_get_device_ecc_info 0/0 -8255\n\
         fail dcmi_get_device_resource_info 0/0 -8011\n\
         fail dcmi_get_device_health 0/0 -8012\n\
         value dcmi_get_device_pcie_info_v2 0/0 - 0 0 0 0 0 0 0 0\n",
    );
    let mut worker = fake.worker();
    let reply = asked(&mut worker, LONG).unwrap();
    assert_eq!(reply["outcome"], "sampled");
    let names = |npu: i64| -> Vec<&str> {
        let points = points_of(&reply).iter();
        let of_npu = points.filter(|point| point["attributes"]["ascend.npu.id"] == npu);
        of_npu.map(|point| point["name"].as_str().unwrap()).collect()
    };
    let lost = [
        "hw.power",
        "hw.energy",
        "hw.temperature",
        "hw.voltage",
        "hw.npu.utilization",
        "ascend.aicore.utilization",
        "hw.errors",
        "hw.status",
        "ascend.processes",
    ];
    for name in lost {
        assert!(!names(0).contains(&name), "{name} is shown");
        assert!(names(1).contains(&name), "{name} of the other chip is lost too");
    }
    for name in [
        "hw.npu.memory.usage",
        "ascend.clock.frequency",
        "ascend.aicpu.utilization",
    ] {
        assert!(names(0).contains(&name), "{name} is lost too");
    }
    let mut skipped = reply["skipped"].as_object().unwrap().clone();
    assert_eq!(
        skipped["hbm_timed_out"], 0,
        "born at 0, so that the first is an increase"
    );
    skipped.retain(|_, count| *count != 0);
    assert_eq!(
        Json::from(skipped),
        json!({
            "health_not_ready": 1,
            "power_timed_out": 1,
            "processes_other": 1,
            "temperature_implausible": 1,
            "voltage_implausible": 1,
        })
    );
}

#[test]
fn a_chip_that_is_not_there_has_failed() {
    let points = Fake::new("cards 3:1\nvalue dcmi_get_device_health * - 4294967295\n").points();
    close(value(&points, "hw.status", 3, 0, &[("hw.state", "failed")]), 1.0);
    assert_eq!(
        value(&points, "ascend.health.status", 3, 0, &[("ascend.health", "OK")]),
        None
    );
}

#[test]
fn what_is_not_supported_is_not_asked_again() {
    let fake = Fake::new("cards 0:1\nfail dcmi_get_device_voltage * -8255\n");
    let mut sampler = fake.sampler();
    assert_eq!(value(&sampled(&mut sampler), "hw.voltage", 0, 0, &[]), None);
    // It would answer now. Queries that failed for other reasons are repeated.
    fake.script("cards 0:1\nfail dcmi_get_device_power_info * -8006\ncrash dcmi_get_device_voltage *\n");
    assert_eq!(value(&sampled(&mut sampler), "hw.power", 0, 0, &[]), None);
    fake.script("cards 0:1\ncrash dcmi_get_device_voltage *\n");
    close(value(&sampled(&mut sampler), "hw.power", 0, 0, &[]), 100.0);
}

#[test]
fn a_function_that_the_library_lacks_loses_only_what_it_tells() {
    let without = [
        "dcmi_get_device_power_info",
        "dcmi_get_device_resource_info",
        "dcmi_get_device_chip_info_v2",
        "dcmi_get_device_type",
        "dcmi_get_device_logic_id",
        "dcmi_get_driver_version",
        "dcmiv2_init",
    ];
    let points = Fake::without(&without, "cards 2:1\n").points();
    for name in ["hw.power", "ascend.processes"] {
        assert_eq!(value(&points, name, 2, 0, &[]), None);
    }
    close(value(&points, "hw.temperature", 2, 0, &[]), 40.0);
    close(value(&points, "ascend.device.info", 2, 0, &[]), 1.0);
}

#[test]
fn a_library_that_writes_more_than_is_known_harms_nothing() {
    let script = "cards 0:1\ngrow dcmi_get_device_ecc_info * 64\ngrow dcmi_get_device_hbm_info * 64\n\
                  grow dcmi_get_device_power_info * 64\n";
    let points = Fake::new(script).points();
    close(value(&points, "hw.power", 0, 0, &[]), 100.0);
    let pages = [("error.type", "uncorrected")];
    close(value(&points, "ascend.ecc.isolated.pages", 0, 0, &pages), 16.0);
}

#[test]
fn ecc_counts_that_the_driver_resets_start_at_the_previous_read() {
    let script = |corrected| format!("cards 0:1\nvalue dcmi_get_device_ecc_info 0/0 2 1 {corrected} 12 13 14 15 16\n");
    let fake = Fake::new(&script(11));
    let mut sampler = fake.sampler();
    let mut errors = || {
        let points = sampled(&mut sampler);
        let is_corrected = |point: &&Point| {
            let kind = point.attributes.get("error.type");
            point.instrument.name == "hw.errors" && kind.is_some_and(|kind| kind.to_string() == "corrected")
        };
        let found: Vec<_> = points.iter().filter(is_corrected).cloned().collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let first = errors();
    assert!(first.value == Value::Int(11) && first.start.unwrap() < first.time);
    fake.script(&script(3));
    let reset = errors();
    assert_eq!((reset.value, reset.start), (Value::Int(3), Some(first.time)));
    assert!(reset.start.unwrap() < reset.time);
    fake.script(&script(4));
    assert_eq!(errors().start, Some(first.time), "it grows since then");
}

#[test]
fn an_ecc_count_with_all_bits_set_is_absent() {
    let all = u32::MAX;
    let points = Fake::new(&format!(
        "cards 0:1\nvalue dcmi_get_device_ecc_info 0/0 2 1 5 {all} 9 0 0 0\n"
    ))
    .points();
    let errors = |kind: &'static str| {
        value(
            &points,
            "hw.errors",
            0,
            0,
            &[("ascend.memory.type", "hbm"), ("error.type", kind)],
        )
    };
    close(errors("corrected"), 5.0);
    assert_eq!(errors("uncorrected"), None);
}

#[test]
fn every_process_is_told_and_belongs_to_whom_it_is() {
    let ours = std::process::id();
    let others: String = (0..63)
        .map(|index| format!(" {}:{}", 900_000_000 + index, index * MIB))
        .collect();
    let points = Fake::new(&format!("cards 0:2\nprocesses 0/1 {ours}:{}{others}\n", 5 * MIB)).points();
    let of_processes: Vec<_> = points
        .iter()
        .filter(|point| point.instrument.name == "accel.process.memory.usage")
        .collect();
    assert_eq!(of_processes.len(), 64);
    close(value(&points, "ascend.processes", 0, 1, &[]), 64.0);
    close(value(&points, "ascend.processes", 0, 0, &[]), 0.0);
    let owned: Vec<_> = of_processes
        .iter()
        .filter_map(|point| point.owner.clone().map(|owner| (owner, point)))
        .collect();
    let [(Owner::Process { process, always_pid }, point)] = owned.as_slice() else {
        panic!("{owned:?}")
    };
    assert!(process.pid == ours && process.start_ticks > 0 && *always_pid);
    assert_eq!(point.value, Value::Int(5 * MIB));
    let stranger = [("process.pid", "900000007")];
    close(
        value(&points, "accel.process.memory.usage", 0, 1, &stranger),
        (7 * MIB) as f64,
    );
}

#[test]
fn a_start_that_hangs_is_killed_and_the_next_one_works() {
    let fake = Fake::new("cards 0:1\nhang dcmi_init - once\n");
    let deadline = Duration::from_secs(2);
    let mut worker = Worker::new(command(fake.launch(LONG)).unwrap());
    let began = Instant::now();
    let has_hung = fake.directory.path().join("libdcmi.so.script.hung");
    let error = loop {
        let error = asked(&mut worker, deadline).unwrap_err();
        // The machine may be too slow for it to come that far.
        if has_hung.exists() {
            break error;
        }
        assert!(began.elapsed() < LONG, "{error}");
    };
    assert!(matches!(error, WorkerError::Deadline(_)), "{error}");
    assert!(began.elapsed() < 2 * LONG, "{:?}", began.elapsed());
    assert_eq!(worker.age(), None, "it is still in use");
    let reply = after_rest(&mut worker);
    assert_eq!(reply["outcome"], "sampled", "{}", reason(&reply));
}

/// The next reply of a worker that has failed.
fn after_rest(worker: &mut Worker) -> Json {
    let until = Instant::now() + LONG;
    loop {
        match asked(worker, LONG) {
            Ok(reply) => return reply,
            Err(WorkerError::BackingOff(_)) if Instant::now() < until => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_chip_that_hangs_costs_the_others_nothing_and_itself_one_value() {
    let fake = Fake::new("cards 0:1 1:1 2:1\nhang dcmi_get_device_voltage 1/0\n");
    let mut worker = Worker::new(command(fake.launch(SHORT)).unwrap());
    let reply = asked(&mut worker, LONG).unwrap();
    assert_eq!(reply["outcome"], "retry");
    assert!(
        reason(&reply).contains("NPU 1 chip 0") && reason(&reply).contains("voltage"),
        "{}",
        reason(&reply)
    );
    assert_eq!(reply["skipped"]["voltage_hung"], 1);
    assert!(
        points_of(&reply)
            .iter()
            .all(|point| point["attributes"]["ascend.npu.id"] == 0)
    );
    // A new process, without the query that hung, replaces the first one at once.
    assert_eq!(
        (worker.age(), worker.stuck()),
        (None, None),
        "the process that hangs is still there"
    );
    let reply = asked(&mut worker, LONG).unwrap();
    assert_eq!(reply["outcome"], "sampled", "{}", reason(&reply));
    let started = worker.age().unwrap();
    let chips = |name: &str| {
        let points = points_of(&reply).iter().filter(|point| point["name"] == name);
        points
            .map(|point| point["attributes"]["ascend.npu.id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(chips("hw.power"), [0, 1, 2]);
    assert_eq!(chips("hw.voltage"), [0, 2]);
    assert_eq!(asked(&mut worker, LONG).unwrap()["outcome"], "sampled");
    assert!(worker.age().unwrap() > started, "the replacement stays");
}

#[test]
fn a_query_that_crashes_is_suspended_and_a_chip_that_hangs_twice_is_whole() {
    let fake = Fake::new("cards 0:1 1:1\ncrash dcmi_get_device_voltage 1/0\n");
    let mut worker = Worker::new(command(fake.launch(SHORT)).unwrap());
    asked(&mut worker, LONG).unwrap_err();
    let reply = after_rest(&mut worker);
    assert_eq!(reply["outcome"], "sampled", "{}", reason(&reply));
    assert!(
        reason(&reply).contains("the voltage of NPU 1 chip 0 (crashed"),
        "{}",
        reason(&reply)
    );
    let chips = |reply: &Json, name: &str| {
        let points = points_of(reply).iter().filter(|point| point["name"] == name);
        points
            .map(|point| point["attributes"]["ascend.npu.id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (chips(&reply, "hw.voltage"), chips(&reply, "hw.power")),
        (vec![0], vec![0, 1])
    );
    fake.script("cards 0:1 1:1\nhang dcmi_get_device_power_info 1/0\n");
    let reply = asked(&mut worker, LONG).unwrap();
    assert_eq!(reply["outcome"], "retry");
    let reply = asked(&mut worker, LONG).unwrap();
    assert_eq!(reply["outcome"], "sampled", "{}", reason(&reply));
    assert!(
        reason(&reply).contains("everything of NPU 1 chip 0"),
        "{}",
        reason(&reply)
    );
    assert_eq!(
        (chips(&reply, "hw.temperature"), chips(&reply, "hw.status").contains(&1)),
        (vec![0], false)
    );
}

#[test]
fn a_crash_is_reported_with_the_library_s_last_words() {
    let fake = Fake::new("cards 0:1\ncrash dcmi_get_device_hbm_info *\n");
    let text = asked(&mut fake.worker(), LONG).unwrap_err().to_string();
    assert!(
        text.contains("SIGABRT") && text.contains("dcmi_get_device_hbm_info crashes"),
        "{text}"
    );
}

#[test]
fn a_driver_that_is_not_loaded_says_so_and_is_found_later() {
    let fake = Fake::new("fail dcmi_init - -8005\n");
    let mut worker = fake.worker();
    let reply = asked(&mut worker, LONG).unwrap();
    assert_eq!(reply["outcome"], "retry");
    assert!(
        reason(&reply).contains("dcmi_init returned -8005") && reason(&reply).contains("lsmod"),
        "{}",
        reason(&reply)
    );
    assert_eq!(reply["parts"], json!([]));
    fake.script("cards 0:1\n");
    assert_eq!(asked(&mut worker, LONG).unwrap()["outcome"], "sampled");
}

#[test]
fn chips_that_no_longer_answer_are_looked_for_anew() {
    let fake = Fake::new("cards 0:1\n");
    let mut worker = fake.worker();
    assert_eq!(asked(&mut worker, LONG).unwrap()["outcome"], "sampled");
    fake.script("cards 0:1\nfail * 0/0 -8008\n");
    let reply = asked(&mut worker, LONG).unwrap();
    assert_eq!(reply["outcome"], "retry", "{}", reason(&reply));
    // The card has a different id after its reset; only a restarted library reports it.
    fake.script("cards 3:1\n");
    let reply = asked(&mut worker, LONG).unwrap();
    assert_eq!(points_of(&reply)[0]["attributes"]["ascend.npu.id"], 3);
}

#[test]
fn nothing_to_read_is_no_error() {
    let reply = asked(&mut Fake::new("").worker(), LONG).unwrap();
    assert_eq!(reply["outcome"], "nothing_here", "{}", reason(&reply));
    assert_eq!(reason(&reply), "libdcmi lists no NPU");
}

#[test]
fn a_library_that_others_can_write_or_that_is_another_is_refused() {
    let fake = Fake::new("cards 0:1\n");
    std::fs::set_permissions(fake.library(), std::fs::Permissions::from_mode(0o757)).unwrap();
    let reply = asked(&mut fake.worker(), LONG).unwrap();
    assert!(reason(&reply).contains("chmod go-w"), "{}", reason(&reply));
    let other = Fake::without(&["dcmi_init", "dcmiv2_init"], "");
    let reply = asked(&mut other.worker(), LONG).unwrap();
    assert!(reason(&reply).contains("is no libdcmi"), "{}", reason(&reply));
    std::fs::write(fake.library(), "no library").unwrap();
    std::fs::set_permissions(fake.library(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let reply = asked(&mut fake.worker(), LONG).unwrap();
    assert_eq!(reply["outcome"], "retry");
    assert!(reason(&reply).contains("cannot be loaded"), "{}", reason(&reply));
}
