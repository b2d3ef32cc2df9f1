//! Counters of rare events: 0 from the first reading on, so that a rate sees the first event.

use serde_json::{Value, json};

use super::nvml_support::{Fake, h100, uuid};
use super::{Agent, command, samples};

/// Two healthy GPUs, and one without ECC and XIDs.
fn gpus() -> Fake {
    let mut gpus: Vec<Value> = (0..3).map(h100).collect();
    for gpu in &mut gpus {
        gpu["values"]["nvmlDeviceGetPcieReplayCounter"] = json!(0);
        gpu["values"]["nvmlDeviceGetTotalEccErrors"] = json!({"0,0": 0, "0,1": 0, "1,0": 0, "1,1": 0});
        gpu["values"]["nvmlDeviceGetRemappedRows"] = json!([0, 0, 0, 0]);
    }
    gpus[2]["values"]["nvmlDeviceGetEccMode"] = json!([0, 0]);
    gpus[2]["values"]["nvmlDeviceGetSupportedEventTypes"] = json!(0);
    Fake::new(gpus)
}

#[test]
fn a_scrape_before_the_first_event_has_zeros_of_every_gpu_that_counts_it() {
    let mut fake = gpus();
    let agent = Agent::start(&fake);
    let text = agent.until("all GPUs", |text| {
        samples(text, "nvidia_pcie_replays_total", &[]).len() == 3
    });
    for gpu in [0, 1] {
        let id = uuid(gpu);
        let of = |name: &str, more: &[(&str, &str)]| samples(&text, name, &[&[("hw_id", id.as_str())], more].concat());
        assert_eq!(of("nvidia_xid_events_total", &[]), [0.0]);
        for xid in ["31", "48", "79", "119"] {
            assert_eq!(
                of("hw_errors_total", &[("error_type", "xid"), ("nvidia_xid", xid)]),
                [0.0]
            );
        }
        for kind in ["corrected", "uncorrected"] {
            assert_eq!(of("hw_errors_total", &[("error_type", kind)]), [0.0]);
            assert_eq!(of("nvidia_remapped_rows", &[("error_type", kind)]), [0.0]);
        }
        assert_eq!(of("nvidia_pcie_replays_total", &[]), [0.0]);
        assert!(of("nvidia_xid_last_seen_seconds", &[]).is_empty(), "there was none");
    }
    // Not supported or off is not 0.
    let id = uuid(2);
    let of = |name: &str| samples(&text, name, &[("hw_id", id.as_str())]);
    assert_eq!((of("hw_errors_total"), of("nvidia_xid_events_total")), (vec![], vec![]));
    for reason in ["hung", "exited", "deadline", "driver_replaced", "silent"] {
        let of = [("agent_sampler", "nvidia"), ("agent_reason", reason)];
        assert_eq!(samples(&text, "agent_worker_restarts_total", &of), [0.0], "{reason}");
    }
    // The first event makes a difference of one: of its code, of all codes, and of no other GPU.
    fake.change(|state| state["events"] = json!([{"device": 1, "data": 79}, {"device": 1, "data": 170}]));
    let id = uuid(1);
    let text = agent.until_value("nvidia_xid_events_total", &[("hw_id", &id)], 2.0);
    let of_code = |gpu, code| {
        let id: &str = &uuid(gpu);
        samples(&text, "hw_errors_total", &[("hw_id", id), ("nvidia_xid", code)])
    };
    assert_eq!((of_code(1, "79"), of_code(1, "170")), (vec![1.0], vec![1.0]));
    assert_eq!((of_code(0, "79"), of_code(0, "170")), (vec![0.0], vec![]));
    let of_gpu = [("hw_id", id.as_str()), ("error_type", "xid")];
    let sum: f64 = samples(&text, "hw_errors_total", &of_gpu).iter().sum();
    assert!((sum - 2.0).abs() < 1e-9, "a sum counts each event once: {sum}");
}

#[test]
fn the_first_reading_that_is_printed_or_pushed_has_them_too() {
    let fake = gpus();
    let seen = command(&fake, &["--stdout", "--once", "--format", "json"])
        .output()
        .unwrap();
    let lines = String::from_utf8(seen.stdout).unwrap();
    let points: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str, key: &str, value: &Value| {
        let fits = |point: &&Value| {
            point["name"] == name && point["attributes"]["hw.id"] == uuid(0) && point["attributes"][key] == *value
        };
        let found: Vec<_> = points.iter().filter(fits).collect();
        found.first().map(|point| (point["value"].clone(), found.len()))
    };
    let zero = Some((json!(0), 1));
    assert_eq!(of("nvidia.xid.events", "hw.id", &json!(uuid(0))), zero);
    assert_eq!(of("hw.errors", "nvidia.xid", &json!(79)), zero);
    assert_eq!(of("hw.errors", "error.type", &json!("uncorrected")), zero);
}
