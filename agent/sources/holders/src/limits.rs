//! Limits of a group and of the one around it.

use std::path::Path;

use accelscope_core::host::cgroups::Groups;
use accelscope_core::host::sysfs;

use super::parse::{bytes_limit, cpu_limit};

/// The smaller ones of both groups; nothing where neither has any.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub(super) cpus: Option<f64>,
    pub(super) memory: Option<i64>,
    /// Whether the group around has a quota, so that it may throttle.
    pub(super) around_has_quota: bool,
}

impl Limits {
    pub(super) fn read(groups: &Groups) -> Self {
        let (own, around) = match groups.legacy("cpu") {
            Some(group) => both(group, cpus_v1),
            None => groups.unified().map_or((None, None), |group| both(group, cpus_v2)),
        };
        let memory = match groups.legacy("memory") {
            Some(group) => both(group, |group| bytes(group, "memory.limit_in_bytes")),
            None => groups
                .unified()
                .map_or((None, None), |group| both(group, |group| bytes(group, "memory.max"))),
        };
        let least = own.into_iter().chain(around).reduce(f64::min);
        Self {
            cpus: least,
            memory: memory.0.into_iter().chain(memory.1).min(),
            around_has_quota: around.is_some(),
        }
    }
}

fn both<T>(group: &Path, limit: impl Fn(&Path) -> Option<T>) -> (Option<T>, Option<T>) {
    (limit(group), group.parent().and_then(limit))
}

fn cpus_v1(group: &Path) -> Option<f64> {
    let [quota, period] = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map(|name| sysfs::text(&group.join(name)));
    cpu_limit(&quota?, &period?)
}

fn cpus_v2(group: &Path) -> Option<f64> {
    let text = sysfs::text(&group.join("cpu.max"))?;
    let (quota, period) = text.split_once(' ')?;
    cpu_limit(quota, period)
}

fn bytes(group: &Path, name: &str) -> Option<i64> {
    bytes_limit(&sysfs::text(&group.join(name))?)
}
