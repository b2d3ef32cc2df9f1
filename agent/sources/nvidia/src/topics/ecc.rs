//! Errors of the GPU's memory, and the state of the affected memory.

use crate::catalogue::nvidia;
use crate::fault::Fault;
use crate::gpu::Gpu;
use crate::key;
use crate::nvml::{Device, Field, Number, sys};
use crate::recorder::Recorder;
use accelscope_core::metric::catalogue::hw;

use super::power::hw_type;

const KINDS: [(&str, u32); 2] = [
    (
        "corrected",
        sys::nvmlMemoryErrorType_enum_NVML_MEMORY_ERROR_TYPE_CORRECTED,
    ),
    (
        "uncorrected",
        sys::nvmlMemoryErrorType_enum_NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
    ),
];

/// nvml.h 13.5, `nvmlMemoryLocation_t`: number, name, and names of the queries of corrected and uncorrected errors.
const LOCATIONS: [(u32, &str, [&str; 2]); 8] = [
    (0, "l1_cache", ["ecc_corrected_l1", "ecc_uncorrected_l1"]),
    (1, "l2_cache", ["ecc_corrected_l2", "ecc_uncorrected_l2"]),
    (2, "dram", ["ecc_corrected_dram", "ecc_uncorrected_dram"]),
    (
        3,
        "register_file",
        ["ecc_corrected_register", "ecc_uncorrected_register"],
    ),
    (4, "texture", ["ecc_corrected_texture", "ecc_uncorrected_texture"]),
    (5, "shared", ["ecc_corrected_shared", "ecc_uncorrected_shared"]),
    (6, "cbu", ["ecc_corrected_cbu", "ecc_uncorrected_cbu"]),
    (7, "sram", ["ecc_corrected_sram", "ecc_uncorrected_sram"]),
];

pub(super) fn read(gpu: &mut Gpu, recorder: &mut Recorder) {
    if let Some((now, _)) = gpu.ask("ecc_mode", recorder, Device::ecc_mode) {
        recorder.gauge(&nvidia::ECC_ENABLED, &gpu.label, [], i64::from(now == 1));
        // While ECC is off, the zeros are no counts.
        if now == 1 {
            errors(gpu, recorder);
        }
    }
    rows(gpu, recorder);
    pages(gpu, recorder);
    recovery(gpu, recorder);
}

fn errors(gpu: &mut Gpu, recorder: &mut Recorder) {
    let volatile = sys::nvmlEccCounterType_enum_NVML_VOLATILE_ECC;
    let lifetime = sys::nvmlEccCounterType_enum_NVML_AGGREGATE_ECC;
    for (at, (kind, number)) in KINDS.into_iter().enumerate() {
        let [field, lifetime_field] = [
            ["ecc_corrected", "ecc_lifetime_corrected"],
            ["ecc_uncorrected", "ecc_lifetime_uncorrected"],
        ][at];
        let error_type = || (key::ERROR_TYPE, kind.into());
        if let Some(count) = gpu.ask(field, recorder, |device| device.total_ecc_errors(number, volatile)) {
            recorder.count(&hw::ERRORS, &gpu.label, [hw_type(), error_type()], count);
        }
        if let Some(count) = gpu.ask(lifetime_field, recorder, |device| {
            device.total_ecc_errors(number, lifetime)
        }) {
            recorder.whole(&nvidia::ECC_LIFETIME_ERRORS, &gpu.label, [error_type()], count);
        }
        for (location, name, fields) in LOCATIONS {
            let count = gpu.ask(fields[at], recorder, |device| {
                device.memory_errors(number, volatile, location)
            });
            if let Some(count) = count {
                let location = (key::NVIDIA_MEMORY_LOCATION, name.into());
                recorder.count(&nvidia::ECC_ERRORS, &gpu.label, [error_type(), location], count);
            }
        }
    }
}

fn rows(gpu: &mut Gpu, recorder: &mut Recorder) {
    let Some((corrected, uncorrected, pending, failed)) = gpu.ask("remapped_rows", recorder, Device::remapped_rows)
    else {
        return;
    };
    for (kind, count) in [("corrected", corrected), ("uncorrected", uncorrected)] {
        let kind = (key::ERROR_TYPE, kind.into());
        recorder.gauge(&nvidia::REMAPPED_ROWS, &gpu.label, [kind], i64::from(count));
    }
    recorder.gauge(&nvidia::REMAPPED_ROWS_PENDING, &gpu.label, [], i64::from(pending != 0));
    recorder.gauge(&nvidia::REMAPPED_ROWS_FAILED, &gpu.label, [], i64::from(failed != 0));
    let faults = [(pending, Fault::RemappingPending), (failed, Fault::RemappingFailed)];
    let found = faults.into_iter().filter(|(count, _)| *count != 0);
    gpu.health.faults.extend(found.map(|(_, fault)| fault));
}

fn pages(gpu: &mut Gpu, recorder: &mut Recorder) {
    let fields = [
        ("retired_corrected", Field::of(sys::field_id::NVML_FI_DEV_RETIRED_SBE)),
        ("retired_uncorrected", Field::of(sys::field_id::NVML_FI_DEV_RETIRED_DBE)),
        ("retired_pending", Field::of(sys::field_id::NVML_FI_DEV_RETIRED_PENDING)),
    ];
    let [corrected, uncorrected, pending] = gpu.ask_fields(fields, recorder);
    for (kind, value) in [("corrected", corrected), ("uncorrected", uncorrected)] {
        if let Some(count) = value.and_then(Number::count) {
            let kind = (key::ERROR_TYPE, kind.into());
            recorder.whole(&nvidia::RETIRED_PAGES, &gpu.label, [kind], count);
        }
    }
    if let Some(pending) = pending.and_then(Number::count) {
        recorder.gauge(&nvidia::RETIRED_PAGES_PENDING, &gpu.label, [], i64::from(pending != 0));
        gpu.health
            .faults
            .extend((pending != 0).then_some(Fault::RetirementPending));
    }
}

/// Action that the driver requests (nvml.h 13.5, `nvmlDeviceGpuRecoveryAction_t`; driver 560 and newer).
fn recovery(gpu: &mut Gpu, recorder: &mut Recorder) {
    let fields = [(
        "recovery_action",
        Field::of(sys::field_id::NVML_FI_DEV_GET_GPU_RECOVERY_ACTION),
    )];
    let [action] = gpu.ask_fields(fields, recorder);
    let fault = match action.and_then(Number::count) {
        None | Some(0) => return,
        Some(2) => Fault::RebootRequired,
        // Drain, drain and reset, recover the IMEX domain: running work continues.
        Some(3..=5) => Fault::DrainRequired,
        // Reset the GPU or its bus.
        Some(_) => Fault::ResetRequired,
    };
    gpu.health.faults.insert(fault);
}
