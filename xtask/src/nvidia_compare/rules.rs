//! Mapping of the agent's values to those of `nvidia-smi`, with tolerances.

/// Kind of comparison.
#[derive(Debug, Clone, Copy)]
pub(super) enum As {
    /// A number: `nvidia-smi`'s is the agent's times the first field, within a tolerance of the second.
    Number(f64, f64),
    /// `Active` or `Enabled` or `Yes` is 1.
    Flag,
    /// An attribute of the information series.
    Attribute(&'static str),
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Paths in `nvidia-smi`'s output: drivers have moved and renamed elements, the first existing one counts.
    pub(super) paths: &'static [&'static str],
    pub(super) name: &'static str,
    pub(super) attributes: &'static [(&'static str, &'static str)],
    pub(super) compare: As,
}

const MIB: f64 = 1.0 / 1_048_576.0;
const MEGA: f64 = 1e-6;
const PERCENT: f64 = 100.0;

const fn number(
    paths: &'static [&'static str],
    name: &'static str,
    attributes: &'static [(&'static str, &'static str)],
    scale: f64,
    off: f64,
) -> Rule {
    Rule {
        paths,
        name,
        attributes,
        compare: As::Number(scale, off),
    }
}

const fn flag(
    paths: &'static [&'static str],
    name: &'static str,
    attributes: &'static [(&'static str, &'static str)],
) -> Rule {
    Rule {
        paths,
        name,
        attributes,
        compare: As::Flag,
    }
}

const fn info(paths: &'static [&'static str], key: &'static str) -> Rule {
    Rule {
        paths,
        name: "nvidia.device.info",
        attributes: &[],
        compare: As::Attribute(key),
    }
}

/// Rules of every GPU. Varying values have the tolerance of a change between two readings.
pub(super) const RULES: &[Rule] = &[
    info(&["product_name"], "hw.model"),
    info(&["serial"], "hw.serial_number"),
    info(&["vbios_version"], "hw.firmware_version"),
    info(&["minor_number"], "nvidia.gpu.minor"),
    info(&["gpu_part_number", "board_part_number"], "nvidia.board.part_number"),
    number(
        &["utilization/gpu_util"],
        "hw.gpu.utilization",
        &[("hw.gpu.task", "general")],
        PERCENT,
        30.0,
    ),
    number(
        &["utilization/encoder_util"],
        "hw.gpu.utilization",
        &[("hw.gpu.task", "encoder")],
        PERCENT,
        30.0,
    ),
    number(
        &["utilization/decoder_util"],
        "hw.gpu.utilization",
        &[("hw.gpu.task", "decoder")],
        PERCENT,
        30.0,
    ),
    number(
        &["utilization/jpeg_util"],
        "hw.gpu.utilization",
        &[("hw.gpu.task", "jpeg")],
        PERCENT,
        30.0,
    ),
    number(
        &["utilization/ofa_util"],
        "hw.gpu.utilization",
        &[("hw.gpu.task", "ofa")],
        PERCENT,
        30.0,
    ),
    number(
        &["utilization/memory_util"],
        "nvidia.memory.bandwidth.utilization",
        &[],
        PERCENT,
        30.0,
    ),
    number(&["fb_memory_usage/total"], "hw.gpu.memory.limit", &[], MIB, 1.0),
    number(&["fb_memory_usage/used"], "hw.gpu.memory.usage", &[], MIB, 2.0),
    number(&["fb_memory_usage/reserved"], "nvidia.memory.reserved", &[], MIB, 2.0),
    number(
        &[
            "gpu_power_readings/average_power_draw",
            "gpu_power_readings/power_draw",
            "power_readings/power_draw",
        ],
        "hw.power",
        &[],
        1.0,
        60.0,
    ),
    number(
        &[
            "gpu_power_readings/current_power_limit",
            "gpu_power_readings/power_limit",
            "power_readings/enforced_power_limit",
        ],
        "nvidia.power.limit",
        &[("nvidia.power.limit.type", "enforced")],
        1.0,
        0.01,
    ),
    number(
        &[
            "gpu_power_readings/default_power_limit",
            "power_readings/default_power_limit",
        ],
        "nvidia.power.limit",
        &[("nvidia.power.limit.type", "default")],
        1.0,
        0.01,
    ),
    number(
        &["temperature/gpu_temp"],
        "hw.temperature",
        &[("hw.sensor_location", "gpu")],
        1.0,
        5.0,
    ),
    number(
        &["temperature/memory_temp"],
        "hw.temperature",
        &[("hw.sensor_location", "memory")],
        1.0,
        5.0,
    ),
    number(
        &["temperature/gpu_temp_max_threshold"],
        "hw.temperature.limit",
        &[("hw.limit_type", "high.critical")],
        1.0,
        0.0,
    ),
    number(
        &["temperature/gpu_temp_slow_threshold"],
        "hw.temperature.limit",
        &[("hw.limit_type", "high.degraded")],
        1.0,
        0.0,
    ),
    number(
        &["temperature/gpu_temp_max_gpu_threshold"],
        "hw.temperature.limit",
        &[("hw.limit_type", "throttled"), ("hw.sensor_location", "gpu")],
        1.0,
        0.0,
    ),
    number(
        &["temperature/gpu_temp_max_mem_threshold"],
        "hw.temperature.limit",
        &[("hw.limit_type", "throttled"), ("hw.sensor_location", "memory")],
        1.0,
        0.0,
    ),
    number(
        &["temperature/gpu_temp_tlimit"],
        "nvidia.temperature.margin",
        &[],
        1.0,
        5.0,
    ),
    number(
        &["temperature/gpu_temp_max_tlimit_threshold"],
        "nvidia.temperature.margin.limit",
        &[("hw.limit_type", "high.critical")],
        1.0,
        0.0,
    ),
    number(
        &["temperature/gpu_temp_slow_tlimit_threshold"],
        "nvidia.temperature.margin.limit",
        &[("hw.limit_type", "high.degraded")],
        1.0,
        0.0,
    ),
    number(
        &["temperature/gpu_temp_max_gpu_tlimit_threshold"],
        "nvidia.temperature.margin.limit",
        &[("hw.limit_type", "throttled")],
        1.0,
        0.0,
    ),
    number(
        &["fan_speed"],
        "hw.fan.speed_ratio",
        &[("hw.sensor_location", "fan0")],
        PERCENT,
        10.0,
    ),
    number(&["performance_state"], "nvidia.performance.state", &[], 1.0, 8.0),
    number(
        &["clocks/graphics_clock"],
        "nvidia.clock.frequency",
        &[("nvidia.clock", "graphics")],
        MEGA,
        1000.0,
    ),
    number(
        &["clocks/sm_clock"],
        "nvidia.clock.frequency",
        &[("nvidia.clock", "sm")],
        MEGA,
        1000.0,
    ),
    number(
        &["clocks/mem_clock"],
        "nvidia.clock.frequency",
        &[("nvidia.clock", "memory")],
        MEGA,
        1000.0,
    ),
    number(
        &["clocks/video_clock"],
        "nvidia.clock.frequency",
        &[("nvidia.clock", "video")],
        MEGA,
        1000.0,
    ),
    number(
        &["max_clocks/graphics_clock"],
        "nvidia.clock.frequency.limit",
        &[("nvidia.clock", "graphics")],
        MEGA,
        0.0,
    ),
    number(
        &["max_clocks/sm_clock"],
        "nvidia.clock.frequency.limit",
        &[("nvidia.clock", "sm")],
        MEGA,
        0.0,
    ),
    number(
        &["max_clocks/mem_clock"],
        "nvidia.clock.frequency.limit",
        &[("nvidia.clock", "memory")],
        MEGA,
        0.0,
    ),
    number(
        &["max_clocks/video_clock"],
        "nvidia.clock.frequency.limit",
        &[("nvidia.clock", "video")],
        MEGA,
        0.0,
    ),
    number(
        &["pci/pci_gpu_link_info/pcie_gen/current_link_gen"],
        "nvidia.pcie.link.generation",
        &[],
        1.0,
        5.0,
    ),
    number(
        &["pci/pci_gpu_link_info/pcie_gen/max_link_gen"],
        "nvidia.pcie.link.generation.limit",
        &[],
        1.0,
        0.0,
    ),
    number(
        &["pci/pci_gpu_link_info/link_widths/current_link_width"],
        "nvidia.pcie.link.width",
        &[],
        1.0,
        0.0,
    ),
    number(
        &["pci/pci_gpu_link_info/link_widths/max_link_width"],
        "nvidia.pcie.link.width.limit",
        &[],
        1.0,
        0.0,
    ),
    number(&["pci/replay_counter"], "nvidia.pcie.replays", &[], 1.0, 2.0),
    flag(&["ecc_mode/current_ecc"], "nvidia.ecc.enabled", &[]),
    number(
        &["remapped_rows/remapped_row_corr"],
        "nvidia.remapped.rows",
        &[("error.type", "corrected")],
        1.0,
        0.0,
    ),
    number(
        &["remapped_rows/remapped_row_unc"],
        "nvidia.remapped.rows",
        &[("error.type", "uncorrected")],
        1.0,
        0.0,
    ),
    flag(
        &["remapped_rows/remapped_row_pending"],
        "nvidia.remapped.rows.pending",
        &[],
    ),
    flag(
        &["remapped_rows/remapped_row_failure"],
        "nvidia.remapped.rows.failed",
        &[],
    ),
    number(
        &["retired_pages/multiple_single_bit_retirement/retired_count"],
        "nvidia.retired.pages",
        &[("error.type", "corrected")],
        1.0,
        0.0,
    ),
    number(
        &["retired_pages/double_bit_retirement/retired_count"],
        "nvidia.retired.pages",
        &[("error.type", "uncorrected")],
        1.0,
        0.0,
    ),
    number(
        &["ecc_errors/volatile/dram_correctable"],
        "nvidia.ecc.errors",
        &[("error.type", "corrected"), ("nvidia.memory.location", "dram")],
        1.0,
        2.0,
    ),
    number(
        &["ecc_errors/volatile/dram_uncorrectable"],
        "nvidia.ecc.errors",
        &[("error.type", "uncorrected"), ("nvidia.memory.location", "dram")],
        1.0,
        2.0,
    ),
    number(
        &["ecc_errors/volatile/sram_correctable"],
        "nvidia.ecc.errors",
        &[("error.type", "corrected"), ("nvidia.memory.location", "sram")],
        1.0,
        2.0,
    ),
];

/// Reasons for lowered clocks: `clocks_event_reasons/clocks_event_reason_<word>`, before driver 535
/// `clocks_throttle_reasons/clocks_throttle_reason_<word>`.
pub(super) const REASONS: &[&str] = &[
    "gpu_idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "display_clocks_setting",
];
