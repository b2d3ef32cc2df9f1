//! `hw.*`: semantic conventions 1.44; `hw.npu.*` mirrors `hw.gpu.*`, which has no NPU counterpart yet.

use super::{instrument, instruments};
use crate::metric::Kind::{Counter, Gauge, UpDownCounter};
use crate::metric::key::{
    ACCEL_DERIVED, ERROR_TYPE, HW_GPU_TASK, HW_ID, HW_LIMIT_TYPE, HW_SENSOR_LOCATION, HW_STATE, HW_TYPE,
    NETWORK_IO_DIRECTION,
};

const DEVICE: &[&str] = &[HW_ID];
const TYPED: &[&str] = &[HW_ID, HW_TYPE];

instruments! {
    NPU_UTILIZATION = instrument(
        "hw.npu.utilization", "1", Gauge, DEVICE,
        "Share of time in which the NPU had work outstanding, all its processes together, at most 1.",
    );
    NPU_MEMORY_USAGE = instrument(
        "hw.npu.memory.usage", "By", UpDownCounter, DEVICE, "Memory of the NPU that is in use.",
    );
    NPU_MEMORY_LIMIT = instrument("hw.npu.memory.limit", "By", UpDownCounter, DEVICE, "Memory of the NPU.");
    HOST_POWER = instrument(
        "hw.host.power", "W", Gauge, DEVICE,
        "Electric power that the whole server draws; hw.power is that of its parts.",
    );
    POWER = instrument("hw.power", "W", Gauge, TYPED, "Electric power that the device draws.");
    ENERGY = instrument(
        "hw.energy", "J", Counter, &[HW_ID, HW_TYPE, ACCEL_DERIVED],
        "Energy that the device used. With accel.derived = true it is integrated from hw.power between readings.",
    );
    TEMPERATURE = instrument(
        "hw.temperature", "Cel", Gauge, &[HW_ID, HW_SENSOR_LOCATION],
        "Temperature of the device.",
    );
    TEMPERATURE_LIMIT = instrument(
        "hw.temperature.limit", "Cel", Gauge, &[HW_ID, HW_SENSOR_LOCATION, HW_LIMIT_TYPE],
        "Temperature from which on the device protects itself as hw.limit_type says.",
    );
    FAN_SPEED_RATIO = instrument(
        "hw.fan.speed_ratio", "1", Gauge, &[HW_ID, HW_SENSOR_LOCATION],
        "Speed that the driver wants of the device's fan, as a share of its highest; a fan that is blocked does not show.",
    );
    GPU_UTILIZATION = instrument(
        "hw.gpu.utilization", "1", Gauge, &[HW_ID, HW_GPU_TASK],
        "Share of time in which the GPU's unit was busy, over the driver's last sampling period (up to 1 s). Absent while \
         the GPU is partitioned (MIG), where the driver tells none.",
    );
    GPU_MEMORY_USAGE = instrument(
        "hw.gpu.memory.usage", "By", UpDownCounter, &[HW_ID],
        "Memory of the GPU that is in use, without what the driver reserves where it tells that (510 and newer).",
    );
    GPU_MEMORY_LIMIT = instrument(
        "hw.gpu.memory.limit", "By", UpDownCounter, &[HW_ID], "Memory of the GPU, what the driver reserves included.",
    );
    GPU_MEMORY_UTILIZATION = instrument(
        "hw.gpu.memory.utilization", "1", Gauge, &[HW_ID], "Share of the GPU's memory that is in use.",
    );
    GPU_IO = instrument(
        "hw.gpu.io", "By", Counter, &[HW_ID, NETWORK_IO_DIRECTION],
        "Bytes that the GPU received and transmitted over PCIe, as its own counters tell (Hopper and newer).",
    );
    FAN_SPEED = instrument(
        "hw.fan.speed", "rpm", Gauge, &[HW_ID, HW_SENSOR_LOCATION], "Revolutions of the fan per minute.",
    );
    FAN_SPEED_LIMIT = instrument(
        "hw.fan.speed.limit", "rpm", Gauge, &[HW_ID, HW_SENSOR_LOCATION, HW_LIMIT_TYPE],
        "Revolutions of the fan per minute from which on its controller sees a fault, as hw.limit_type says.",
    );
    CURRENT = instrument("hw.current", "A", Gauge, DEVICE, "Electric current of the device.");
    VOLTAGE = instrument("hw.voltage", "V", Gauge, DEVICE, "Voltage of the device.");
    VOLTAGE_LIMIT = instrument(
        "hw.voltage.limit", "V", Gauge, &[HW_ID, HW_LIMIT_TYPE],
        "Voltage from which on the device's controller sees a fault, as hw.limit_type says.",
    );
    ERRORS = instrument(
        "hw.errors", "{error}", Counter,
        &[
            HW_ID, HW_TYPE, ERROR_TYPE,
        ],
        "Errors of the device: of its memory as its ECC found them, since the device started; with error.type = xid the \
         faults that the NVIDIA driver reports, and with the kinds of docs/faults.md those that the kernel's log tells, since the \
         agent watches.",
    );
    STATUS = instrument(
        "hw.status", "1", UpDownCounter, &[HW_ID, HW_TYPE, HW_STATE],
        "State of the device: 1 for the one that is true, 0 for the others.",
    );
}
