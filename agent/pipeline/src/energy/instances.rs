//! Instances of a partitioned device, such as a GPU's of MIG, of which the driver reports how busy each is, but not its processes.

use std::collections::{HashMap, HashSet};

use accelscope_core::energy::Instances;
use accelscope_core::metric::{AttributeValue, Attributes, Batch, Point, key};

use super::accelerators::who;

/// Share of time of the whole device in which each holder kept it busy: that of his instance, by its size, the same for each of
/// several holders of one. Nothing where the driver does not report instances.
pub(super) fn busy(
    series: &Instances,
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
        let Some(instance) = point.attributes.int(series.number) else {
            if point.instrument == series.whole {
                whole = value;
            }
            continue;
        };
        let (unit, name) = series.unit;
        if point.instrument == series.utilization && point.attributes.text(unit) == Some(name) {
            utilization.insert(instance, value);
        } else if point.instrument == series.size {
            sizes.insert(instance, value);
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
        if let Some(instance) = point.attributes.int(series.number) {
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
