//! Temperatures, their limits, and fans.

use crate::catalogue::nvidia;
use crate::gpu::Gpu;
use crate::nvml::sys::{
    self, nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_GPU_MAX as GPU_MAX,
    nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_MEM_MAX as MEMORY_MAX,
    nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_SHUTDOWN as SHUTDOWN,
    nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_SLOWDOWN as SLOWDOWN,
};
use crate::nvml::{Device, Field, Number};
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attribute, key};

/// Limit of plausible temperatures: higher values are sentinels.
const MOST_CELSIUS: i64 = 250;
/// Limit of fans of a board.
const MOST_FANS: u32 = 16;

pub(super) struct Thermal;

impl Topic for Thermal {
    fn name(&self) -> &'static str {
        "thermal"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        temperatures(gpu, recorder);
        limits(gpu, recorder);
        margin(gpu, recorder);
        fans(gpu, recorder);
    }
}

fn temperatures(gpu: &mut Gpu, recorder: &mut Recorder) {
    let sensor = sys::nvmlTemperatureSensors_enum_NVML_TEMPERATURE_GPU;
    // The older function wraps around below zero.
    let of_gpu = gpu
        .ask("temperature", recorder, |device| device.temperature(sensor))
        .map(|celsius| i64::from(celsius.cast_signed()));
    record(gpu, "gpu", of_gpu, recorder);
    let fields = [("memory_temperature", Field::of(sys::field_id::NVML_FI_DEV_MEMORY_TEMP))];
    let [of_memory] = gpu.ask_fields(fields, recorder);
    // Boards without such a sensor report 0.
    let of_memory = of_memory.and_then(Number::signed).filter(|celsius| *celsius != 0);
    record(gpu, "memory", of_memory, recorder);
}

fn record(gpu: &Gpu, location: &'static str, celsius: Option<i64>, recorder: &mut Recorder) {
    match celsius {
        Some(celsius) if celsius.abs() <= MOST_CELSIUS => {
            recorder.gauge(&hw::TEMPERATURE, &gpu.label, [sensor(location)], celsius as f64);
        }
        Some(_) => recorder.skip("temperature.out_of_range"),
        None => {}
    }
}

fn limits(gpu: &mut Gpu, recorder: &mut Recorder) {
    let limits = [
        ("limit_shutdown", SHUTDOWN, "gpu", "high.critical"),
        ("limit_slowdown", SLOWDOWN, "gpu", "high.degraded"),
        ("limit_gpu", GPU_MAX, "gpu", "throttled"),
        ("limit_memory", MEMORY_MAX, "memory", "throttled"),
    ];
    for (field, threshold, location, kind) in limits {
        let celsius = gpu.ask(field, recorder, |device| device.temperature_threshold(threshold));
        // 0 is a limit that the board does not have.
        if let Some(celsius) = celsius.filter(|celsius| (1..=MOST_CELSIUS).contains(&i64::from(*celsius))) {
            let more = [sensor(location), (key::HW_LIMIT_TYPE, kind.into())];
            recorder.gauge(&hw::TEMPERATURE_LIMIT, &gpu.label, more, f64::from(celsius));
        }
    }
}

/// Ada and newer measure the distance to the first slowdown; their limits are distances too.
fn margin(gpu: &mut Gpu, recorder: &mut Recorder) {
    let Some(margin) = gpu.ask("temperature_margin", recorder, Device::margin_temperature) else {
        return;
    };
    recorder.gauge(&nvidia::TEMPERATURE_MARGIN, &gpu.label, [], f64::from(margin));
    let fields = [
        (
            "margin_shutdown",
            Field::of(sys::field_id::NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT),
        ),
        (
            "margin_slowdown",
            Field::of(sys::field_id::NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT),
        ),
        (
            "margin_gpu",
            Field::of(sys::field_id::NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT),
        ),
    ];
    let values = gpu.ask_fields(fields, recorder);
    for (value, kind) in values.into_iter().zip(["high.critical", "high.degraded", "throttled"]) {
        if let Some(celsius) = value.and_then(Number::signed).filter(|it| it.abs() <= MOST_CELSIUS) {
            let kind = (key::HW_LIMIT_TYPE, kind.into());
            recorder.gauge(&nvidia::TEMPERATURE_MARGIN_LIMIT, &gpu.label, [kind], celsius as f64);
        }
    }
}

fn fans(gpu: &mut Gpu, recorder: &mut Recorder) {
    match gpu.ask("fans", recorder, Device::num_fans) {
        Some(count) => {
            for fan in 0..count.min(MOST_FANS) {
                let percent = gpu.ask("fan_speed", recorder, |device| device.fan_speed_of(fan));
                record_fan(gpu, fan, percent, recorder);
            }
        }
        // Drivers before 510 do not report the number of fans; boards without a fan do not support it.
        None if gpu.refuses("fans") => {
            let percent = gpu.ask("fan_speed", recorder, Device::fan_speed);
            record_fan(gpu, 0, percent, recorder);
        }
        None => {}
    }
}

fn record_fan(gpu: &Gpu, fan: u32, percent: Option<u32>, recorder: &mut Recorder) {
    // nvml.h: the intended speed can be above 100 %.
    match percent {
        Some(percent) if percent <= 1000 => {
            let more = [sensor(&format!("fan{fan}"))];
            recorder.gauge(&hw::FAN_SPEED_RATIO, &gpu.label, more, f64::from(percent) / 100.0);
        }
        Some(_) => recorder.skip("fan_speed.out_of_range"),
        None => {}
    }
}

fn sensor(location: &str) -> Attribute {
    (key::HW_SENSOR_LOCATION, location.into())
}
