//! What the sampler tells of itself, and who owns devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry::metrics::Counter;

use super::drain::Losses;
use super::holders::Holders;
use super::kernel::{HookKind, Kernel, Report};
use super::labels::{Labels, What};
use super::places::{Label, Places};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::{agent, calls};
use accelscope_core::metric::{Attributes, Instrument, Owner, Point, ProcessKey, Timestamp, Value, key};
use accelscope_core::telemetry;

/// What is said of the sampler's own work.
#[derive(Debug)]
pub(super) struct Own {
    lost: Counter<u64>,
    told: Option<Report>,
    holders: usize,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            lost: telemetry::counter(&agent::IOCTL_LOST),
            told: None,
            holders: 0,
        }
    }
}

impl Own {
    pub(super) fn count(&self, losses: Losses) {
        for (reason, count) in losses {
            self.lost.add(count, &[telemetry::label(key::AGENT_REASON, reason)]);
        }
    }

    /// Says once what is not seen, and why.
    pub(super) fn tell(&mut self, report: &Report) {
        if self.told.as_ref() == Some(report) {
            return;
        }
        for driver in &report.drivers {
            let obstacle = driver.obstacles.first().or(report.obstacles.first());
            if driver.hook != HookKind::Scan {
                tracing::info!(driver = driver.name, hook = %driver.hook, devices = ?driver.devices, "calls are counted");
            } else if let Some(obstacle) = obstacle.filter(|_| self.is_news(&driver.name)) {
                tracing::warn!(
                    driver = driver.name,
                    why = obstacle.what,
                    remedy = obstacle.remedy,
                    "the calls of these devices are not seen, only who holds them open; `agent doctor` says more"
                );
            }
        }
        self.told = Some(report.clone());
    }

    fn is_news(&self, driver: &str) -> bool {
        let before = self.told.iter().flat_map(|report| &report.drivers);
        !before
            .clone()
            .any(|one| one.name == driver && one.hook == HookKind::Scan)
    }

    /// Whether there are more or fewer holders than before.
    pub(super) fn holders_are(&mut self, points: &[Point]) -> bool {
        let now = points.iter().filter(|point| point.owner.is_some()).count();
        std::mem::replace(&mut self.holders, now) != now
    }

    pub(super) fn points(kernel: &dyn Kernel, records: usize, time: Timestamp) -> Vec<Point> {
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

/// Who has marked a Hailo device as in use.
#[derive(Debug, Default)]
pub(super) struct Users(BTreeMap<Label, ProcessKey>);

impl Users {
    pub(super) fn is_now(&mut self, device: Label, process: ProcessKey) {
        self.0.insert(device, process);
    }

    /// Whether one of them has ended, or closed the device.
    pub(super) fn look(&mut self, processes: &Processes, holders: &Holders, places: &Places) -> bool {
        let before = self.0.len();
        self.0.retain(|label, process| {
            let number = places.labelled(*label).map(|device| device.number);
            let holds = number.is_some_and(|number| holders.of(number).any(|holder| holder == *process));
            processes.is_alive(*process) && (holds || !holders.is_complete())
        });
        self.0.len() != before
    }

    pub(super) fn points(&self, labels: &mut Labels, places: &Places, time: Timestamp) -> Vec<Point> {
        let of = self.0.iter().filter_map(|(label, process)| {
            Some(Point {
                instrument: &calls::HAILO_OWNER,
                attributes: labels.get(places, *label, What::Device)?,
                owner: Some(Owner::Process {
                    process: *process,
                    always_pid: true,
                }),
                value: Value::Int(1),
                time,
                start: None,
            })
        });
        of.collect()
    }
}
