//! The hooks in use, as findings of `agent doctor`.

use std::time::Instant;

use super::live::LiveKernel;
use super::report::{Driver, Report};
use crate::HookKind;
use crate::sampler::NAME;
use crate::{Configuration, Devices};
use accelscope_core::sampler::Finding;
use accelscope_core::source::Context;

/// The hook that each driver gets, what the kernel refuses and why, and remedies. Attaches the hooks for a moment, since
/// only the kernel decides; nothing where there is no device.
pub fn explain_hooks(configuration: &Configuration, context: &Context) -> Vec<Finding> {
    let mut devices = Devices::quiet(configuration, context);
    devices.update(Instant::now());
    let watches: Vec<_> = (0..).zip(devices.all().values()).collect();
    if watches.is_empty() {
        return Vec::new();
    }
    let mut live = LiveKernel::new(configuration, context);
    live.watch(&watches);
    findings(live.report(), live.memory())
}

/// The same of what is hooked already.
pub fn findings(report: &Report, memory: u64) -> Vec<Finding> {
    let mut findings: Vec<_> = report.drivers.iter().map(|found| driver(found, report)).collect();
    // If no driver has a hook, the reason is part of the finding of each driver.
    let hooked = report.drivers.iter().any(|driver| driver.hook != HookKind::Scan);
    findings.extend(report.obstacles.iter().filter(|_| hooked).cloned());
    if let Some(offsets) = report.offsets.as_ref().filter(|_| hooked) {
        let what = format!(
            "the kernel's structures are known from {}; the maps take {:.1} MiB of kernel memory",
            match offsets.as_str() {
                "kernel BTF" => "the kernel itself (BTF)",
                "calibration" => "looking at the agent's own task (calibration), as the kernel has no BTF",
                file => file,
            },
            memory as f64 / f64::from(1 << 20)
        );
        findings.push(Finding::ok(NAME, what));
    }
    findings
}

fn driver(driver: &Driver, report: &Report) -> Finding {
    let devices = driver.devices.join(", ");
    if driver.hook == HookKind::Scan {
        let why: Vec<&Finding> = report.obstacles.iter().chain(&driver.obstacles).collect();
        let what: Vec<_> = why.iter().map(|obstacle| obstacle.what.as_str()).collect();
        let only = format!("{devices}: only who holds them is seen, no calls");
        // A setting of the agent is easier to change than the kernel; else the kind that was tried last has the fewest
        // requirements.
        let names_setting = |obstacle: &&&Finding| {
            let remedy = obstacle.remedy.as_deref();
            remedy.is_some_and(|remedy| remedy.contains("ioctl.hooks"))
        };
        return match why.iter().rev().find(names_setting).or(why.last()) {
            Some(best) => Finding {
                remedy: best.remedy.clone(),
                ..Finding::warn(NAME, format!("{only}: {}", what.join("; ")))
            },
            None => Finding::ok(NAME, format!("{only}, as ioctl.hooks has it")),
        };
    }
    let mut what = format!("{devices}: calls are counted by {}", driver.hook);
    match (&driver.symbol, driver.hook) {
        (Some(symbol), HookKind::Fentry) => what.push_str(&format!(
            " on {symbol}; while the agent runs, {} cannot be unloaded (ioctl.hooks = [\"kprobe\"] leaves it free)",
            driver.name
        )),
        (Some(symbol), _) => what.push_str(&format!(" on {symbol}")),
        (None, _) => what.push_str(", which costs every system call of the machine a little"),
    }
    for unseen in &driver.unseen {
        what.push_str(&format!("; {unseen}"));
    }
    for obstacle in &driver.obstacles {
        what.push_str(&format!("; {}", obstacle.what));
        if let Some(remedy) = &obstacle.remedy {
            what.push_str(&format!(" ({remedy})"));
        }
    }
    Finding::ok(NAME, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use accelscope_core::sampler::Level;

    fn driver_of(hook: HookKind, symbol: Option<&str>, obstacles: Vec<Finding>) -> Driver {
        Driver {
            name: "acme_npu".into(),
            devices: vec!["acme0".into(), "acme1".into()],
            hook,
            symbol: symbol.map(str::to_owned),
            obstacles,
            unseen: Vec::new(),
            sees_compat: true,
        }
    }

    fn obstacle(what: &str) -> Finding {
        Finding::warn(NAME, what).with_remedy(format!("avoid {what}"))
    }

    #[test]
    fn a_driver_with_a_hook_explains_why_not_a_better_one() {
        let report = Report {
            drivers: vec![driver_of(
                HookKind::Tracepoint,
                None,
                vec![obstacle("no kprobe: no CONFIG_KPROBES")],
            )],
            offsets: Some("calibration".into()),
            ..Report::default()
        };
        let found = findings(&report, 5 << 20);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].level, Level::Ok);
        assert!(
            found[0]
                .what
                .starts_with("acme0, acme1: calls are counted by tracepoint"),
            "{found:?}"
        );
        assert!(
            found[0].what.contains("no kprobe: no CONFIG_KPROBES (avoid"),
            "{found:?}"
        );
        assert!(
            found[1].what.contains("5.0 MiB") && found[1].what.contains("calibration"),
            "{found:?}"
        );
    }

    #[test]
    fn without_a_hook_there_is_one_line_with_the_reason() {
        let report = Report {
            drivers: vec![driver_of(HookKind::Scan, None, Vec::new())],
            obstacles: vec![obstacle("the agent lacks CAP_BPF")],
            ..Report::default()
        };
        let found = findings(&report, 0);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Warn);
        assert!(found[0].what.contains("no calls: the agent lacks CAP_BPF"), "{found:?}");
        assert_eq!(found[0].remedy.as_deref(), Some("avoid the agent lacks CAP_BPF"));
        let setting = Finding::warn(NAME, "refused").with_remedy("add raw_tracepoint to ioctl.hooks");
        let option = Finding::warn(NAME, "no such hook").with_remedy("use a kernel that has CONFIG_FTRACE_SYSCALLS");
        let settable = Report {
            drivers: vec![driver_of(HookKind::Scan, None, vec![setting.clone(), option])],
            ..Report::default()
        };
        assert_eq!(findings(&settable, 0)[0].remedy, setting.remedy);
        let wanted = Report {
            drivers: vec![driver_of(HookKind::Scan, None, Vec::new())],
            ..Report::default()
        };
        assert_eq!(findings(&wanted, 0)[0].level, Level::Ok, "it was asked for");
    }
}
