//! MIG instances, GPM, XIDs and samples of the fake library, through the worker.
#![cfg(feature = "nvidia")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod nvml_support;

use std::time::Duration;

use accelscope_core::metric::{Batch, Value};
use accelscope_core::sampler::{Outcome, Sampler};
use nvml_support::reading::{Points, Worker, close, micros};
use nvml_support::{Fake, GIB, h100, mig, uuid};
use serde_json::{Value as Json, json};

fn used(pid: u32, memory: u64) -> Json {
    json!({"pid": pid, "memory": memory})
}

/// No process has such an id: the kernel's highest is 4194304.
const STRANGER: u32 = 900_000_000;

fn partitioned() -> Json {
    let mut gpu = h100(0);
    let mut slots = vec![
        Json::Null,
        mig(0, 1, 0, "1c.3g.40gb", [3, 1], 40),
        mig(0, 1, 1, "2c.3g.40gb", [3, 2], 40),
        mig(0, 9, 0, "1g.10gb", [1, 1], 10),
        Json::Null,
    ];
    slots[3]["compute"] = json!([{"pid": STRANGER, "memory": GIB}]);
    gpu["mig"] = json!({"mode": 1, "slots": slots});
    gpu["gpm"]["instances"] = json!({"1": {"1": 40.0, "10": 5.0}, "9": {"1": 100.0, "2": 250.0}});
    gpu
}

#[test]
fn mig_instances_are_told_with_profile_memory_once_and_their_processes() {
    let ours = std::process::id();
    let mut gpu = partitioned();
    gpu["compute"] = json!([
        {"pid": ours, "memory": 3 * GIB, "gi": 1, "ci": 1},
        {"pid": ours, "memory": 2 * GIB, "gi": 9, "ci": 0},
    ]);
    let mut fake = Fake::new(vec![gpu, h100(1)]);
    let mut worker = Worker::of(&fake);
    let points = worker.read();
    let instance = |gi: &'static str, ci: &'static str| {
        [
            ("nvidia.mig.gpu_instance.id", gi),
            ("nvidia.mig.compute_instance.id", ci),
        ]
    };
    close(points.value("nvidia.mig.enabled", &[("hw.id", &uuid(0))]), 1.0);
    close(points.value("nvidia.mig.enabled", &[("hw.id", &uuid(1))]), 0.0);
    assert_eq!(points.all("nvidia.mig.info", &[]).len(), 3);
    for (gi, ci, profile) in [
        ("1", "0", "1c.3g.40gb"),
        ("1", "1", "2c.3g.40gb"),
        ("9", "0", "1g.10gb"),
    ] {
        let [gi, ci] = instance(gi, ci);
        let profile = ("nvidia.mig.profile", profile);
        close(points.value("nvidia.mig.info", &[gi, ci, profile]), 1.0);
        close(points.value("nvidia.mig.multiprocessors", &[gi, ci]), 16.0);
    }
    let limits = points.all("nvidia.mig.memory.limit", &[]);
    let total: f64 = limits.iter().filter_map(|point| point.value.as_f64()).sum();
    assert_eq!(
        (limits.len(), total),
        (2, (50 * GIB) as f64),
        "memory is told once a GPU instance"
    );
    let of = [("nvidia.mig.gpu_instance.id", "1"), ("nvidia.mig.profile", "3g.40gb")];
    close(points.value("nvidia.mig.memory.usage", &of), GIB as f64);

    close(
        points.of_process("accel.process.memory.usage", ours, &instance("1", "1")),
        (3 * GIB) as f64,
    );
    close(
        points.of_process("accel.process.memory.usage", ours, &instance("9", "0")),
        (2 * GIB) as f64,
    );
    // One process in two instances.
    close(points.value("nvidia.processes", &[("hw.id", &uuid(0))]), 1.0);
    let of = [("hw.id", uuid(0)), ("nvidia.feature", "process_utilization".to_owned())];
    let of: Vec<_> = of.iter().map(|(key, value)| (*key, value.as_str())).collect();
    close(points.value("nvidia.feature.supported", &of), 0.0);
    assert!(points.all("accel.process.utilization", &[]).is_empty());

    // Without privilege the GPU's own handle lists no process, the instances' handles do.
    fake.change(|state| {
        state["devices"][0]["compute"] = json!([]);
        state["devices"][0]["fail"] = json!({"nvmlDeviceGetGraphicsRunningProcesses_v3": 4});
    });
    let points = worker.read();
    close(
        points.of_process("accel.process.memory.usage", STRANGER, &instance("9", "0")),
        GIB as f64,
    );

    // Instances are destroyed and recreated in the same slot.
    fake.change(|state| {
        state["devices"][0]["mig"]["slots"] = json!([null, null, null, mig(0, 4, 0, "2g.20gb", [2, 2], 20), null]);
    });
    let points = worker.read();
    assert_eq!(points.all("nvidia.mig.info", &[]).len(), 1);
    close(
        points.value("nvidia.mig.info", &[("nvidia.mig.profile", "2g.20gb")]),
        1.0,
    );
    // MIG is switched off: values that were refused are published again.
    fake.change(|state| {
        state["devices"][0]["mig"] = json!({"mode": 0, "slots": []});
        state["devices"][0]["compute"] = json!([used(ours, GIB)]);
    });
    let points = worker.read();
    assert!(points.all("nvidia.mig.info", &[]).is_empty());
    close(
        points.of_process("accel.process.utilization", ours, &[("hw.gpu.task", "general")]),
        0.0,
    );
}

#[test]
fn an_instance_that_is_destroyed_while_it_is_asked_takes_nothing_from_what_follows() {
    let mut gpu = partitioned();
    gpu["compute"] = json!([]);
    let mut fake = Fake::new(vec![gpu]);
    let mut worker = Worker::of(&fake);
    worker.read();
    let of = [
        ("nvidia.mig.gpu_instance.id", "9"),
        ("nvidia.mig.compute_instance.id", "0"),
    ];
    let calls = [
        "nvmlDeviceGetName",
        "nvmlDeviceGetAttributes_v2",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetComputeRunningProcesses_v3",
    ];
    let invalid: serde_json::Map<_, _> = calls.map(|call| (call.to_owned(), json!(2))).into_iter().collect();
    fake.change(|state| state["devices"][0]["mig"]["slots"][3]["fail"] = invalid.into());
    // As nvml.h specifies for a handle that is no longer valid.
    let points = worker.read();
    assert_eq!(points.all("nvidia.mig.memory.limit", &[]).len(), 1);
    fake.change(|state| state["devices"][0]["mig"]["slots"][3]["fail"] = json!({}));
    let points = worker.read();
    assert_eq!(points.all("nvidia.mig.memory.limit", &[]).len(), 2);
    close(
        points.value("nvidia.mig.info", &[of[0], of[1], ("nvidia.mig.profile", "1g.10gb")]),
        1.0,
    );
    close(
        points.of_process("accel.process.memory.usage", STRANGER, &of),
        GIB as f64,
    );
}

#[test]
fn gpm_tells_how_busy_gpus_and_instances_are_and_where_it_cannot() {
    let mut whole = h100(1);
    // A total: the difference between two samples is published.
    whole["gpm"]["metrics"] = json!({"1": {"total": 0.0}, "2": 12.5, "5": 100.2, "12": -1.0, "13": 1e300});
    let mut ampere = partitioned();
    ampere["values"]["nvmlDeviceGetUUID"] = json!(uuid(2));
    ampere["gpm"] = json!({"supported": 0});
    let mut fake = Fake::new(vec![partitioned(), whole, ampere]);
    let mut worker = Worker::of(&fake);
    let unit = |points: &Points, gpu: usize, instance: Option<&str>, unit: &str| {
        let id = uuid(gpu);
        let mut with = vec![("hw.id", id.as_str()), ("nvidia.gpm.unit", unit)];
        with.extend(instance.map(|id| ("nvidia.mig.gpu_instance.id", id)));
        points.value("nvidia.gpm.utilization", &with)
    };
    let supported = |points: &Points, gpu: usize| {
        points.value(
            "nvidia.feature.supported",
            &[("hw.id", &uuid(gpu)), ("nvidia.feature", "gpm")],
        )
    };
    // Present from the first reading on.
    let points = worker.read();
    close(unit(&points, 0, Some("1"), "graphics"), 0.4);
    close(unit(&points, 0, Some("1"), "dram"), 0.05);
    close(unit(&points, 0, Some("9"), "graphics"), 1.0);
    assert_eq!(unit(&points, 0, Some("9"), "sm"), None, "250 percent is no share");
    close(unit(&points, 1, None, "sm"), 0.125);
    close(unit(&points, 1, None, "tensor"), 1.0);
    for garbage in ["fp32", "fp16", "fp64"] {
        assert_eq!(unit(&points, 1, None, garbage), None);
    }
    close(supported(&points, 0), 1.0);
    close(supported(&points, 1), 1.0);
    // An A100's instances do not support it, which is published instead of a 0.
    close(supported(&points, 2), 0.0);
    assert!(points.all("nvidia.gpm.utilization", &[("hw.id", &uuid(2))]).is_empty());
    assert_eq!(points.all("nvidia.mig.info", &[("hw.id", &uuid(2))]).len(), 3);

    // The library aborts the process if samples are too close to each other: they are far enough apart here only
    // because the sampler waits.
    for total in [25, 75, 90] {
        let before = if total == 25 {
            0
        } else {
            total - [0, 50, 15][usize::from(total > 75) + 1]
        };
        fake.change(|state| state["devices"][1]["gpm"]["metrics"]["1"]["total"] = json!(total));
        std::thread::sleep(Duration::from_millis(130));
        let points = worker.read();
        close(unit(&points, 1, None, "graphics"), f64::from(total - before) / 100.0);
    }
    for _ in 0..5 {
        worker.read();
    }
}

#[test]
fn xids_are_counted_with_their_instance_and_outlive_the_gpu() {
    let mut fake = Fake::new(vec![partitioned(), h100(1)]);
    fake.change(|state| state["events"] = json!([{"device": 0, "data": 13}]));
    let mut worker = Worker::of(&fake);
    let xid = |points: &Points, gpu: usize, code: &str, more: &[(&str, &str)]| {
        let id = uuid(gpu);
        let mut with = vec![
            ("hw.id", id.as_str()),
            ("nvidia.xid", code),
            ("error.type", "xid"),
            ("hw.type", "gpu"),
        ];
        with.extend(more);
        points.value("hw.errors", &with)
    };
    let points = worker.read();
    let none = Some(0.0);
    assert_eq!(xid(&points, 0, "13", &[]), none, "what happened before is not replayed");
    close(
        points.value(
            "nvidia.feature.supported",
            &[("nvidia.feature", "xid"), ("hw.id", &uuid(0))],
        ),
        1.0,
    );

    let happen = |fake: &mut Fake, events: &[Json]| {
        fake.change(|state| state["events"].as_array_mut().unwrap().extend_from_slice(events));
    };
    let in_instance = json!({"device": 0, "data": 94, "gi": 9, "ci": 0});
    happen(
        &mut fake,
        &[
            in_instance.clone(),
            in_instance.clone(),
            json!({"device": 0, "data": 31}),
            // No XID, although its number looks like one.
            json!({"device": 0, "type": 1, "data": 48}),
            json!({"device": 1, "data": 31}),
        ],
    );
    let before = micros() as f64 / 1e6;
    let points = worker.read();
    let after = micros() as f64 / 1e6;
    let of_instance = [
        ("nvidia.mig.gpu_instance.id", "9"),
        ("nvidia.mig.compute_instance.id", "0"),
    ];
    close(xid(&points, 0, "94", &of_instance), 2.0);
    close(xid(&points, 0, "31", &[]), 1.0);
    close(xid(&points, 1, "31", &[]), 1.0);
    assert_eq!(xid(&points, 0, "48", &[]), none);
    let last = points.value("nvidia.xid.last_seen", &[("nvidia.xid", "94")]).unwrap();
    assert!(
        (before..=after).contains(&last),
        "{last} is not between {before} and {after}"
    );
    let start = points.all("hw.errors", &[("nvidia.xid", "94")])[0].start.unwrap();
    assert!(
        start.unix_nanos() as f64 / 1e9 <= before,
        "it grows since it is watched"
    );

    // The last event of a GPU that falls off the bus.
    happen(&mut fake, &[json!({"device": 0, "data": 79})]);
    fake.change(|state| state["devices"][0]["lost"] = json!(true));
    for _ in 0..2 {
        let points = worker.read();
        close(xid(&points, 0, "79", &[]), 1.0);
        close(xid(&points, 0, "94", &of_instance), 2.0);
        assert!(points.all("nvidia.mig.info", &[("hw.id", &uuid(0))]).is_empty());
    }
    // The other GPU is still watched.
    happen(&mut fake, &[json!({"device": 1, "data": 31})]);
    close(xid(&worker.read(), 1, "31", &[]), 2.0);
    // The event set fails: it is recreated, and no count is lost.
    fake.change(|state| state["fail"] = json!({"nvmlEventSetWait_v2": 999}));
    close(xid(&worker.read(), 1, "31", &[]), 2.0);
    fake.change(|state| state["fail"] = json!({}));
    worker.read();
    happen(&mut fake, &[json!({"device": 1, "data": 31})]);
    close(xid(&worker.read(), 1, "31", &[]), 3.0);
}

#[test]
fn what_is_counted_outlives_a_hang() {
    let mut gpu = h100(0);
    gpu["samples"]["1"] = json!([[micros() - 100_000, 20]]);
    let mut fake = Fake::new(vec![gpu, h100(1)]);
    let mut worker = Worker::with_patience(&fake, Duration::from_secs(10));
    worker.read_at_last();
    let now = micros();
    fake.change(|state| {
        state["devices"][0]["samples"]["1"] = json!([[now, 20], [now + 1, 60]]);
        state["events"] = json!([{"device": 0, "data": 62}, {"device": 1, "data": 62}]);
    });
    let before = worker.read_at_last();
    let start = before.all("hw.errors", &[("nvidia.xid", "62"), ("hw.id", &uuid(1))])[0].start;
    // An XID of a GPU that then does not answer: the XID is still published.
    fake.change(|state| {
        let events = state["events"].as_array_mut().unwrap();
        events.extend([json!({"device": 1, "data": 62}), json!({"device": 0, "data": 119})]);
        state["devices"][0]["hang"] = json!({"nvmlDeviceGetPowerUsage": "forever"});
    });
    let mut batches: Vec<Batch> = Vec::new();
    let outcome = worker.0.sample(&mut batches);
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
    let hung = Points(batches.into_iter().flat_map(|batch| batch.points).collect());
    let id = uuid(0);
    let of_hung = [("hw.id", id.as_str()), ("nvidia.xid", "119")];
    close(hung.value("hw.errors", &of_hung), 1.0);
    // The worker's next process continues where the hung one was.
    let points = worker.read_at_last();
    let again = points.all("hw.errors", &[("nvidia.xid", "62"), ("hw.id", &uuid(1))]);
    assert_eq!((again[0].value.as_f64(), again[0].start), (Some(2.0), start));
    close(points.value("hw.errors", &of_hung), 1.0);
    let distribution = |points: &Points| {
        let found = points.all("hw.gpu.utilization.distribution", &[("hw.id", &uuid(0))]);
        (found[0].value.clone(), found[0].start)
    };
    assert_eq!(distribution(&points), distribution(&before));
}

#[test]
fn what_was_told_is_not_taken_back_by_a_crash() {
    let mut fake = Fake::new(vec![h100(0)]);
    let mut worker = Worker::of(&fake);
    worker.read();
    let now = micros();
    fake.change(|state| {
        state["devices"][0]["samples"]["1"] = json!([[now, 20], [now + 1, 60]]);
        state["events"] = json!([{"device": 0, "data": 62}, {"device": 0, "data": 62}]);
    });
    let told = |points: &Points| {
        ["hw.errors", "hw.gpu.utilization.distribution"].map(|name| {
            let of = [("nvidia.xid", "62")];
            let of: &[_] = if name == "hw.errors" { &of } else { &[] };
            let found = points.all(name, of);
            (found[0].value.clone(), found[0].start)
        })
    };
    let before = told(&worker.read());
    assert_eq!(before[0].0, Value::Int(2));
    fake.change(|state| state["crash"] = json!({"nvmlDeviceGetPowerUsage": "segv"}));
    let outcome = worker.0.sample(&mut Vec::new());
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
    fake.change(|state| state["crash"] = json!({}));
    assert_eq!(told(&worker.read_at_last()), before);
}

#[test]
fn a_lost_gpu_takes_its_processes_with_it_and_nobody_elses() {
    let ours = std::process::id();
    let mut gpus = vec![h100(0), h100(1)];
    for gpu in &mut gpus {
        gpu["compute"] = json!([used(ours, GIB)]);
        gpu["samples"]["1"] = json!([[micros() - 1000, 50]]);
    }
    let mut fake = Fake::new(gpus);
    let mut worker = Worker::of(&fake);
    worker.read();
    fake.change(|state| state["devices"][0]["lost"] = json!(true));
    let points = worker.read();
    let names = [
        "accel.process.memory.usage",
        "accel.process.utilization",
        "nvidia.processes",
        "nvidia.processes.hidden",
        "nvidia.process.info",
        "hw.gpu.utilization.distribution",
        "nvidia.feature.supported",
        "nvidia.mig.enabled",
    ];
    for name in names {
        let lost = points.all(name, &[("hw.id", &uuid(0))]);
        assert!(lost.is_empty(), "{name} is told of a lost GPU: {lost:?}");
        assert!(
            !points.all(name, &[("hw.id", &uuid(1))]).is_empty(),
            "{name} of the other GPU is lost too"
        );
    }
    fake.change(|state| state["devices"][0]["lost"] = json!(false));
    let points = worker.read();
    close(
        points.of_process("accel.process.memory.usage", ours, &[("hw.id", &uuid(0))]),
        GIB as f64,
    );
}

#[test]
fn a_burst_is_seen_and_no_sample_is_counted_twice() {
    let mut gpu = h100(0);
    let begin = micros();
    gpu["samples"]["1"] = json!([[begin - 30_000_000, 100], [begin - 100_000, 20]]);
    let mut fake = Fake::new(vec![gpu]);
    let mut worker = Worker::of(&fake);
    let distribution = |points: &Points| {
        let found = points.all("hw.gpu.utilization.distribution", &[]);
        let Value::Histogram(histogram) = &found[0].value else {
            panic!("{found:?}")
        };
        (histogram.buckets.to_vec(), histogram.count, histogram.sum)
    };
    let most = |points: &Points| points.value("hw.gpu.utilization.max", &[]);
    let points = worker.read();
    assert_eq!(
        distribution(&points),
        (vec![0; 8], 0, 0.0),
        "nothing from before it began"
    );
    // Where this machine took more than a second for it, nothing is recent.
    assert!(most(&points).is_none_or(|most| (most - 0.2).abs() < 1e-9));

    // A burst of one sample in an idle second.
    let now = micros();
    fake.change(|state| {
        let samples: Vec<Json> = (0..6)
            .map(|at| json!([now + at, if at == 3 { 97 } else { 0 }]))
            .collect();
        state["devices"][0]["samples"]["1"]
            .as_array_mut()
            .unwrap()
            .extend(samples);
    });
    let points = worker.read();
    let (buckets, count, sum) = distribution(&points);
    assert_eq!((buckets, count), (vec![5, 0, 0, 0, 0, 0, 1, 0], 6));
    close(Some(sum), 0.97);
    close(most(&points), 0.97);
    let points = worker.read();
    assert_eq!(distribution(&points).1, 6, "the same buffer was counted again");
    assert_eq!(most(&points), None, "there was no sample since");

    // On each bound, and far beyond them.
    let now = micros();
    fake.change(|state| {
        let percents = [10, 25, 50, 75, 90, 100, 101, 4_000_000_000_u64];
        let samples: Vec<Json> = percents
            .iter()
            .enumerate()
            .map(|(at, percent)| json!([now + at as u64, percent]))
            .collect();
        state["devices"][0]["samples"]["1"] = samples.into();
    });
    assert_eq!(distribution(&worker.read()).0, [5, 1, 1, 1, 1, 1, 2, 0]);
}
