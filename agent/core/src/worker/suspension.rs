//! Suspension of calls that hung or crashed in a vendor's library, for longer after each repetition.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Longest suspension, unless the first is longer. Each lasts twice as long as the one before.
const LONGEST: Duration = Duration::from_hours(1);
/// Task of identifying a device: if it fails, the whole device is suspended.
pub const DISCOVERY: &str = "devices";
/// Number of devices that may hang in a task before it is suspended for all.
const MAX_HUNG: usize = 2;
/// Limit of stored suspensions: beyond it, the oldest is dropped.
const MAX_SUSPENSIONS: usize = 64;

/// Kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call did not return.
    Hung,
    /// The call ended the process.
    Crashed,
}

impl Fault {
    /// Value of the attribute `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hung => "hung",
            Self::Crashed => "crashed",
        }
    }
}

/// Unit of calls and of suspensions: a task of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkUnit {
    /// The device's stable id; empty for all devices, or if it is not known yet.
    pub device: String,
    /// The library's number of the device, if it has one: a process that suspends a device does not read its id.
    pub index: Option<u32>,
    /// A group of readings; empty for all.
    pub task: String,
}

impl WorkUnit {
    /// Whether it belongs to that device. Numbers may change when the driver is reloaded; ids do not.
    fn is_of(&self, device: &str, index: Option<u32>) -> bool {
        if self.device.is_empty() || device.is_empty() {
            self.index.is_some() && self.index == index
        } else {
            self.device == device
        }
    }

    fn is_of_all(&self) -> bool {
        self.device.is_empty() && self.index.is_none()
    }

    /// Whether it includes that task of that device.
    fn covers(&self, device: &str, index: Option<u32>, task: &str) -> bool {
        (self.is_of_all() || self.is_of(device, index)) && (self.task.is_empty() || self.task == task)
    }
}

impl std::fmt::Display for WorkUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.task.as_str() {
            DISCOVERY if self.is_of_all() => return f.write_str("the list of devices"),
            "" => f.write_str("everything")?,
            task => write!(f, "the {task}")?,
        }
        match (self.device.as_str(), self.index) {
            ("", None) => f.write_str(" of all devices"),
            ("", Some(index)) => write!(f, " of device {index}"),
            (device, _) => write!(f, " of {device}"),
        }
    }
}

/// A current or recent suspension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    unit: WorkUnit,
    /// Kind of the failure.
    pub fault: Fault,
    /// Number of failures in a row.
    strikes: u32,
    since: SystemTime,
    lasts: Duration,
    /// Whether it has not ended in the present pass.
    #[serde(skip)]
    is_active: bool,
}

impl Suspension {
    /// Not extended if the clock was set back.
    fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.since).unwrap_or(Duration::MAX)
    }

    /// Dropped after the unit has worked for as long as it was suspended.
    fn is_over(&self, now: SystemTime) -> bool {
        self.age(now) >= self.lasts.saturating_mul(2)
    }
}

impl std::fmt::Display for Suspension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ({} {} time(s), not read for {:.0} s)",
            self.unit,
            self.fault.as_str(),
            self.strikes,
            self.lasts.as_secs_f64()
        )
    }
}

/// The suspensions of a worker, which one process passes to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Suspensions(Vec<Suspension>);

impl Suspensions {
    /// Records that a call for `unit` hung or crashed, and returns what is suspended for it: nothing where it was the
    /// library itself. `first` is how long the first suspension lasts.
    pub(super) fn record(
        &mut self,
        unit: WorkUnit,
        fault: Fault,
        first: Duration,
        now: SystemTime,
    ) -> Option<&Suspension> {
        self.0.retain(|one| !one.is_over(now));
        let unit = self.widened(unit, fault)?;
        let within = |one: &Suspension| unit.covers(&one.unit.device, one.unit.index, &one.unit.task);
        let before = self.0.iter().filter(|one| within(one) && one.unit.task == unit.task);
        let strikes = before.map(|one| one.strikes).max().unwrap_or(0).saturating_add(1);
        self.0.retain(|one| !within(one));
        if self.0.len() >= MAX_SUSPENSIONS {
            self.0.remove(0);
        }
        self.0.push(Suspension {
            unit,
            fault,
            strikes,
            since: now,
            lasts: first.saturating_mul(1 << (strikes - 1).min(16)).min(first.max(LONGEST)),
            is_active: false,
        });
        self.0.last()
    }

    /// What is to be suspended: the second task of a device takes the whole device with it, since each costs the others
    /// a reading. So does a task that crashed with a second device, or hung with a third, for all devices. Nothing where
    /// it was the library itself.
    fn widened(&self, mut unit: WorkUnit, fault: Fault) -> Option<WorkUnit> {
        if unit.task == DISCOVERY {
            unit.task.clear();
        }
        if unit.is_of_all() {
            return (!unit.task.is_empty()).then_some(unit);
        }
        let (of_it, others): (Vec<&Suspension>, Vec<&Suspension>) =
            self.0.iter().partition(|one| one.unit.is_of(&unit.device, unit.index));
        if unit.device.is_empty()
            && let Some(known) = of_it.iter().find(|one| !one.unit.device.is_empty())
        {
            unit.device.clone_from(&known.unit.device);
        }
        if of_it.iter().any(|one| one.unit.task != unit.task) {
            unit.task.clear();
        }
        let is_same = |one: &&&Suspension| !unit.task.is_empty() && one.unit.task == unit.task && one.fault == fault;
        let most = if fault == Fault::Hung { MAX_HUNG } else { 1 };
        if others.iter().filter(is_same).count() >= most
            || others.iter().filter(is_same).any(|one| one.unit.is_of_all())
        {
            unit.device.clear();
            unit.index = None;
        }
        Some(unit)
    }

    /// As they are at the begin of a pass.
    pub(super) fn at(&self, now: SystemTime) -> Suspended {
        let current = self.0.iter().filter(|one| !one.is_over(now)).cloned();
        Suspended(
            current
                .map(|one| Suspension {
                    is_active: one.age(now) < one.lasts,
                    ..one
                })
                .collect(),
        )
    }
}

/// What is suspended, or was until recently, in one pass.
#[derive(Debug, Clone, Default)]
pub struct Suspended(Vec<Suspension>);

impl Suspended {
    fn active(&self) -> impl Iterator<Item = &Suspension> {
        self.0.iter().filter(|one| one.is_active)
    }

    /// Whether nothing is suspended.
    pub fn is_empty(&self) -> bool {
        self.active().next().is_none()
    }

    /// Why that task of that device is not read, if it is suspended.
    pub fn find(&self, device: &str, index: Option<u32>, task: &str) -> Option<&Suspension> {
        self.active().find(|one| one.unit.covers(device, index, task))
    }

    /// Why the whole device is not read, if it is suspended.
    pub fn find_device(&self, device: &str, index: Option<u32>) -> Option<&Suspension> {
        self.active()
            .find(|one| one.unit.task.is_empty() && one.unit.is_of(device, index))
    }

    /// Whether this task is to be read after all others of every device: it hung or crashed with all of them, or crashed
    /// once.
    pub fn is_suspect_task(&self, task: &str) -> bool {
        self.0
            .iter()
            .any(|one| one.unit.task == task && (one.unit.is_of_all() || one.fault == Fault::Crashed))
    }

    /// Whether this device is to be read after all others.
    pub fn is_suspect_device(&self, device: &str, index: Option<u32>) -> bool {
        self.0.iter().any(|one| one.unit.is_of(device, index))
    }

    /// The id of the device with that number, if a suspension has it.
    pub fn device_at(&self, index: u32) -> Option<&str> {
        let one = self.0.iter().find(|one| one.unit.index == Some(index))?;
        Some(one.unit.device.as_str()).filter(|device| !device.is_empty())
    }
}

impl std::fmt::Display for Suspended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.active().map(ToString::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_mins(1);

    fn unit(index: u32, task: &str) -> WorkUnit {
        WorkUnit {
            device: format!("GPU-{index}"),
            index: Some(index),
            task: task.to_owned(),
        }
    }

    fn active(suspended: &Suspended) -> Vec<(String, String)> {
        let unit = |one: &Suspension| (one.unit.device.clone(), one.unit.task.clone());
        suspended.active().map(unit).collect()
    }

    #[test]
    fn what_hangs_again_is_suspended_twice_as_long_and_what_works_is_forgotten() {
        let mut suspensions = Suspensions::default();
        let mut now = SystemTime::UNIX_EPOCH + Duration::from_hours(1000);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            suspensions.record(unit(0, "ecc"), Fault::Hung, FIRST, now);
            let is_suspended = |now| suspensions.at(now).find("GPU-0", Some(0), "ecc").is_some();
            let end = now + Duration::from_mins(minutes);
            assert!(is_suspended(end - Duration::from_secs(1)), "{minutes} min");
            assert!(!is_suspended(end), "{minutes} min");
            assert!(!is_suspended(now - Duration::from_secs(1)), "the clock was set back");
            assert!(
                suspensions.at(end).is_suspect_device("GPU-0", Some(0)),
                "it is on trial"
            );
            now = end;
        }
        now += Duration::from_hours(1);
        assert!(!suspensions.at(now).is_suspect_device("GPU-0", Some(0)));
        suspensions.record(unit(0, "ecc"), Fault::Hung, FIRST, now);
        assert!(
            suspensions
                .at(now + Duration::from_mins(1))
                .find("GPU-0", None, "ecc")
                .is_none()
        );
    }

    #[test]
    fn a_second_task_takes_the_device_and_one_that_cannot_be_found_is_suspended_whole() {
        let now = SystemTime::now();
        let mut suspensions = Suspensions::default();
        suspensions.record(unit(3, "power"), Fault::Hung, FIRST, now);
        assert_eq!(active(&suspensions.at(now)), [("GPU-3".into(), "power".into())]);
        // The process that followed does not get as far as its id.
        let unnamed = WorkUnit {
            device: String::new(),
            ..unit(3, DISCOVERY)
        };
        suspensions.record(unnamed.clone(), Fault::Hung, FIRST, now);
        let suspended = suspensions.at(now);
        assert_eq!(active(&suspended), [("GPU-3".into(), String::new())]);
        assert_eq!(suspended.device_at(3), Some("GPU-3"));
        assert!(suspended.find_device("", Some(3)).is_some() && suspended.find("GPU-3", Some(3), "ecc").is_some());
        assert!(
            suspended.find_device("GPU-4", Some(3)).is_none(),
            "another device has its number now"
        );
        let mut suspensions = Suspensions::default();
        suspensions.record(unnamed, Fault::Hung, FIRST, now);
        assert!(suspensions.at(now).find_device("", Some(3)).is_some());
        // The library itself: nothing can be suspended.
        let mut suspensions = Suspensions::default();
        suspensions.record(
            WorkUnit {
                task: DISCOVERY.to_owned(),
                ..WorkUnit::default()
            },
            Fault::Hung,
            FIRST,
            now,
        );
        assert_eq!(suspensions, Suspensions::default());
    }

    #[test]
    fn a_task_that_fails_wherever_it_is_read_is_suspended_for_all() {
        let now = SystemTime::now();
        let mut crashed = Suspensions::default();
        crashed.record(unit(0, "ecc"), Fault::Crashed, FIRST, now);
        assert!(crashed.at(now).is_suspect_task("ecc") && !crashed.at(now).is_suspect_task("power"));
        crashed.record(unit(1, "ecc"), Fault::Crashed, FIRST, now);
        assert_eq!(active(&crashed.at(now)), [(String::new(), "ecc".into())]);
        let mut hung = Suspensions::default();
        hung.record(unit(0, "ecc"), Fault::Hung, FIRST, now);
        hung.record(unit(1, "ecc"), Fault::Hung, FIRST, now);
        assert!(!hung.at(now).is_suspect_task("ecc"), "it may be the devices");
        hung.record(unit(2, "ecc"), Fault::Hung, FIRST, now);
        assert_eq!(active(&hung.at(now)), [(String::new(), "ecc".into())]);
        // On trial again: with any device it is suspended for all again.
        let later = now + Duration::from_mins(2);
        hung.record(unit(5, "ecc"), Fault::Hung, FIRST, later);
        assert_eq!(active(&hung.at(later)), [(String::new(), "ecc".into())]);
    }
}
