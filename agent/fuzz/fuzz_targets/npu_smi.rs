//! Arbitrary output of `npu-smi`: no panic, no chip without a row, no value out of range.
#![no_main]

use accelscope_ascend::npu_smi;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(table) = npu_smi::parse(&text) {
        let rows = text.lines().filter(|line| line.contains('|')).count();
        assert!(table.chips.len() + table.processes.len() <= rows);
        for chip in &table.chips {
            for percent in [chip.aicore_percent, chip.aicpu_percent, chip.npu_percent]
                .into_iter()
                .flatten()
            {
                assert!((0.0..=100.0).contains(&percent));
            }
            assert!(chip.power_watts.is_none_or(|watts| watts > 0.0 && watts.is_finite()));
            assert!(chip.orphan == chip.health.is_none() || !chip.orphan);
        }
        for usage in table.chips.iter().flat_map(|chip| [chip.ddr, chip.hbm, chip.hugepages]) {
            assert!(usage.limit != Some(0));
            assert!(usage.used.zip(usage.limit).is_none_or(|(used, limit)| used <= limit));
        }
    }
    npu_smi::processes(&text, 0).ok();
    npu_smi::mapping(&text).ok();
});
