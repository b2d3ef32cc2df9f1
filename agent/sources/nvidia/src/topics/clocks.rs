//! Clocks, and the reasons why they are reduced.

use crate::catalogue::nvidia;
use crate::gpu::Gpu;
use crate::key;
use crate::nvml::sys::{
    nvmlClockType_enum_NVML_CLOCK_GRAPHICS as GRAPHICS, nvmlClockType_enum_NVML_CLOCK_MEM as MEMORY,
    nvmlClockType_enum_NVML_CLOCK_SM as SM, nvmlClockType_enum_NVML_CLOCK_VIDEO as VIDEO,
};
use crate::nvml::{Device, OrOlder};
use crate::recorder::Recorder;
use crate::topic::Topic;

/// Limit of plausible clocks: higher values are sentinels.
const MOST_MEGAHERTZ: u32 = 100_000;

/// Bits of the reasons (nvml.h 13.5) and their names in `nvidia-smi`.
const REASONS: [(u64, &str); 11] = [
    (0x1, "gpu_idle"),
    (0x2, "applications_clocks_setting"),
    (0x4, "sw_power_cap"),
    (HW_SLOWDOWN, "hw_slowdown"),
    (0x10, "sync_boost"),
    (0x20, "sw_thermal_slowdown"),
    (0x40, "hw_thermal_slowdown"),
    (0x80, "hw_power_brake_slowdown"),
    (0x100, "display_clock_setting"),
    (0x200, "board_limit"),
    (0x400, "reliability"),
];

/// Set with each of the two reasons of the hardware, and alone on boards that do not distinguish them.
const HW_SLOWDOWN: u64 = 0x8;

pub(super) struct Clocks;

impl Topic for Clocks {
    fn name(&self) -> &'static str {
        "clocks"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        for (kind, now, limit, clock) in [
            ("graphics", "graphics_clock", "max_graphics_clock", GRAPHICS),
            ("sm", "sm_clock", "max_sm_clock", SM),
            ("memory", "memory_clock", "max_memory_clock", MEMORY),
            ("video", "video_clock", "max_video_clock", VIDEO),
        ] {
            let megahertz = gpu.ask(now, recorder, |device| device.clock(clock));
            let most = gpu.ask(limit, recorder, |device| device.max_clock(clock));
            let both = [
                (&nvidia::CLOCK_FREQUENCY, megahertz),
                (&nvidia::CLOCK_FREQUENCY_LIMIT, most),
            ];
            for (instrument, megahertz) in both {
                if let Some(megahertz) = megahertz.filter(|megahertz| *megahertz <= MOST_MEGAHERTZ) {
                    let hertz = i64::from(megahertz) * 1_000_000;
                    recorder.gauge(instrument, &gpu.label, [(key::NVIDIA_CLOCK, kind.into())], hertz);
                }
            }
        }
        reasons(gpu, recorder);
        if let Some(state) = gpu.ask("performance_state", recorder, Device::performance_state) {
            // 32 is unknown.
            match state {
                0..=15 => recorder.gauge(&nvidia::PERFORMANCE_STATE, &gpu.label, [], i64::from(state)),
                _ => recorder.skip("performance_state.unknown"),
            }
        }
    }
}

fn reasons(gpu: &mut Gpu, recorder: &mut Recorder) {
    let now = gpu.ask("throttle_reasons", recorder, |device| {
        device
            .clocks_event_reasons()
            .or_older(|| device.clocks_throttle_reasons())
    });
    let Some(now) = now else { return };
    // A bit that the board cannot set is absent instead of 0; if the set is unknown, those that existed when the
    // driver's functions got these names.
    let supported = gpu.ask("supported_throttle_reasons", recorder, |device| {
        device
            .supported_event_reasons()
            .or_older(|| device.supported_throttle_reasons())
    });
    let supported = supported.unwrap_or(0x1ff) | now;
    gpu.health.slowed |= now & (HW_SLOWDOWN | 0x40 | 0x80) != 0;
    for (bit, word) in REASONS {
        if supported & bit != 0 {
            let reason = (key::NVIDIA_THROTTLE_REASON, word.into());
            recorder.gauge(
                &nvidia::THROTTLE_ACTIVE,
                &gpu.label,
                [reason],
                i64::from(now & bit != 0),
            );
        }
    }
    if now & !REASONS.iter().fold(0, |all, (bit, _)| all | bit) != 0 {
        recorder.skip("throttle_reasons.unknown");
    }
}
