//! Values of a GPU that works.

use accelscope_core::metric::{Point, Value};
use serde_json::json;

use super::nvml_support::{Fake, GIB, h100};
use super::{LONG, close, find, sampled, value, worker};

/// Points of the second of two GPUs.
fn told() -> Vec<Point> {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    fake.change(|state| {
        let gpu = &mut state["devices"][1];
        gpu["values"]["nvmlDeviceGetNumFans"] = json!(2);
        gpu["values"]["nvmlDeviceGetFanSpeed"] = json!({"0": 30, "1": 105});
        gpu["values"]["nvmlDeviceGetMarginTemperature"] = json!([41]);
        gpu["values"]["nvmlDeviceGetMemoryErrorCounter"] = json!({"0,0,2": 4, "1,0,7": 3});
        gpu["fields"]["197"] = json!({"type": 3, "value": 9_000_000_000_u64});
        gpu["fields"]["198"] = json!({"type": 3, "value": 8_000_000_000_u64});
        gpu["fields"]["180"] = json!({"type": 1, "value": 5});
        gpu["fields"]["165/3"] = json!({"type": 1, "value": 1});
        gpu["fields"]["163/3"] = json!({"type": 3, "value": 21});
        gpu["fields"]["193"] = json!({"type": 5, "value": -8});
        gpu["fields"]["29"] = json!({"type": 1, "value": 2});
    });
    sampled(&mut worker(&fake, LONG))
}

#[test]
fn every_value_arrives_with_its_unit_and_its_gpu() {
    let points = told();
    let of = |name: &str, more: &[(&str, &str)]| value(&points, name, 1, more);

    close(of("hw.gpu.utilization", &[("hw.gpu.task", "general")]), 0.41);
    close(of("hw.gpu.utilization", &[("hw.gpu.task", "encoder")]), 0.04);
    close(of("hw.gpu.utilization", &[("hw.gpu.task", "decoder")]), 0.05);
    close(of("hw.gpu.utilization", &[("hw.gpu.task", "jpeg")]), 0.06);
    close(of("hw.gpu.utilization", &[("hw.gpu.task", "ofa")]), 0.07);
    close(of("nvidia.memory.bandwidth.utilization", &[]), 0.21);
    close(of("hw.gpu.memory.limit", &[]), (80 * GIB) as f64);
    close(of("hw.gpu.memory.usage", &[]), (20 * GIB) as f64);
    close(of("hw.gpu.memory.utilization", &[]), 0.25);
    close(of("nvidia.memory.reserved", &[]), GIB as f64);
    close(of("hw.power", &[("hw.type", "gpu")]), 250.001);
    close(of("hw.energy", &[("hw.type", "gpu")]), 123_456.79);
    close(
        of("nvidia.power.limit", &[("nvidia.power.limit.type", "enforced")]),
        650.0,
    );
    close(
        of("nvidia.power.limit", &[("nvidia.power.limit.type", "default")]),
        700.0,
    );
    close(of("hw.temperature", &[("hw.sensor_location", "gpu")]), 46.0);
    close(of("hw.temperature", &[("hw.sensor_location", "memory")]), 61.0);
    let limit = |kind: &'static str, place: &'static str| [("hw.limit_type", kind), ("hw.sensor_location", place)];
    close(of("hw.temperature.limit", &limit("high.critical", "gpu")), 92.0);
    close(of("hw.temperature.limit", &limit("high.degraded", "gpu")), 89.0);
    close(of("hw.temperature.limit", &limit("throttled", "gpu")), 87.0);
    close(of("hw.temperature.limit", &limit("throttled", "memory")), 95.0);
    close(of("nvidia.temperature.margin", &[]), 41.0);
    close(
        of("nvidia.temperature.margin.limit", &[("hw.limit_type", "high.critical")]),
        -8.0,
    );
    close(of("hw.fan.speed_ratio", &[("hw.sensor_location", "fan0")]), 0.3);
    close(of("hw.fan.speed_ratio", &[("hw.sensor_location", "fan1")]), 1.05);
    close(of("nvidia.clock.frequency", &[("nvidia.clock", "sm")]), 1.755e9);
    close(of("nvidia.clock.frequency", &[("nvidia.clock", "memory")]), 2.619e9);
    close(
        of("nvidia.clock.frequency.limit", &[("nvidia.clock", "video")]),
        1.545e9,
    );
    close(
        of("nvidia.throttle.active", &[("nvidia.throttle.reason", "sw_power_cap")]),
        1.0,
    );
    close(
        of("nvidia.throttle.active", &[("nvidia.throttle.reason", "gpu_idle")]),
        0.0,
    );
    close(of("nvidia.performance.state", &[]), 0.0);
    close(
        value(&points, "hw.gpu.utilization", 0, &[("hw.gpu.task", "general")]),
        0.40,
    );
}

#[test]
fn every_link_is_found_and_a_driver_that_knows_fewer_tells_of_those() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    fake.change(|state| {
        for gpu in 0..2 {
            for (link, it) in [(17, 1), (20, 0), (34, 2), (35, 3)] {
                state["devices"][gpu]["fields"][format!("165/{link}")] = json!({"type": 1, "value": it});
            }
        }
        // The library refuses a call with any other.
        state["devices"][1]["links"] = json!(18);
    });
    let mut worker = worker(&fake, LONG);
    for _ in 0..2 {
        let points = sampled(&mut worker);
        let up = |gpu, link| value(&points, "nvidia.nvlink.up", gpu, &[("nvidia.nvlink.link", link)]);
        close(up(0, "17"), 1.0);
        close(up(0, "20"), 0.0);
        close(up(0, "34"), 1.0);
        close(up(0, "35"), 0.0);
        close(up(1, "17"), 1.0);
        assert_eq!(up(1, "20"), None);
    }
}

#[test]
fn links_errors_and_worn_memory_arrive_with_their_kind() {
    let points = told();
    let of = |name: &str, more: &[(&str, &str)]| value(&points, name, 1, more);
    close(of("nvidia.pcie.link.generation", &[]), 5.0);
    close(of("nvidia.pcie.link.width", &[]), 16.0);
    close(of("nvidia.pcie.replays", &[]), 8.0);
    close(of("hw.gpu.io", &[("network.io.direction", "transmit")]), 9e9);
    close(of("hw.gpu.io", &[("network.io.direction", "receive")]), 8e9);
    close(of("nvidia.pcie.errors", &[("error.type", "fatal")]), 5.0);
    close(
        of("nvidia.nvlink.io", &[("network.io.direction", "transmit")]),
        1_024_000.0,
    );
    close(
        of("nvidia.nvlink.io", &[("network.io.direction", "receive")]),
        2_048_000.0,
    );
    close(of("nvidia.nvlink.up", &[("nvidia.nvlink.link", "3")]), 1.0);
    let link = [("nvidia.nvlink.link", "3"), ("error.type", "crc")];
    close(of("nvidia.nvlink.errors", &link), 21.0);
    close(of("nvidia.ecc.enabled", &[]), 1.0);
    close(
        of("hw.errors", &[("error.type", "corrected"), ("hw.type", "gpu")]),
        11.0,
    );
    close(
        of("hw.errors", &[("error.type", "uncorrected"), ("hw.type", "gpu")]),
        12.0,
    );
    close(of("nvidia.ecc.lifetime.errors", &[("error.type", "uncorrected")]), 14.0);
    let place = |kind: &'static str, place: &'static str| [("error.type", kind), ("nvidia.memory.location", place)];
    close(of("nvidia.ecc.errors", &place("corrected", "dram")), 4.0);
    close(of("nvidia.ecc.errors", &place("uncorrected", "sram")), 3.0);
    close(of("nvidia.remapped.rows", &[("error.type", "uncorrected")]), 2.0);
    close(of("nvidia.remapped.rows.pending", &[]), 0.0);
    close(of("nvidia.remapped.rows.failed", &[]), 0.0);
    close(of("nvidia.retired.pages", &[("error.type", "corrected")]), 2.0);
    close(of("hw.status", &[("hw.state", "ok")]), 1.0);
    close(of("hw.status", &[("hw.state", "failed")]), 0.0);
}

#[test]
fn a_gpu_is_described_once() {
    let points = told();
    let info = find(&points, "nvidia.device.info", 1, &[]).unwrap();
    for (key, expected) in [
        ("hw.name", "nvidia1"),
        ("hw.model", "NVIDIA H100 80GB HBM3"),
        ("hw.vendor", "NVIDIA"),
        ("hw.serial_number", "1650824000001"),
        ("hw.driver_version", "580.82.07"),
        ("hw.firmware_version", "96.00.99.00.01"),
        ("accel.device.address", "0000:11:00.0"),
        ("nvidia.cuda.version", "13.0"),
        ("nvidia.nvml.version", "13.580.82.07"),
        ("nvidia.gpu.index", "1"),
        ("nvidia.gpu.minor", "1"),
        ("nvidia.architecture", "hopper"),
    ] {
        let found = info.attributes.get(key).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(expected), "{key}");
    }
    let energy = find(&points, "hw.energy", 1, &[]).unwrap();
    assert!(energy.start.unwrap() < energy.time, "since the host's boot");
}

#[test]
fn sentinels_and_failures_are_absent_and_cost_nothing_else() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| {
        let values = &mut state["devices"][0]["values"];
        values["nvmlDeviceGetUtilizationRates"] = json!([u32::MAX, 20]);
        values["nvmlDeviceGetPowerUsage"] = json!(u32::MAX);
        values["nvmlDeviceGetPerformanceState"] = json!(32);
        values["nvmlDeviceGetCurrPcieLinkGeneration"] = json!(0);
        values["nvmlDeviceGetEccMode"] = json!([0, 1]);
        state["devices"][0]["fields"]["82"] = json!({"type": 1, "value": 0});
        state["devices"][0]["fail"] = json!({"nvmlDeviceGetTemperature": 999, "nvmlDeviceGetClockInfo": 4});
    });
    let points = sampled(&mut worker(&fake, LONG));
    let of = |name: &str, more: &[(&str, &str)]| value(&points, name, 0, more);
    for name in [
        "hw.power",
        "hw.temperature",
        "nvidia.ecc.errors",
        "nvidia.performance.state",
        "nvidia.pcie.link.generation",
        "nvidia.clock.frequency",
    ] {
        assert!(points.iter().all(|point| point.instrument.name != name), "{name}");
    }
    assert_eq!(of("hw.gpu.utilization", &[("hw.gpu.task", "general")]), None);
    for kind in ["corrected", "uncorrected"] {
        assert_eq!(of("hw.errors", &[("error.type", kind)]), None, "ECC is off");
    }
    close(of("nvidia.memory.bandwidth.utilization", &[]), 0.2);
    close(of("nvidia.ecc.enabled", &[]), 0.0);
    close(of("nvidia.clock.frequency.limit", &[("nvidia.clock", "sm")]), 1.98e9);
    close(of("hw.energy", &[]), 123_456.789);
    close(of("hw.status", &[("hw.state", "ok")]), 1.0);
    assert!(
        points
            .iter()
            .all(|point| !matches!(point.value, Value::Double(number) if !number.is_finite()))
    );
}

#[test]
fn what_is_not_supported_is_asked_once() {
    let mut fake = Fake::new(vec![h100(0)]);
    // As drivers answer for a unit that they do not support.
    fake.change(|state| state["devices"][0]["fail"] = json!({"nvmlDeviceGetOfaUtilization": 2}));
    fake.record_calls();
    let mut worker = worker(&fake, LONG);
    for _ in 0..3 {
        sampled(&mut worker);
    }
    let calls = fake.calls();
    let count = |call: &str| calls.iter().filter(|one| *one == call).count();
    assert_eq!(count("nvmlDeviceGetUtilizationRates 0"), 3);
    assert_eq!(count("nvmlDeviceGetNumFans 0"), 1, "this board has no fan");
    assert_eq!(count("nvmlDeviceGetMarginTemperature 0"), 1);
    assert_eq!(count("nvmlDeviceGetOfaUtilization 0"), 1);
    assert_eq!(count("nvmlDeviceGetName 0"), 1, "it does not change");
    assert_eq!(count("nvmlDeviceGetPcieThroughput 0"), 0, "that would block");
}

#[test]
fn a_library_that_lacks_a_function_lacks_only_what_it_tells() {
    let fake = Fake::without(
        &[
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetSupportedClocksEventReasons",
            "nvmlDeviceGetMemoryInfo_v2",
            "nvmlDeviceGetTotalEnergyConsumption",
            "nvmlDeviceGetFieldValues",
            "nvmlDeviceGetJpgUtilization",
            "nvmlInit_v2",
        ],
        vec![h100(0)],
    );
    let points = sampled(&mut worker(&fake, LONG));
    let of = |name: &str, more: &[(&str, &str)]| value(&points, name, 0, more);
    close(
        of("nvidia.throttle.active", &[("nvidia.throttle.reason", "sw_power_cap")]),
        1.0,
    );
    close(of("hw.gpu.memory.usage", &[]), (19 * GIB) as f64);
    assert_eq!(
        of("nvidia.memory.reserved", &[]),
        None,
        "the older function does not tell it"
    );
    assert_eq!(of("hw.energy", &[]), None);
    close(of("hw.power", &[]), 250.0);
    assert_eq!(of("hw.gpu.utilization", &[("hw.gpu.task", "jpeg")]), None);
}

#[test]
fn what_needs_a_hand_shows_in_the_status() {
    let mut fake = Fake::new(vec![h100(0), h100(1), h100(2), h100(3)]);
    fake.change(|state| {
        state["devices"][0]["values"]["nvmlDeviceGetRemappedRows"] = json!([0, 1, 1, 0]);
        state["devices"][1]["values"]["nvmlDeviceGetRemappedRows"] = json!([0, 1, 0, 1]);
        state["devices"][2]["fields"]["230"] = json!({"type": 1, "value": 1});
        state["devices"][3]["values"]["nvmlDeviceGetCurrentClocksEventReasons"] = json!(0x248);
    });
    let points = sampled(&mut worker(&fake, LONG));
    for (gpu, state) in ["degraded", "predicted_failure", "failed", "degraded"]
        .iter()
        .enumerate()
    {
        for other in ["ok", "degraded", "predicted_failure", "failed"] {
            let expected = if other == *state { 1.0 } else { 0.0 };
            close(value(&points, "hw.status", gpu, &[("hw.state", other)]), expected);
        }
    }
    let reason = |word: &'static str| {
        value(
            &points,
            "nvidia.throttle.active",
            3,
            &[("nvidia.throttle.reason", word)],
        )
    };
    close(reason("hw_thermal_slowdown"), 1.0);
    close(reason("board_limit"), 1.0);
    assert_eq!(reason("reliability"), None, "a bit that the board cannot set is not 0");
}
