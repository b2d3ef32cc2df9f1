//! Metrics and log lines about the sampler itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use opentelemetry::metrics::Counter;

use super::drain::OWNER_FOLDED;
use super::kernel::{HookKind, LiveKernel, Losses, Report};
use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Attributes, Instrument, Point, Timestamp, Value, key};
use accelscope_core::telemetry;

/// The sampler's own metrics, and what it has logged.
#[derive(Debug)]
pub(super) struct SelfMetrics {
    lost: Counter<u64>,
    /// The reasons whose counts have begun: at 0, so that the first loss is an increase.
    begun: BTreeSet<&'static str>,
    logged: Option<Report>,
    warned_of_crowd: bool,
}

impl Default for SelfMetrics {
    fn default() -> Self {
        Self {
            lost: telemetry::counter(&agent::IOCTL_LOST),
            begun: BTreeSet::new(),
            logged: None,
            warned_of_crowd: false,
        }
    }
}

impl SelfMetrics {
    pub(super) fn count(&mut self, losses: Losses) {
        for (reason, count) in losses {
            if count == 0 && !self.begun.insert(reason) {
                continue;
            }
            if count > 0 && reason == OWNER_FOLDED && !std::mem::replace(&mut self.warned_of_crowd, true) {
                tracing::warn!(
                    "more control groups call devices within five minutes than have series of their own: the calls of \
                     further ones are shown together, with process.executable.name=\"_OTHER\", and counted in \
                     agent.ioctl.lost as owner_folded; find out what creates so many containers"
                );
            }
            self.lost.add(count, &[telemetry::label(key::AGENT_REASON, reason)]);
        }
    }

    /// Logs once by which hook calls are counted, or why they are not.
    pub(super) fn log(&mut self, report: &Report) {
        if self.logged.as_ref() == Some(report) {
            return;
        }
        for driver in &report.drivers {
            let obstacle = driver.obstacles.first().or(report.obstacles.first());
            if driver.hook != HookKind::Scan {
                tracing::info!(driver = driver.name, hook = %driver.hook, devices = ?driver.devices, "calls are counted");
            } else if let Some(obstacle) = obstacle.filter(|_| !self.is_logged(&driver.name)) {
                tracing::warn!(
                    driver = driver.name,
                    why = obstacle.what,
                    remedy = obstacle.remedy,
                    "the calls of these devices are not seen, only who holds them open; `agent doctor` says more"
                );
            }
        }
        self.logged = Some(report.clone());
    }

    fn is_logged(&self, driver: &str) -> bool {
        let mut before = self.logged.iter().flat_map(|report| &report.drivers);
        before.any(|one| one.name == driver && one.hook == HookKind::Scan)
    }

    pub(super) fn points(kernel: &LiveKernel, records: usize, time: Timestamp) -> Vec<Point> {
        let point = |instrument: &'static Instrument, attributes: Attributes, value: u64| Point {
            instrument,
            attributes: Arc::new(attributes),
            owner: None,
            value: Value::Int(i64::try_from(value).unwrap_or(i64::MAX)),
            time,
            start: None,
        };
        let mut points = vec![
            point(&agent::IOCTL_MEMORY, Attributes::empty(), kernel.memory()),
            point(&agent::IOCTL_RECORDS, Attributes::empty(), records as u64),
        ];
        points.extend(kernel.report().drivers.iter().map(|driver| {
            let attributes = Attributes::new([
                (key::AGENT_IOCTL_DRIVER, driver.name.as_str().into()),
                (key::AGENT_IOCTL_HOOK, driver.hook.as_str().into()),
            ]);
            point(&agent::IOCTL_DEVICES, attributes, driver.devices.len() as u64)
        }));
        points
    }
}
