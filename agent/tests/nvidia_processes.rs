//! Processes on GPUs of the fake library, through the worker.
#![cfg(feature = "nvidia")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod nvml_support;

use nvml_support::reading::{Points, Worker, close, micros};
use nvml_support::{Fake, GIB, h100, uuid};
use serde_json::{Value as Json, json};

const MIB: u64 = 1 << 20;

fn used(pid: u32, memory: u64) -> Json {
    json!({"pid": pid, "memory": memory})
}

/// No process has such an id: the kernel's highest is 4194304.
const STRANGER: u32 = 900_000_000;

fn strangers(count: u32) -> Vec<Json> {
    (0..count)
        .map(|one| used(STRANGER + one, u64::from(one) * MIB))
        .collect()
}

#[test]
fn every_process_of_a_list_that_changes_is_told_and_belongs_to_whom_it_is() {
    let ours = std::process::id();
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let mut worker = Worker::of(&fake);
    let points = worker.read();
    close(points.value("nvidia.processes", &[("hw.id", &uuid(0))]), 0.0);

    for count in [300, 3, 1000, 64, 0] {
        fake.change(|state| {
            let mut all = strangers(count);
            all.push(used(ours, 5 * GIB));
            state["devices"][0]["compute"] = all.into();
            // A library that reports too small a length is called again with more room.
            state["devices"][0]["says"] = json!({"compute": 1});
        });
        let points = worker.read();
        let of_gpu = [("hw.id", uuid(0))];
        let of_gpu: Vec<_> = of_gpu.iter().map(|(key, id)| (*key, id.as_str())).collect();
        let memory = points.all("accel.process.memory.usage", &of_gpu);
        assert_eq!(memory.len(), count as usize + 1);
        let total: f64 = memory.iter().filter_map(|point| point.value.as_f64()).sum();
        let strangers = u64::from(count * count.saturating_sub(1) / 2) * MIB;
        close(Some(total), (5 * GIB + strangers) as f64);
        close(points.value("nvidia.processes", &of_gpu), f64::from(count) + 1.0);
        close(points.value("nvidia.processes.hidden", &of_gpu), f64::from(count));
        let owned: Vec<_> = memory.iter().filter(|point| point.owner.is_some()).collect();
        assert_eq!(owned.len(), 1, "only this process is there");
        close(
            points.of_process("accel.process.memory.usage", ours, &of_gpu),
            (5 * GIB) as f64,
        );
        close(points.value("nvidia.processes", &[("hw.id", &uuid(1))]), 0.0);
    }
}

#[test]
fn a_process_in_several_lists_is_one_and_unknown_memory_is_no_memory() {
    let ours = std::process::id();
    let mut gpu = h100(0);
    gpu["compute"] = json!([used(ours, 2 * GIB), {"pid": STRANGER}]);
    gpu["graphics"] = json!([used(ours, 2 * GIB)]);
    gpu["mps"] = json!([used(ours, 2 * GIB)]);
    // One whose start is known from outside.
    let before = micros() as f64 / 1e6;
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let after = micros() as f64 / 1e6;
    gpu["compute"].as_array_mut().unwrap().push(used(child.id(), GIB));
    let points = Worker::of(&Fake::new(vec![gpu])).read();
    child.kill().unwrap();
    child.wait().unwrap();
    close(
        points.of_process("accel.process.memory.usage", ours, &[]),
        (2 * GIB) as f64,
    );
    assert_eq!(points.of_process("accel.process.memory.usage", STRANGER, &[]), None);
    close(points.value("nvidia.processes", &[]), 3.0);
    let kinds = [("nvidia.process.type", "mps+compute+graphics")];
    close(points.of_process("nvidia.process.info", ours, &kinds), 1.0);
    let kinds = [("nvidia.process.type", "compute")];
    close(points.of_process("nvidia.process.info", STRANGER, &kinds), 1.0);
    let told = points.of_process("accel.process.start_time", child.id(), &[]).unwrap();
    // The kernel tells the time of the boot in whole seconds.
    assert!(
        (before - 2.0..=after + 2.0).contains(&told),
        "{told} is not between {before} and {after}"
    );
    assert_eq!(points.of_process("accel.process.start_time", STRANGER, &[]), None);
}

#[test]
fn drivers_of_every_age_have_process_lists() {
    let ours = std::process::id();
    let third = [
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    ];
    let second = [
        "nvmlDeviceGetComputeRunningProcesses_v2",
        "nvmlDeviceGetGraphicsRunningProcesses_v2",
        "nvmlDeviceGetMPSComputeRunningProcesses_v2",
    ];
    for missing in [&third[..], &[third, second].concat()] {
        let mut gpu = h100(0);
        gpu["compute"] = json!(strangers(100));
        gpu["graphics"] = json!([used(ours, 7 * MIB), used(STRANGER + 1000, 9 * MIB)]);
        let points = Worker::of(&Fake::without(missing, vec![gpu])).read();
        close(points.value("nvidia.processes", &[]), 102.0);
        close(
            points.of_process("accel.process.memory.usage", ours, &[]),
            (7 * MIB) as f64,
        );
        close(
            points.of_process("accel.process.memory.usage", STRANGER + 99, &[]),
            (99 * MIB) as f64,
        );
    }
}

#[test]
fn drivers_that_write_longer_entries_into_the_same_list_are_known() {
    let ours = std::process::id();
    let mut gpu = h100(0);
    gpu["compute"] = json!([
        used(STRANGER, 3 * MIB),
        used(ours, 7 * MIB),
        used(STRANGER + 1, 9 * MIB)
    ]);
    let mut fake = Fake::without(&["nvmlDeviceGetRunningProcessDetailList"], vec![gpu]);
    fake.change(|state| {
        state["wide"] = json!(true);
        state["values"]["nvmlSystemGetDriverVersion"] = json!("535.54.03");
    });
    let mut worker = Worker::of(&fake);
    let points = worker.read();
    close(points.value("nvidia.processes", &[]), 3.0);
    for (pid, memory) in [(STRANGER, 3.0), (ours, 7.0), (STRANGER + 1, 9.0)] {
        close(
            points.of_process("accel.process.memory.usage", pid, &[]),
            memory * MIB as f64,
        );
    }
    // As many as fit into the first attempt if an entry has the assumed length.
    fake.change(|state| state["devices"][0]["compute"] = json!(strangers(64)));
    close(worker.read().value("nvidia.processes", &[]), 64.0);
}

#[test]
fn functions_that_the_library_lacks_lose_only_what_they_tell() {
    let missing = [
        "nvmlDeviceGetMPSComputeRunningProcesses",
        "nvmlDeviceGetMPSComputeRunningProcesses_v2",
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
        "nvmlDeviceGetProcessUtilization",
        "nvmlDeviceGetSamples",
        "nvmlDeviceGetMigMode",
        "nvmlGpmQueryDeviceSupport",
        "nvmlEventSetCreate",
        "nvmlEventSetFree",
        "nvmlEventSetWait_v2",
        "nvmlDeviceRegisterEvents",
    ];
    let mut gpu = h100(0);
    gpu["compute"] = json!([used(STRANGER, GIB)]);
    let fake = Fake::without(&missing, vec![gpu]);
    let mut worker = Worker::of(&fake);
    for _ in 0..2 {
        let points = worker.read();
        close(
            points.of_process("accel.process.memory.usage", STRANGER, &[]),
            GIB as f64,
        );
        for feature in ["process_utilization", "utilization_samples", "gpm", "xid"] {
            close(
                points.value("nvidia.feature.supported", &[("nvidia.feature", feature)]),
                0.0,
            );
        }
        for absent in [
            "accel.process.utilization",
            "hw.gpu.utilization.distribution",
            "hw.gpu.utilization.max",
            "nvidia.gpm.utilization",
            "nvidia.mig.enabled",
            "hw.errors",
        ] {
            let found = points.all(absent, &[]);
            let xids = found
                .iter()
                .filter(|point| absent != "hw.errors" || point.attributes.get("nvidia.xid").is_some());
            assert_eq!(xids.count(), 0, "{absent}");
        }
    }
}

#[test]
fn utilization_is_that_of_new_samples_and_garbage_is_none() {
    let ours = std::process::id();
    let (idle, zombie, wild) = (STRANGER, STRANGER + 1, STRANGER + 2);
    let mut gpu = h100(0);
    gpu["compute"] = json!([used(ours, GIB), used(idle, GIB), used(zombie, GIB), used(wild, GIB)]);
    let stale = micros() - 60_000_000;
    gpu["utilization"] = json!([
        {"pid": ours, "time": stale, "sm": 99, "memory": 99, "encoder": 99, "decoder": 99},
    ]);
    let mut fake = Fake::new(vec![gpu]);
    let mut worker = Worker::of(&fake);
    let share =
        |points: &Points, pid, unit| points.of_process("accel.process.utilization", pid, &[("hw.gpu.task", unit)]);

    // What ran a minute ago is idle now.
    let points = worker.read();
    close(share(&points, ours, "general"), 0.0);
    close(
        points.value("nvidia.feature.supported", &[("nvidia.feature", "process_utilization")]),
        1.0,
    );

    let now = micros();
    fake.change(|state| {
        state["devices"][0]["utilization"] = json!([
            {"pid": ours, "time": now, "sm": 80, "memory": 30, "encoder": 20, "decoder": 10},
            {"pid": zombie, "time": now - 1, "sm": 4_000_000_000_u32, "memory": 0, "encoder": 0, "decoder": 0},
            {"pid": wild, "time": now - 2, "sm": 101, "memory": 1, "encoder": 1, "decoder": 1},
        ]);
    });
    let points = worker.read();
    for (unit, expected) in [("general", 0.8), ("memory", 0.3), ("encoder", 0.2), ("decoder", 0.1)] {
        close(share(&points, ours, unit), expected);
        close(share(&points, idle, unit), 0.0);
        assert_eq!(share(&points, zombie, unit), None, "garbage became a number");
        assert_eq!(share(&points, wild, unit), None, "garbage became a number");
    }
    // Repeated samples are not new: NOT_FOUND, all idle.
    let points = worker.read();
    close(share(&points, ours, "general"), 0.0);
    // Of a process that is in no list, in another namespace.
    let later = micros();
    fake.change(|state| {
        state["devices"][0]["compute"] = json!([used(ours, GIB)]);
        let sample = json!({"pid": STRANGER + 5, "time": later, "sm": 50, "memory": 0, "encoder": 0, "decoder": 0});
        state["devices"][0]["utilization"] = json!([sample]);
    });
    let points = worker.read();
    close(points.value("nvidia.processes", &[]), 1.0);
    close(points.value("nvidia.processes.hidden", &[]), 1.0);
}
