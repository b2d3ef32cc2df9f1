//! Shares of an accelerator, by what its driver reports of its processes.

use std::collections::HashMap;
use std::sync::Arc;

use accelscope_core::energy::{Idle, Instances};
use accelscope_core::metric::catalogue::{WORKLOAD_KEYS, accel};
use accelscope_core::metric::{Attributes, Batch, Owner, Point, key};

use super::instances;
use super::ledger::{Share, Shares};

/// The unit of a GPU in which programs run.
const UNIT: &str = "general";

/// A holder of the device.
#[derive(Debug)]
struct Holder {
    who: Arc<Attributes>,
    outermost: Option<Arc<str>>,
    /// Share of time in which it kept the device busy, where the driver reports that.
    busy: Option<f64>,
}

/// Shares of the device that a reading of energy is of, in the same run.
pub(super) fn shares(
    energy: &Point,
    batches: &[Batch],
    withheld: &[Point],
    instances: Option<&Instances>,
    idle: Idle,
) -> Shares {
    let device = energy.attributes.get(key::HW_ID);
    let points = batches.iter().flat_map(|batch| &batch.points).chain(withheld);
    let of_device =
        points.filter(|point| point.instrument.owned && device.is_some() && point.attributes.get(key::HW_ID) == device);
    let of_device: Vec<&Point> = of_device.collect();
    let mut holders = holders(&of_device);
    let by_instance = instances.and_then(|series| instances::busy(series, device, &of_device, batches));
    if let Some(by_instance) = by_instance {
        for (who, busy) in by_instance {
            if let Some(holder) = holders.get_mut(&who) {
                *holder.busy.get_or_insert_default() += busy;
            }
        }
    }
    let holders: Vec<Holder> = holders.into_values().collect();
    let (method, parts) = divide(&holders, idle);
    let shares = holders.into_iter().zip(parts).map(|(holder, part)| Share {
        who: holder.who,
        outermost: holder.outermost,
        part,
        is_shown: true,
    });
    Shares {
        method,
        shares: shares.collect(),
    }
}

fn divide(holders: &[Holder], idle: Idle) -> (&'static str, Vec<f64>) {
    let is_reported = holders.iter().any(|holder| holder.busy.is_some());
    if !is_reported {
        let method = if holders.len() == 1 { "exclusive" } else { "even" };
        return (method, vec![1.0 / holders.len() as f64; holders.len()]);
    }
    let busy = holders.iter().map(|holder| holder.busy.unwrap_or_default());
    let together: f64 = busy.clone().sum();
    let whole = match idle {
        Idle::Proportional if together > 0.0 => together,
        Idle::Proportional | Idle::Unattributed => 1.0,
    };
    ("utilization", busy.map(|busy| busy / whole).collect())
}

/// Those whose processes use the device, by their attributes. All processes that are in nothing are nobody's.
fn holders(points: &[&Point]) -> HashMap<Attributes, Holder> {
    let mut holders: HashMap<Attributes, Holder> = HashMap::new();
    for point in points {
        let holder = holders.entry(who(point)).or_insert_with_key(|who| Holder {
            who: Arc::new(who.clone()),
            outermost: match &point.owner {
                Some(Owner::Outermost(group)) => Some(Arc::clone(group)),
                _ => None,
            },
            busy: None,
        });
        let unit = point.attributes.text(key::HW_GPU_TASK);
        if *point.instrument == accel::PROCESS_UTILIZATION && unit.is_none_or(|unit| unit == UNIT) {
            *holder.busy.get_or_insert_default() += point.value.as_f64().unwrap_or_default();
        }
    }
    holders
}

/// What the process is in, without the process itself.
pub(super) fn who(point: &Point) -> Attributes {
    let workload = point.attributes.iter().filter(|(key, _)| WORKLOAD_KEYS.contains(key));
    Attributes::new(workload.cloned())
}
