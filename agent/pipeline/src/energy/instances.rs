//! Instances of a partitioned GPU (MIG), of which the driver reports how busy each is, but not its processes.

use std::collections::{HashMap, HashSet};

use accelscope_core::metric::{AttributeValue, Attributes, Batch, Point, key};

use super::accelerators::who;

/// How busy a unit of an instance is, and which: the one that runs programs of any kind.
pub(super) const UTILIZATION: &str = "nvidia.gpm.utilization";
pub(super) const UNIT: (&str, &str) = ("nvidia.gpm.unit", "graphics");
/// Memory of an instance, and of the whole GPU: how large an instance is.
pub(super) const SIZE: &str = "nvidia.mig.memory.limit";
pub(super) const WHOLE: &str = "hw.gpu.memory.limit";
/// Number of an instance on its GPU.
pub(super) const INSTANCE: &str = "nvidia.mig.gpu_instance.id";

/// Share of time of the whole GPU in which each holder kept it busy: that of his instance, by its size, the same for each of
/// several holders of one. Nothing where the driver does not report instances.
pub(super) fn busy(
    device: Option<&AttributeValue>,
    of_device: &[&Point],
    batches: &[Batch],
) -> Option<HashMap<Attributes, f64>> {
    let mut utilization: HashMap<i64, f64> = HashMap::new();
    let (mut sizes, mut whole) = (HashMap::<i64, f64>::new(), 0.0);
    for point in batches.iter().flat_map(|batch| &batch.points) {
        let (Some(value), true) = (point.value.as_f64(), point.attributes.get(key::HW_ID) == device) else {
            continue;
        };
        let Some(instance) = point.attributes.int(INSTANCE) else {
            if point.instrument.name == WHOLE {
                whole = value;
            }
            continue;
        };
        match point.instrument.name {
            UTILIZATION if point.attributes.text(UNIT.0) == Some(UNIT.1) => {
                utilization.insert(instance, value);
            }
            SIZE => {
                sizes.insert(instance, value);
            }
            _ => {}
        }
    }
    if utilization.is_empty() {
        return None;
    }
    let size = |instance: &i64| match sizes.get(instance) {
        Some(size) if whole > 0.0 => (size / whole).min(1.0),
        _ => 1.0 / utilization.len() as f64,
    };
    let mut holders: HashMap<i64, HashSet<Attributes>> = HashMap::new();
    for point in of_device {
        if let Some(instance) = point.attributes.int(INSTANCE) {
            holders.entry(instance).or_default().insert(who(point));
        }
    }
    let mut busy: HashMap<Attributes, f64> = HashMap::new();
    for (instance, holders) in holders {
        let of_instance = utilization.get(&instance).copied().unwrap_or_default() * size(&instance);
        let each = of_instance / holders.len() as f64;
        for holder in holders {
            *busy.entry(holder).or_default() += each;
        }
    }
    Some(busy)
}
