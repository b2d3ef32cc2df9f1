//! Temperatures, their limits, and fans.

use crate::gpu::Gpu;
use crate::nvml::{Device, Field, Number, sys};
use crate::sheet::Sheet;
use crate::topic::Topic;
use accelscope_core::metric::catalogue::{hw, nvidia};
use accelscope_core::metric::{Attribute, key};

/// Hotter than any chip: a sentinel.
const MOST_CELSIUS: i64 = 250;
/// More fans than a board has.
const MOST_FANS: u32 = 16;

pub(super) struct Thermal;

impl Topic for Thermal {
    fn name(&self) -> &'static str {
        "thermal"
    }

    fn read(&mut self, gpu: &mut Gpu, sheet: &mut Sheet) {
        temperatures(gpu, sheet);
        limits(gpu, sheet);
        margin(gpu, sheet);
        fans(gpu, sheet);
    }
}

fn temperatures(gpu: &mut Gpu, sheet: &mut Sheet) {
    let sensor = sys::nvmlTemperatureSensors_enum_NVML_TEMPERATURE_GPU;
    // The older function wraps below zero.
    let of_gpu = gpu
        .ask("temperature", sheet, |device| device.temperature(sensor))
        .map(|celsius| i64::from(celsius.cast_signed()));
    tell(gpu, "gpu", of_gpu, sheet);
    let fields = [("memory_temperature", field(sys::field_id::NVML_FI_DEV_MEMORY_TEMP))];
    let [of_memory] = gpu.ask_fields(fields, sheet);
    // 0 is what boards without such a sensor tell.
    let of_memory = of_memory.and_then(Number::signed).filter(|celsius| *celsius != 0);
    tell(gpu, "memory", of_memory, sheet);
}

fn tell(gpu: &Gpu, location: &'static str, celsius: Option<i64>, sheet: &mut Sheet) {
    match celsius {
        Some(celsius) if celsius.abs() <= MOST_CELSIUS => {
            sheet.gauge(&hw::TEMPERATURE, gpu, [sensor(location)], celsius as f64);
        }
        Some(_) => sheet.skip("temperature.out_of_range"),
        None => {}
    }
}

fn limits(gpu: &mut Gpu, sheet: &mut Sheet) {
    let limits = [
        (
            "limit_shutdown",
            sys::nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_SHUTDOWN,
            "gpu",
            "high.critical",
        ),
        (
            "limit_slowdown",
            sys::nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_SLOWDOWN,
            "gpu",
            "high.degraded",
        ),
        (
            "limit_gpu",
            sys::nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_GPU_MAX,
            "gpu",
            "throttled",
        ),
        (
            "limit_memory",
            sys::nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_MEM_MAX,
            "memory",
            "throttled",
        ),
    ];
    for (field, threshold, location, kind) in limits {
        let celsius = gpu.ask(field, sheet, |device| device.temperature_threshold(threshold));
        // 0 is a limit that the board does not have.
        if let Some(celsius) = celsius.filter(|celsius| (1..=MOST_CELSIUS).contains(&i64::from(*celsius))) {
            let more = [sensor(location), (key::HW_LIMIT_TYPE, kind.into())];
            sheet.gauge(&hw::TEMPERATURE_LIMIT, gpu, more, f64::from(celsius));
        }
    }
}

/// Ada and newer measure the distance to the first slowdown; their limits are distances too.
fn margin(gpu: &mut Gpu, sheet: &mut Sheet) {
    let Some(margin) = gpu.ask("temperature_margin", sheet, Device::margin_temperature) else {
        return;
    };
    sheet.gauge(&nvidia::TEMPERATURE_MARGIN, gpu, [], f64::from(margin));
    let fields = [
        (
            "margin_shutdown",
            field(sys::field_id::NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT),
        ),
        (
            "margin_slowdown",
            field(sys::field_id::NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT),
        ),
        (
            "margin_gpu",
            field(sys::field_id::NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT),
        ),
    ];
    let values = gpu.ask_fields(fields, sheet);
    for (value, kind) in values.into_iter().zip(["high.critical", "high.degraded", "throttled"]) {
        if let Some(celsius) = value.and_then(Number::signed).filter(|it| it.abs() <= MOST_CELSIUS) {
            let kind = (key::HW_LIMIT_TYPE, kind.into());
            sheet.gauge(&nvidia::TEMPERATURE_MARGIN_LIMIT, gpu, [kind], celsius as f64);
        }
    }
}

fn fans(gpu: &mut Gpu, sheet: &mut Sheet) {
    match gpu.ask("fans", sheet, Device::num_fans) {
        Some(count) => {
            for fan in 0..count.min(MOST_FANS) {
                let percent = gpu.ask("fan_speed", sheet, |device| device.fan_speed_of(fan));
                tell_fan(gpu, fan, percent, sheet);
            }
        }
        // Drivers before 510 do not tell how many; boards without a fan refuse.
        None if gpu.refuses("fans") => {
            let percent = gpu.ask("fan_speed", sheet, Device::fan_speed);
            tell_fan(gpu, 0, percent, sheet);
        }
        None => {}
    }
}

fn tell_fan(gpu: &Gpu, fan: u32, percent: Option<u32>, sheet: &mut Sheet) {
    // nvml.h: the speed that is wanted can be above 100 %.
    match percent {
        Some(percent) if percent <= 1000 => {
            let more = [sensor(&format!("fan{fan}"))];
            sheet.gauge(&hw::FAN_SPEED_RATIO, gpu, more, f64::from(percent) / 100.0);
        }
        Some(_) => sheet.skip("fan_speed.out_of_range"),
        None => {}
    }
}

fn sensor(location: &str) -> Attribute {
    (key::HW_SENSOR_LOCATION, location.into())
}

const fn field(id: u32) -> Field {
    Field { id, scope: 0 }
}
