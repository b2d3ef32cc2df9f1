//! An XID belongs to the GPU that its event names, and to an instance only where there is one.

use serde_json::{Value, json};

use super::nvml_support::{Fake, h100, mig, uuid};
use super::{Agent, has_label, samples};

fn happen(fake: &mut Fake, events: &Value) {
    let events = events.as_array().unwrap();
    fake.change(|state| state["events"].as_array_mut().unwrap().extend_from_slice(events));
}

/// Events of that code and GPU.
fn count(text: &str, gpu: usize, code: &str, more: &[(&str, &str)]) -> f64 {
    let id: &str = &uuid(gpu);
    let of = [("hw_id", id), ("nvidia_xid", code), ("error_type", "xid")];
    samples(text, "hw_errors_total", &[&of, more].concat()).iter().sum()
}

/// Events of that code of each GPU.
fn counts<const N: usize>(text: &str, code: &str) -> [f64; N] {
    std::array::from_fn(|gpu| count(text, gpu, code, &[]))
}

/// Waits until every GPU is watched.
fn until_watched(agent: &Agent, gpus: usize) {
    agent.until("watched GPUs", |text| {
        samples(text, "nvidia_feature_supported", &[("nvidia_feature", "xid")]) == vec![1.0; gpus]
    });
}

/// Waits until so many events of all GPUs are counted.
fn until_counted(agent: &Agent, events: f64) -> String {
    let sum = |text: &str| {
        samples(text, "hw_errors_total", &[("error_type", "xid")])
            .iter()
            .sum::<f64>()
    };
    agent.until(&format!("{events} events"), |text| (sum(text) - events).abs() < 1e-9)
}

#[test]
fn an_event_in_another_gpus_set_is_of_the_gpu_that_it_names() {
    let mut fake = Fake::new(vec![h100(0), h100(1), h100(2)]);
    let agent = Agent::start(&fake);
    until_watched(&agent, 3);
    // Instance 0 of a GPU that has none.
    happen(
        &mut fake,
        &json!([
            {"device": 2, "data": 79, "gi": 0, "ci": 0, "set": 0},
            {"device": 1, "data": 31, "gi": 0, "ci": 0, "set": 2},
        ]),
    );
    let text = until_counted(&agent, 2.0);
    assert_eq!(
        (counts(&text, "79"), counts(&text, "31")),
        ([0.0, 0.0, 1.0], [0.0, 1.0, 0.0])
    );
    assert!(
        !has_label(&text, "hw_errors_total", "nvidia_mig_gpu_instance_id"),
        "{text}"
    );
}

#[test]
fn the_last_event_of_a_gpu_that_is_lost_is_its_own() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let agent = Agent::start(&fake);
    until_watched(&agent, 2);
    fake.change(|state| {
        state["devices"][1]["lost"] = json!(true);
        state["events"] = json!([{"device": 1, "data": 79, "set": 0}]);
    });
    let text = until_counted(&agent, 1.0);
    assert_eq!(counts(&text, "79"), [0.0, 1.0]);
    // Once more, after its handle was given up.
    let id = uuid(1);
    agent.until_value("hw_status", &[("hw_id", &id), ("hw_state", "failed")], 1.0);
    happen(&mut fake, &json!([{"device": 1, "data": 79, "set": 0}]));
    assert_eq!(counts(&until_counted(&agent, 2.0), "79"), [0.0, 2.0]);
}

#[test]
fn an_event_after_the_gpus_were_enumerated_anew_is_of_the_gpu_that_is_there_now() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let agent = Agent::start(&fake);
    until_watched(&agent, 2);
    fake.change(|state| state["devices"].as_array_mut().unwrap().swap(0, 1));
    let first = uuid(0);
    agent.until("the new order", |text| {
        samples(
            text,
            "nvidia_device_info",
            &[("hw_id", &first), ("nvidia_gpu_index", "1")],
        ) == [1.0]
    });
    happen(&mut fake, &json!([{"device": 1, "data": 62, "set": 0}]));
    assert_eq!(counts(&until_counted(&agent, 1.0), "62"), [1.0, 0.0]);
    let text = agent.metrics();
    assert_eq!(
        samples(&text, "agent_worker_restarts_total", &[]).iter().sum::<f64>(),
        0.0
    );
}

#[test]
fn an_instance_is_named_where_there_is_one() {
    let mut gpu = h100(0);
    gpu["mig"] = json!({"mode": 1, "slots": [mig(0, 9, 0, "1g.10gb", [1, 1], 10)]});
    let mut fake = Fake::new(vec![gpu, h100(1)]);
    let agent = Agent::start(&fake);
    until_watched(&agent, 2);
    let id = uuid(0);
    agent.until("the instance", |text| {
        !samples(text, "nvidia_mig_info", &[("hw_id", &id)]).is_empty()
    });
    happen(
        &mut fake,
        &json!([
            {"device": 0, "data": 94, "gi": 9, "ci": 0},
            // Of the whole GPU.
            {"device": 0, "data": 95},
            {"device": 0, "data": 95, "gi": 0, "ci": 0},
            // Another type of event, and an instance where there are none.
            {"device": 0, "data": 48, "type": 1},
            {"device": 1, "data": 94, "gi": 9, "ci": 0},
        ]),
    );
    let text = until_counted(&agent, 4.0);
    let instance = [
        ("nvidia_mig_gpu_instance_id", "9"),
        ("nvidia_mig_compute_instance_id", "0"),
    ];
    assert_eq!(counts(&text, "94"), [1.0, 1.0]);
    assert_eq!(
        (count(&text, 0, "94", &instance), count(&text, 1, "94", &instance)),
        (1.0, 0.0)
    );
    assert_eq!((counts(&text, "95"), counts(&text, "48")), ([2.0, 0.0], [0.0, 0.0]));
    let of_whole = [("nvidia_mig_gpu_instance_id", "0")];
    assert!(
        samples(&text, "hw_errors_total", &of_whole).is_empty(),
        "no such instance"
    );
}

#[test]
fn a_gpu_that_gets_another_id_counts_each_event_once() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let agent = Agent::start(&fake);
    until_watched(&agent, 2);
    // The second is exchanged for a clone of the first.
    fake.change(|state| state["devices"][1]["values"]["nvmlDeviceGetUUID"] = json!(uuid(0)));
    let [first, second] = ["@0000:10:00.0", "@0000:11:00.0"].map(|place| format!("{}{place}", uuid(0)));
    for id in [&first, &second] {
        agent.until_value("nvidia_xid_events_total", &[("hw_id", id)], 0.0);
    }
    happen(
        &mut fake,
        &json!([{"device": 0, "data": 79}, {"device": 1, "data": 31}, {"device": 1, "data": 31}]),
    );
    let text = until_counted(&agent, 3.0);
    let events = |id: &str| samples(&text, "nvidia_xid_events_total", &[("hw_id", id)]);
    assert_eq!((events(&first), events(&second)), (vec![1.0], vec![2.0]));
    assert!(events(&uuid(0)).is_empty() && events(&uuid(1)).is_empty(), "{text}");
}

#[test]
fn a_gpu_that_was_removed_is_no_longer_counted() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let agent = Agent::start(&fake);
    until_watched(&agent, 2);
    fake.change(|state| drop(state["devices"].as_array_mut().unwrap().pop()));
    let id = uuid(1);
    let text = agent.until("the end of its series", |text| !text.contains(&id));
    assert_eq!(samples(&text, "nvidia_xid_events_total", &[]), [0.0]);
}
