//! Quarantine of calls that hang or crash repeatedly, at almost no cost for the other samplers.

use std::time::{Duration, Instant};

use accelscope_core::metric::{Point, Timestamp};
use accelscope_core::sampler::Outcome;
use accelscope_core::worker::WorkerSampler;
use serde_json::{Value, json};

use super::nvml_support::{Fake, h100, uuid};
use super::{LONG, SHORT, close, find, resting, run, sampled, until_sampled, value, worker};

/// Every function that is called with a GPU's existing handle.
fn everything() -> Value {
    let h100 = h100(0);
    let named = h100["values"].as_object().unwrap().keys().cloned();
    let more = [
        "FieldValues",
        "MigMode",
        "MemoryInfo_v2",
        "PciInfo_v3",
        "ProcessUtilization",
        "ComputeRunningProcesses_v3",
        "MPSComputeRunningProcesses_v3",
        "GraphicsRunningProcesses_v3",
        "Samples",
        "NumFans",
    ];
    let more = more.iter().map(|name| format!("nvmlDeviceGet{name}"));
    named
        .chain(more)
        .map(|name| (name, json!("forever")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Whether the GPU's power was read in this run.
fn is_fresh(points: &[Point], gpu: usize, since: Timestamp) -> bool {
    find(points, "hw.power", gpu, &[]).is_some_and(|point| point.time >= since)
}

/// The next run that is not a pause after a failure, with its start time.
fn next(worker: &mut WorkerSampler) -> (Timestamp, Outcome, Vec<Point>) {
    let until = Instant::now() + LONG;
    loop {
        let begin = Timestamp::now();
        let (outcome, points) = run(worker);
        match &outcome {
            Outcome::Retry(error) if error.to_string().contains("it is started again in") => {
                assert!(Instant::now() < until, "{error}");
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => return (begin, outcome, points),
        }
    }
}

#[test]
fn a_gpu_that_hangs_whatever_it_is_asked_costs_the_others_one_sample() {
    costs_the_others_one_sample(everything());
}

#[test]
fn a_gpu_that_can_be_found_and_then_hangs_costs_the_others_one_sample() {
    let mut hang = everything();
    hang.as_object_mut().unwrap().remove("nvmlDeviceGetMigMode");
    costs_the_others_one_sample(hang);
}

/// Runs while the second of three GPUs hangs in these functions.
fn costs_the_others_one_sample(hang: Value) {
    let mut fake = Fake::new(vec![h100(0), h100(1), h100(2)]);
    let mut worker = worker(&fake, SHORT);
    until_sampled(&mut worker, |points| !points.is_empty());
    fake.change(|state| state["devices"][1]["hang"] = hang);
    let mut missed = [0; 3];
    let mut runs = 0;
    let points = loop {
        let (begin, outcome, points) = next(&mut worker);
        for (gpu, missed) in missed.iter_mut().enumerate() {
            *missed += usize::from(!is_fresh(&points, gpu, begin));
        }
        runs += 1;
        if matches!(outcome, Outcome::Sampled) {
            break points;
        }
        assert!(runs < 10, "{outcome:?}");
    };
    assert!(
        missed[0] <= 1 && missed[2] <= 1,
        "{missed:?} of {runs} runs were missed"
    );
    // Its suspension is published, and no value of it.
    let of = |name: &str, more: &[(&str, &str)]| value(&points, name, 1, more);
    let suspended = [("nvidia.topic", "all"), ("error.type", "hung")];
    close(of("nvidia.reading.suspended", &suspended), 1.0);
    close(of("hw.status", &[("hw.state", "failed")]), 1.0);
    for absent in ["hw.power", "hw.gpu.memory.usage", "nvidia.processes", "hw.energy"] {
        assert_eq!(of(absent, &[]), None, "{absent}");
    }
    assert!(find(&points, "nvidia.reading.suspended", 0, &[]).is_none());
    for _ in 0..3 {
        let begin = Timestamp::now();
        let points = sampled(&mut worker);
        assert!(is_fresh(&points, 0, begin) && is_fresh(&points, 2, begin));
    }
}

#[test]
fn what_is_tried_again_is_tried_after_all_else_and_comes_back_when_it_works() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let mut worker = resting(&fake, SHORT, Duration::from_secs(1));
    until_sampled(&mut worker, |points| !points.is_empty());
    // The first GPU's second topic: the remaining ones would wait for it.
    let hang = json!({"nvmlDeviceGetUtilizationRates": "forever"});
    fake.change(|state| state["devices"][0]["hang"] = hang);
    let (_, outcome, _) = next(&mut worker);
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
    let mut trials = 0;
    let until = Instant::now() + LONG;
    while trials < 2 {
        let (begin, outcome, points) = next(&mut worker);
        assert!(is_fresh(&points, 1, begin), "{outcome:?}");
        if let Outcome::Retry(error) = outcome {
            let what = format!("utilization of {}", uuid(0));
            assert!(error.to_string().contains(&what), "{error}");
            trials += 1;
        } else {
            assert!(is_fresh(&points, 0, begin), "all but one topic of it works");
            let topic = [("nvidia.topic", "utilization")];
            close(value(&points, "nvidia.reading.suspended", 0, &topic), 1.0);
        }
        assert!(Instant::now() < until, "{trials} trials");
        std::thread::sleep(Duration::from_millis(50));
    }
    fake.change(|state| state["devices"][0]["hang"] = json!({}));
    let general = [("hw.gpu.task", "general")];
    let points = until_sampled(&mut worker, |points| {
        value(points, "hw.gpu.utilization", 0, &general).is_some()
    });
    assert!(find(&points, "nvidia.reading.suspended", 0, &[]).is_none());
}

#[test]
fn a_topic_that_crashes_is_left_alone_and_all_else_is_read() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let mut worker = worker(&fake, LONG);
    sampled(&mut worker);
    let crash = json!({"nvmlDeviceGetEccMode": "segv"});
    fake.change(|state| state["devices"][1]["crash"] = crash.clone());
    let (_, outcome, points) = next(&mut worker);
    assert!(matches!(outcome, Outcome::Retry(_)) && points.is_empty(), "{outcome:?}");
    let (begin, outcome, points) = next(&mut worker);
    assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
    assert!(is_fresh(&points, 0, begin) && is_fresh(&points, 1, begin));
    let suspended = [("nvidia.topic", "ecc"), ("error.type", "crashed")];
    close(value(&points, "nvidia.reading.suspended", 1, &suspended), 1.0);
    assert_eq!(value(&points, "nvidia.ecc.enabled", 1, &[]), None);
    close(value(&points, "nvidia.ecc.enabled", 0, &[]), 1.0);
    // After a second GPU the library itself counts as faulty: no third GPU is tried.
    fake.change(|state| state["crash"] = crash);
    assert!(matches!(next(&mut worker).1, Outcome::Retry(_)));
    let (_, outcome, points) = next(&mut worker);
    assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
    for gpu in [0, 1] {
        close(value(&points, "nvidia.reading.suspended", gpu, &suspended), 1.0);
        close(value(&points, "hw.status", gpu, &[("hw.state", "ok")]), 1.0);
    }
}
