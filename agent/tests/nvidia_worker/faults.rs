//! Published values during failures.

use std::time::Duration;

use accelscope_core::host::HostRoots;
use accelscope_core::metric::Point;
use accelscope_core::sampler::Outcome;
use accelscope_nvidia::{Launch, Settings, sampler};
use serde_json::json;

use super::nvml_support::{Fake, h100, uuid};
use super::{LONG, SHORT, close, find, resting, run, sampled, until_sampled, value, worker};

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
fn a_gpu_whose_handle_is_that_of_another_by_now_is_not_read_through_it() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let mut worker = worker(&fake, LONG);
    sampled(&mut worker);
    fake.change(|state| {
        let device = &mut state["devices"][1];
        device["values"]["nvmlDeviceGetUUID"] = json!(uuid(2));
        device["fail"] = json!({"nvmlDeviceGetHandleByIndex_v2": 999});
    });
    let points = sampled(&mut worker);
    close(value(&points, "hw.status", 1, &[("hw.state", "failed")]), 1.0);
    assert_eq!(value(&points, "hw.power", 1, &[]), None, "it is that of another");
    close(value(&points, "hw.power", 0, &[]), 250.0);
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
    launch.patience = LONG;
    let points = sampled(&mut sampler(launch).unwrap());
    close(value(&points, "hw.status", 1, &[("hw.state", "failed")]), 1.0);
    close(value(&points, "hw.status", 0, &[("hw.state", "ok")]), 1.0);
}

#[test]
fn a_reading_that_hangs_costs_one_topic_of_one_gpu() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let mut worker = worker(&fake, SHORT);
    until_sampled(&mut worker, |points| !points.is_empty());
    fake.change(|state| state["devices"][0]["hang"] = json!({"nvmlDeviceGetEccMode": "forever"}));
    let (outcome, points) = run(&mut worker);
    let Outcome::Retry(error) = outcome else {
        panic!("{outcome:?}")
    };
    let error = error.to_string();
    assert!(error.contains("ecc") && error.contains(&uuid(0)), "{error}");
    close(value(&points, "hw.power", 0, &[]), 250.0);
    close(value(&points, "hw.power", 1, &[]), 250.001);
    // Without a pause: the next process skips the call that hung.
    let points = until_sampled(&mut worker, |points| {
        value(points, "nvidia.ecc.enabled", 1, &[]).is_some()
    });
    assert_eq!(value(&points, "nvidia.ecc.enabled", 0, &[]), None);
    close(value(&points, "nvidia.ecc.enabled", 1, &[]), 1.0);
    close(value(&points, "hw.power", 0, &[]), 250.0);
    close(
        value(&points, "nvidia.nvlink.io", 0, &[("network.io.direction", "receive")]),
        2_048_000.0,
    );
}

/// Seconds in which a start and a reading are over also on a busy machine.
const SHORTEST: u64 = 4;

#[test]
fn a_start_that_hangs_does_not_hang_the_sampler_and_is_over_when_the_driver_is() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["hang"] = json!({"nvmlInit_v2": 3 * SHORTEST}));
    let mut worker = worker(&fake, Duration::from_secs(SHORTEST));
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
    let mut worker = resting(&fake, LONG, Duration::from_secs(1));
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
    let energy = |points: &[Point]| find(points, "hw.energy", 0, &[]).unwrap().clone();
    let first = energy(&sampled(&mut worker));
    // All handles are void.
    fake.change(|state| state["generation"] = json!(2));
    let points = until_sampled(&mut worker, |points| value(points, "hw.power", 0, &[]).is_some());
    let second = energy(&points);
    assert_eq!(second.start, first.start, "it went on");
    // Here the GPU's counters restarted as well.
    fake.change(|state| {
        state["generation"] = json!(3);
        state["devices"][0]["values"]["nvmlDeviceGetTotalEnergyConsumption"] = json!(1500);
    });
    let points = until_sampled(&mut worker, |points| value(points, "hw.power", 0, &[]).is_some());
    let third = energy(&points);
    assert_eq!((third.value.as_f64(), third.start), (Some(1.5), Some(second.time)));
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
fn nothing_to_read_is_no_error() {
    let fake = Fake::new(vec![]);
    let (outcome, points) = run(&mut worker(&fake, LONG));
    assert!(points.iter().all(|point| point.attributes.get("hw.id").is_none()));
    assert!(
        matches!(&outcome, Outcome::NothingHere(why) if why.contains("no GPU")),
        "{outcome:?}"
    );
}
