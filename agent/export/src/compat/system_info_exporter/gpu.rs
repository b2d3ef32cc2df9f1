//! GPUs in the whole numbers of `nvidia-smi`, as the replaced tool parsed them.

use serde::Serialize;

use crate::compat::exposition::rounded;
use crate::compat::gpus::{Gpu, Gpus};

const MIB: f64 = 1_048_576.0;

/// A GPU; the names and the order are those of the tool's JSON.
#[derive(Debug, Serialize)]
pub(super) struct Device<'a> {
    pub(super) index: i64,
    pub(super) name: &'a str,
    pub(super) uuid: &'a str,
    pub(super) memory_total_mb: Option<i64>,
    pub(super) memory_used_mb: Option<i64>,
    pub(super) memory_free_mb: Option<i64>,
    pub(super) utilization_percent: Option<i64>,
    pub(super) temperature_celsius: Option<i64>,
    pub(super) power_draw_watts: Option<i64>,
    pub(super) power_limit_watts: Option<i64>,
}

impl<'a> Device<'a> {
    fn of(gpu: &Gpu<'a>) -> Self {
        let free = || Some(gpu.memory_total? - gpu.memory_used? - gpu.memory_reserved.unwrap_or_default());
        Self {
            index: gpu.index,
            name: gpu.model,
            uuid: gpu.uuid,
            memory_total_mb: gpu.memory_total.and_then(mebibytes),
            memory_used_mb: gpu.memory_used.and_then(mebibytes),
            memory_free_mb: free().and_then(mebibytes),
            utilization_percent: gpu.utilization.and_then(|ratio| amount((ratio * 100.0).round())),
            temperature_celsius: gpu.temperature.and_then(|celsius| whole(celsius.round())),
            power_draw_watts: gpu.power.and_then(watts),
            power_limit_watts: gpu.power_limit.and_then(watts),
        }
    }

    /// Whether it is in use by the document of the tool: any utilization, or any memory. `None` where one of them is unknown
    /// and the other does not decide.
    fn is_used(&self) -> Option<bool> {
        let signs = [self.utilization_percent, self.memory_used_mb];
        if signs.iter().flatten().any(|sign| *sign > 0) {
            return Some(true);
        }
        signs.iter().all(Option::is_some).then_some(false)
    }
}

pub(super) fn devices<'a>(gpus: &Gpus<'a>) -> Vec<Device<'a>> {
    gpus.all.iter().map(Device::of).collect()
}

/// Number of GPUs in use; `None` while it is not known of one of them.
pub(super) fn used_count(gpus: &Gpus<'_>, devices: &[Device<'_>]) -> Option<usize> {
    let used = devices.iter().map(Device::is_used).collect::<Option<Vec<_>>>()?;
    gpus.are_complete()
        .then(|| used.into_iter().filter(|used| *used).count())
}

/// `nvidia-smi` cuts the rest off.
fn mebibytes(bytes: f64) -> Option<i64> {
    amount(bytes / MIB)
}

/// `nvidia-smi` prints two decimals, which the tool cut off.
fn watts(watts: f64) -> Option<i64> {
    amount(rounded(watts, 2))
}

fn amount(number: f64) -> Option<i64> {
    whole(number).filter(|number| *number >= 0)
}

fn whole(number: f64) -> Option<i64> {
    (-9e18..9e18).contains(&number).then_some(number as i64)
}
