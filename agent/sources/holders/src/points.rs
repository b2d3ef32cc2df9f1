//! The points of a look.

use std::sync::Arc;

use super::catalogue as of;
use super::group::{Group, Look};
use super::key::{ACCEL_HOLDER_REASON, ACCEL_HOLDER_RESOURCE, ACCEL_HOLDER_STALL};
use accelscope_core::metric::{Attributes, Instrument, Owner, Point, Timestamp, Value};

const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];
const STALLS: [&str; 2] = ["some", "full"];
const REASONS: [&str; 4] = ["cpu_quota", "cpu", "memory", "io"];

/// Attributes that all groups have in common, built once.
#[derive(Debug)]
pub(super) struct Points {
    none: Arc<Attributes>,
    pressure: [[Arc<Attributes>; 2]; 3],
    reasons: [Arc<Attributes>; 4],
}

impl Points {
    pub(super) fn new() -> Self {
        let pressure = RESOURCES.map(|resource| {
            STALLS.map(|stall| {
                let pairs = [
                    (ACCEL_HOLDER_RESOURCE, resource.into()),
                    (ACCEL_HOLDER_STALL, stall.into()),
                ];
                Arc::new(Attributes::new(pairs))
            })
        });
        Self {
            none: Arc::new(Attributes::empty()),
            pressure,
            reasons: REASONS.map(|reason| Arc::new(Attributes::new([(ACCEL_HOLDER_REASON, reason.into())]))),
        }
    }

    /// Adds those of a group that was looked at. `boot` is the earliest time at which the kernel can have begun to count.
    pub(super) fn add(&self, group: &Group, look: &Look, boot: Option<Timestamp>, to: &mut Vec<Point>) {
        let (owner, time) = (Owner::Within(group.cgroup.clone()), Timestamp::now());
        let start = Some(boot.unwrap_or(group.since).min(time));
        let mut push = |instrument: &'static Instrument, attributes: &Arc<Attributes>, value: Value, start| {
            to.push(Point {
                instrument,
                attributes: attributes.clone(),
                owner: Some(owner.clone()),
                value,
                time,
                start,
            });
        };
        for device in &group.devices {
            push(&of::DEVICE, device, Value::Int(1), None);
        }
        push(&of::PROCESSES, &self.none, count(group.members.len() as u64), None);
        let shares = [look.shares.quota, look.shares.cpu, look.shares.memory, look.shares.io];
        for (reason, share) in self.reasons.iter().zip(shares) {
            if let Some(share) = share {
                push(&of::WAITING, reason, Value::Double(share), None);
            }
        }
        let is_contained = group.cgroup.is_contained();
        if look.cpu_time {
            let instrument = if is_contained {
                &of::CONTAINER_CPU_TIME
            } else {
                &of::CPU_TIME
            };
            push(instrument, &self.none, seconds(group.cpu_time.total()), start);
        }
        if let Some(total) = group.throttle.total().filter(|_| look.throttle) {
            push(&of::QUOTA_PERIODS, &self.none, count(total.periods), start);
            push(&of::THROTTLED_PERIODS, &self.none, count(total.throttled), start);
            push(&of::THROTTLED_TIME, &self.none, seconds(total.time), start);
        }
        if let Some(waited) = group.waited {
            push(
                &of::CPU_WAIT_TIME,
                &self.none,
                seconds(waited),
                Some(group.since.min(time)),
            );
        }
        for (at, resource) in self.pressure.iter().enumerate() {
            for (kind, attributes) in resource.iter().enumerate() {
                if look.pressure[at][kind] {
                    push(
                        &of::PRESSURE,
                        attributes,
                        seconds(group.pressure[at][kind].total()),
                        start,
                    );
                }
            }
        }
        if let Some(cpus) = group.limits.cpus {
            push(&of::CPU_LIMIT, &self.none, Value::Double(cpus), None);
        }
        if let Some(bytes) = look.memory {
            let instrument = if is_contained {
                &of::CONTAINER_MEMORY_USAGE
            } else {
                &of::MEMORY_USAGE
            };
            push(instrument, &self.none, Value::Int(bytes), None);
        }
        if let Some(bytes) = group.limits.memory {
            push(&of::MEMORY_LIMIT, &self.none, Value::Int(bytes), None);
        }
        if look.oom_kills {
            push(&of::OOM_KILLS, &self.none, count(group.oom_kills.total()), start);
        }
    }
}

fn count(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn seconds(nanos: u64) -> Value {
    Value::Double(nanos as f64 / 1e9)
}
