//! Counters of units that a GPU does not have.

use serde_json::{Value, json};

use super::nvml_support::{Fake, h100, uuid};
use super::{Agent, samples};

/// A T4 as NVIDIA's own mock has it: it has no NVLink, and the counters of any link are 0.
fn t4(index: usize) -> Value {
    let mut gpu = h100(index);
    for counter in ["138", "139", "161", "162", "163"] {
        gpu["fields"][counter] = json!({"type": 3, "value": 0});
    }
    gpu
}

#[test]
fn gpus_without_links_have_no_series_of_links() {
    let fake = Fake::new((0..4).map(t4).collect());
    let agent = Agent::start(&fake);
    let text = agent.until("all GPUs", |text| {
        samples(text, "nvidia_pcie_replays_total", &[]).len() == 4
    });
    let found: Vec<_> = text.lines().filter(|line| line.starts_with("nvidia_nvlink")).collect();
    assert!(found.is_empty(), "{} series: {found:?}", found.len());
}

#[test]
fn links_have_counters_while_their_state_is_reported() {
    let mut fake = Fake::new(vec![t4(0), t4(1)]);
    fake.change(|state| {
        let fields = &mut state["devices"][0]["fields"];
        fields["165/0"] = json!({"type": 1, "value": 1});
        fields["165/3"] = json!({"type": 1, "value": 0});
        // A link of which the driver gives an error instead of the state.
        fields["165/5"] = json!({"type": 1, "value": 1, "return": 999});
    });
    let agent = Agent::start(&fake);
    let id = uuid(0);
    let errors = |text: &str, link: &str| {
        let of = [("hw_id", id.as_str()), ("nvidia_nvlink_link", link)];
        samples(text, "nvidia_nvlink_errors_total", &of)
    };
    let text = agent.until("the links", |text| !errors(text, "0").is_empty());
    assert_eq!(errors(&text, "0"), [0.0; 3], "counted from 0");
    assert_eq!(errors(&text, "3"), [0.0; 3], "an inactive link exists");
    assert_eq!(samples(&text, "nvidia_nvlink_errors_total", &[]).len(), 6);
    assert_eq!(
        samples(&text, "nvidia_nvlink_io_bytes_total", &[("hw_id", &id)]),
        [0.0; 2]
    );
    assert_eq!(samples(&text, "nvidia_nvlink_io_bytes_total", &[]).len(), 2);
    fake.change(|state| state["devices"][0]["fields"]["165/3"] = json!({"type": 1, "return": 3}));
    let text = agent.until("the end of a link", |text| errors(text, "3").is_empty());
    assert_eq!(errors(&text, "0"), [0.0; 3]);
}

#[test]
fn links_whose_fields_fail_at_first_are_read_later() {
    let mut fake = Fake::new((0..3).map(t4).collect());
    let state = |returned: i64| json!({"type": 1, "value": 1, "return": returned});
    let counter = |returned: i64| json!({"type": 3, "value": 7, "return": returned});
    fake.change(|all| {
        for (gpu, failing) in [(0, vec![1]), (1, vec![0, 1, 2, 3]), (2, vec![])] {
            let fields = &mut all["devices"][gpu]["fields"];
            for link in 0..4 {
                let code = if failing.contains(&link) { 999 } else { 0 };
                fields[&format!("165/{link}")] = state(code);
            }
        }
        // A counter of a link, where its state is known.
        all["devices"][2]["fields"]["161/2"] = counter(10);
    });
    let agent = Agent::start(&fake);
    let up = |text: &str, gpu: usize| samples(text, "nvidia_nvlink_up", &[("hw_id", &uuid(gpu))]).len();
    agent.until("the other links", |text| {
        [0, 1, 2].map(|gpu| up(text, gpu)) == [3, 0, 4] && samples(text, "hw_power_watts", &[]).len() == 3
    });
    fake.change(|all| {
        for gpu in 0..3 {
            for link in 0..4 {
                all["devices"][gpu]["fields"][&format!("165/{link}")] = state(0);
            }
        }
        all["devices"][2]["fields"]["161/2"] = counter(0);
    });
    let text = agent.until("all links", |text| [0, 1, 2].map(|gpu| up(text, gpu)) == [4; 3]);
    for gpu in 0..2 {
        let errors = samples(&text, "nvidia_nvlink_errors_total", &[("hw_id", &uuid(gpu))]);
        assert_eq!(errors, [0.0; 12], "GPU {gpu}");
    }
    agent.until("the counter", |text| {
        let of = [("hw_id", &*uuid(2)), ("nvidia_nvlink_link", "2")];
        samples(text, "nvidia_nvlink_errors_total", &of).contains(&7.0)
    });
}
