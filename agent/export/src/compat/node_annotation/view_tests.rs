//! Byte for byte what the replaced collector would have written, and what it got wrong.

use std::sync::Arc;

use super::*;
use accelscope_core::metric::{Attribute, Instrument, Kind, Merge, Stability};

const fn gauge(name: &'static str) -> Instrument {
    Instrument {
        name,
        unit: "",
        kind: Kind::Gauge,
        description: "",
        attributes: &[],
        owned: false,
        merge: Merge::Sum,
        stability: Stability::Development,
    }
}

static INFO: Instrument = gauge(instrument::ASCEND_DEVICE_INFO);
static HEALTH: Instrument = gauge(instrument::ASCEND_HEALTH_STATUS);
static POWER: Instrument = gauge(instrument::POWER);
static TEMPERATURE: Instrument = gauge(instrument::TEMPERATURE);
static UTILIZATION: Instrument = gauge(instrument::NPU_UTILIZATION);
static USAGE: Instrument = gauge(instrument::NPU_MEMORY_USAGE);
static LIMIT: Instrument = gauge(instrument::NPU_MEMORY_LIMIT);

/// 2023-11-14T22:13:20Z.
const READ: Timestamp = Timestamp::from_unix_nanos(1_700_000_000_900_000_000);

fn series(instrument: &'static Instrument, key: (i64, i64), more: Vec<Attribute>, value: f64) -> Series {
    let ids = [
        (attribute::ASCEND_NPU_ID, key.0.into()),
        (attribute::ASCEND_CHIP_ID, key.1.into()),
    ];
    Series {
        instrument,
        attributes: Arc::new(Attributes::new(ids.into_iter().chain(more))),
        value: Some(Value::Double(value)),
        time: READ,
        start: None,
    }
}

fn info(key: (i64, i64), physical: i64, bus: &str) -> Series {
    let more = vec![
        (attribute::ASCEND_PHYSICAL_ID, physical.into()),
        (ACCEL_DEVICE_ADDRESS, bus.into()),
    ];
    series(&INFO, key, more, 1.0)
}

fn health(key: (i64, i64), is: &'static str) -> Vec<Series> {
    ["OK", "Warning", "Alarm", "Critical", "UNKNOWN"]
        .into_iter()
        .map(|word| {
            series(
                &HEALTH,
                key,
                vec![(attribute::ASCEND_HEALTH, word.into())],
                f64::from(word == is),
            )
        })
        .collect()
}

fn memory(instrument: &'static Instrument, key: (i64, i64), kind: &'static str, mebibytes: i64) -> Series {
    let mut one = series(instrument, key, vec![(attribute::ASCEND_MEMORY_TYPE, kind.into())], 0.0);
    one.value = Some(Value::Int(mebibytes << 20));
    one
}

fn whole(key: (i64, i64), physical: i64, bus: &str) -> Vec<Series> {
    let mut all = vec![
        info(key, physical, bus),
        series(&POWER, key, vec![], 93.600_000_000_000_01),
        series(&TEMPERATURE, key, vec![], 37.0),
        series(&UTILIZATION, key, vec![], 0.29),
        memory(&USAGE, key, "ddr", 12),
        memory(&USAGE, key, "hbm", 3397),
        memory(&LIMIT, key, "hbm", 65536),
    ];
    all.extend(health(key, "OK"));
    all
}

fn shown(series: &[Series]) -> String {
    annotation(series, READ).unwrap()
}

#[test]
fn the_ten_keys_stand_in_the_collectors_order_with_its_types() {
    assert_eq!(
        shown(&whole((0, 1), 5, "0000:9d:00.0")),
        r#"{"timestamp":"2023-11-14T22:13:20Z","chips":[{"npu":0,"chip":1,"phy_id":5,"bus_id":"0000:9D:00.0","health":"OK","power":93.6,"temp":37,"aicore":29,"hbm_used":3397,"hbm_total":65536}]}"#
    );
}

#[test]
fn a_whole_number_of_watts_stays_a_fraction_for_the_reader() {
    assert!(shown(&[series(&POWER, (0, 0), vec![], 100.0)]).contains(r#""power":100.0,"#));
}

#[test]
fn what_was_not_read_is_null_and_never_zero() {
    assert_eq!(
        shown(&[info((3, 1), 7, "0000:01:00.0")]),
        r#"{"timestamp":"2023-11-14T22:13:20Z","chips":[{"npu":3,"chip":1,"phy_id":7,"bus_id":"0000:01:00.0","health":"UNKNOWN","power":null,"temp":null,"aicore":null,"hbm_used":null,"hbm_total":null}]}"#
    );
}

#[test]
fn chips_are_sorted_by_number_and_not_confused_by_a_shared_bus() {
    let keys = [(8, 0), (64, 0), (0, 1), (0, 0)];
    let all: Vec<Series> = keys.iter().flat_map(|key| whole(*key, 0, "0000:81:00.0")).collect();
    let value: serde_json::Value = serde_json::from_str(&shown(&all)).unwrap();
    let found: Vec<_> = value["chips"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["npu"].as_i64(), c["chip"].as_i64()))
        .collect();
    let sorted = [(0, 0), (0, 1), (8, 0), (64, 0)].map(|(npu, chip)| (Some(npu), Some(chip)));
    assert_eq!(found, sorted);
}

#[test]
fn the_health_shown_is_the_state_that_is() {
    let alarm = health((0, 0), "Alarm");
    assert!(shown(&alarm).contains(r#""health":"Alarm""#));
    let none: Vec<Series> = health((0, 0), "no such state");
    assert_eq!(
        annotation(&none, READ),
        None,
        "a state set without a state is no reading of a chip"
    );
}

#[test]
fn a_second_sensor_does_not_stand_for_the_chip() {
    let sensor = series(&TEMPERATURE, (0, 0), vec![("hw.sensor_location", "hbm".into())], 70.0);
    let own = series(&TEMPERATURE, (0, 0), vec![], 40.0);
    for order in [[sensor.clone(), own.clone()], [own, sensor]] {
        assert!(shown(&order).contains(r#""temp":40,"#));
    }
}

#[test]
fn old_and_ended_readings_and_other_vendors_are_not_shown() {
    let mut ended = whole((0, 0), 0, "0000:01:00.0");
    for one in &mut ended {
        one.value = None;
    }
    let mut hailo = series(&POWER, (0, 0), vec![], 4.0);
    hailo.attributes = Arc::new(Attributes::new([("hw.id", "hailo0".into())]));
    ended.push(hailo);
    assert_eq!(annotation(&ended, READ), None);

    let all = whole((0, 0), 0, "0000:01:00.0");
    let later = |seconds: u64| Timestamp::from_unix_nanos(READ.unix_nanos() + seconds * 1_000_000_000);
    assert!(annotation(&all, later(179)).is_some());
    assert_eq!(annotation(&all, later(180)), None);
}

#[test]
fn it_stays_within_an_annotations_bounds_whatever_the_driver_says() {
    let bus = "\u{1}".repeat(4096);
    let all: Vec<Series> = (0..10_000)
        .flat_map(|npu| whole((i64::MAX - npu, i64::MAX), i64::MIN, &bus))
        .collect();
    assert!(shown(&all).len() < 128 << 10, "{}", shown(&all).len());
}
