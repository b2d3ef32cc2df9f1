//! Section of the live table: the host.

use crate::catalogue::{
    CPU_LOGICAL_COUNT, CPU_UTILIZATION, LOAD_1M, LOAD_5M, LOAD_15M, MEMORY_LIMIT, MEMORY_USAGE, PRESSURE_RATIO, UPTIME,
};
use crate::key::{CPU_MODE, SYSTEM_LINUX_PRESSURE_RESOURCE, SYSTEM_LINUX_PRESSURE_STALL_TYPE, SYSTEM_MEMORY_STATE};
use accelscope_core::metric::{Attributes, Instrument};
use accelscope_core::table::{Lookup, Rates, Section, absent, decimal, number, percent, text, value, whole};

const GIB: f64 = 1_073_741_824.0;

/// The sections.
pub(crate) const SECTIONS: &[Section] = &[Section {
    title: "HOST",
    columns: &[
        value("CPU"),
        value("CPUS"),
        value("LOAD 1 M"),
        value("5 M"),
        value("15 M"),
        value("MEMORY"),
        value("UPTIME"),
        value("CPU WAITS"),
        value("MEMORY WAITS"),
        value("IO WAITS"),
    ],
    rated: |_| false,
    rows,
}];

fn rows(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let plain = |instrument| series.value(instrument, &Attributes::empty());
    let waits = |resource: &str| {
        let of = [
            (SYSTEM_LINUX_PRESSURE_RESOURCE, resource),
            (SYSTEM_LINUX_PRESSURE_STALL_TYPE, "some"),
        ];
        percent(find(series, &PRESSURE_RATIO, &of))
    };
    let memory = find(series, &MEMORY_USAGE, &[(SYSTEM_MEMORY_STATE, "used")]);
    let row = vec![
        percent(busy(series)),
        whole(plain(&CPU_LOGICAL_COUNT)),
        decimal(plain(&LOAD_1M)),
        decimal(plain(&LOAD_5M)),
        decimal(plain(&LOAD_15M)),
        match (memory, plain(&MEMORY_LIMIT)) {
            (Some(used), Some(limit)) => format!("{:.1} / {:.1} GiB", used / GIB, limit / GIB),
            _ => absent(),
        },
        plain(&UPTIME).map_or_else(absent, time),
        waits("cpu"),
        waits("memory"),
        waits("io"),
    ];
    if row.iter().all(|cell| *cell == absent()) {
        return Vec::new();
    }
    vec![row]
}

/// What was done: all modes but those in which the CPUs had nothing to do, or were another machine's.
fn busy(series: &Lookup<'_>) -> Option<f64> {
    let mut busy = None;
    for one in series.of(&CPU_UTILIZATION) {
        let mode = text(&one.attributes, CPU_MODE);
        let share = number(Some(&one))?;
        let is_work = !["idle", "iowait", "steal"].contains(&mode.as_str());
        *busy.get_or_insert(0.0) += if is_work { share } else { 0.0 };
    }
    busy
}

fn find(series: &Lookup<'_>, instrument: &Instrument, of: &[(&'static str, &str)]) -> Option<f64> {
    let attributes = Attributes::new(of.iter().map(|(key, value)| (*key, (*value).into())));
    series.value(instrument, &attributes)
}

/// The two largest units.
fn time(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} m {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} m"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_has_its_two_largest_units() {
        for (seconds, shown) in [
            (5.9, "5 s"),
            (65.0, "1 m 5 s"),
            (3_660.0, "1 h 1 m"),
            (86_400.0 * 400.0 + 7_300.0, "400 d 2 h"),
        ] {
            assert_eq!(time(seconds), shown);
        }
    }
}
