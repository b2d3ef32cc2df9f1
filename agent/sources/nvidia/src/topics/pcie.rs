//! The PCIe link. Its throughput comes from the GPU's own byte counters: the function that measures it blocks for 20 ms
//! per direction.

use crate::catalogue::nvidia;
use crate::gpu::Gpu;
use crate::nvml::{Device, Field, Number, NvmlError, sys::field_id};
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::metric::Instrument;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key;

type Ask = fn(Device) -> Result<u32, NvmlError>;

/// The names that `nvidia-smi` does not have are those of the PCIe specification.
const ERRORS: [(&str, u32); 11] = [
    ("pcie_correctable", field_id::NVML_FI_DEV_PCIE_COUNT_CORRECTABLE_ERRORS),
    ("pcie_nak_received", field_id::NVML_FI_DEV_PCIE_COUNT_NAKS_RECEIVED),
    ("pcie_receiver", field_id::NVML_FI_DEV_PCIE_COUNT_RECEIVER_ERROR),
    ("pcie_bad_tlp", field_id::NVML_FI_DEV_PCIE_COUNT_BAD_TLP),
    ("pcie_nak_sent", field_id::NVML_FI_DEV_PCIE_COUNT_NAKS_SENT),
    ("pcie_bad_dllp", field_id::NVML_FI_DEV_PCIE_COUNT_BAD_DLLP),
    ("pcie_non_fatal", field_id::NVML_FI_DEV_PCIE_COUNT_NON_FATAL_ERROR),
    ("pcie_fatal", field_id::NVML_FI_DEV_PCIE_COUNT_FATAL_ERROR),
    (
        "pcie_unsupported_request",
        field_id::NVML_FI_DEV_PCIE_COUNT_UNSUPPORTED_REQ,
    ),
    ("pcie_lcrc", field_id::NVML_FI_DEV_PCIE_COUNT_LCRC_ERROR),
    ("pcie_lane", field_id::NVML_FI_DEV_PCIE_COUNT_LANE_ERROR),
];

pub(super) struct Pcie;

impl Topic for Pcie {
    fn name(&self) -> &'static str {
        "pcie"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let link: [(&'static Instrument, &'static str, Ask); 4] = [
            (
                &nvidia::PCIE_LINK_GENERATION,
                "pcie_generation",
                Device::pcie_link_generation,
            ),
            (
                &nvidia::PCIE_LINK_GENERATION_LIMIT,
                "max_pcie_generation",
                Device::max_pcie_link_generation,
            ),
            (&nvidia::PCIE_LINK_WIDTH, "pcie_width", Device::pcie_link_width),
            (
                &nvidia::PCIE_LINK_WIDTH_LIMIT,
                "max_pcie_width",
                Device::max_pcie_link_width,
            ),
        ];
        for (instrument, field, ask) in link {
            // 0 for a link other than PCIe.
            if let Some(value) = gpu.ask(field, recorder, ask).filter(|value| (1..=1024).contains(value)) {
                recorder.gauge(instrument, &gpu.label, [], i64::from(value));
            }
        }
        if let Some(replays) = gpu.ask("pcie_replays", recorder, Device::pcie_replay_counter) {
            recorder.count(&nvidia::PCIE_REPLAYS, &gpu.label, [], replays.into());
        }
        let [transmitted, received] = gpu.ask_fields(
            [
                ("pcie_tx", Field::of(field_id::NVML_FI_DEV_PCIE_COUNT_TX_BYTES)),
                ("pcie_rx", Field::of(field_id::NVML_FI_DEV_PCIE_COUNT_RX_BYTES)),
            ],
            recorder,
        );
        for (direction, value) in [("transmit", transmitted), ("receive", received)] {
            if let Some(bytes) = value.and_then(Number::count) {
                let direction = (key::NETWORK_IO_DIRECTION, direction.into());
                recorder.count(&hw::GPU_IO, &gpu.label, [direction], bytes);
            }
        }
        let errors = gpu.ask_fields(ERRORS.map(|(name, id)| (name, Field::of(id))), recorder);
        for ((name, _), value) in ERRORS.iter().zip(errors) {
            if let Some(count) = value.and_then(Number::count) {
                let kind = (key::ERROR_TYPE, name.trim_start_matches("pcie_").into());
                recorder.count(&nvidia::PCIE_ERRORS, &gpu.label, [kind], count);
            }
        }
    }
}
