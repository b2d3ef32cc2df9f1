//! The live table as displayed.
#![cfg(feature = "hailo")]

use std::sync::Arc;

use accelscope_core::metric::{Attribute, Attributes, Instrument, Series, Timestamp, Value, key};
use accelscope_core::sampler::Finding;
use accelscope_core::table::{Rates, Section};
use accelscope_export::stdout::{View, render};
use accelscope_hailo::catalogue as hailo;

fn series(instrument: &'static Instrument, attributes: &[Attribute], value: impl Into<Value>) -> Series {
    Series {
        instrument,
        attributes: Arc::new(Attributes::new(attributes.iter().cloned())),
        value: Some(value.into()),
        time: Timestamp::from_unix_nanos(0),
        start: None,
    }
}

#[test]
fn a_row_says_device_process_pod_and_what_is_unknown_is_a_dash() {
    let id = (key::HW_ID, "id-1".into());
    let network = [
        id.clone(),
        (accelscope_hailo::key::HAILO_NETWORK_NAME, "yolo\u{1b}[2Jv8".into()),
        (key::K8S_POD_NAME, "cam-0".into()),
        (key::K8S_NAMESPACE_NAME, "edge".into()),
        (key::PROCESS_EXECUTABLE_NAME, "detect".into()),
    ];
    let all = [
        series(&hailo::DEVICE_INFO, &[id.clone(), (key::HW_NAME, "hailo0".into())], 1),
        series(&hailo::MONITOR_ACTIVE, std::slice::from_ref(&id), 0),
        series(&hailo::NETWORK_UTILIZATION, &network, 0.475),
    ];
    let findings = [Finding::warn("hailo", "monitor is off").with_remedy("set HAILO_MONITOR=1")];
    let sections: Vec<&Section> = accelscope::SOURCES.iter().flat_map(|source| source.table).collect();
    let view = View {
        series: &all,
        sections: &sections,
        rates: &Rates::default(),
        findings: &findings,
        width: 160,
        time: Timestamp::from_unix_nanos(0),
    };
    let screen = render(&view);
    let line = |word: &str| {
        screen
            .lines()
            .find(|l| l.contains(word))
            .unwrap_or_else(|| panic!("{screen}"))
    };
    let words: Vec<_> = line("detect").split_whitespace().collect();
    assert_eq!(
        words,
        [
            "yolo\\u{1b}[2Jv8",
            "hailo0",
            "detect",
            "edge/cam-0",
            "47.5",
            "%",
            "-",
            "-"
        ]
    );
    let words: Vec<_> = line("off").split_whitespace().collect();
    assert_eq!(words, ["hailo0", "-", "-", "-", "-", "off"]);
    assert!(
        screen.contains("* monitor is off\n    -> set HAILO_MONITOR=1\n"),
        "{screen}"
    );
    assert!(!screen.contains('\u{1b}'));
}
