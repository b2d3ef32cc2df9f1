//! One series of what several files say under the same name.

use std::collections::HashMap;
use std::sync::Arc;

use accelscope_core::metric::{Attributes, Kind, Merge, Point, Value};

/// One point a series, by the instrument's rule. Points of a process are told apart by it, these are not.
pub(super) fn combine(points: Vec<Point>) -> Vec<Point> {
    let mut at: HashMap<(&'static str, Arc<Attributes>), usize> = HashMap::new();
    let mut combined: Vec<Point> = Vec::new();
    for point in points {
        let index = *at
            .entry((point.instrument.name, Arc::clone(&point.attributes)))
            .or_insert(combined.len());
        let Some(first) = combined.get_mut(index) else {
            combined.push(point);
            continue;
        };
        let rule = if first.instrument.kind == Kind::Counter {
            Merge::Sum
        } else {
            first.instrument.merge
        };
        first.value = match (&first.value, &point.value, rule) {
            (Value::Int(a), Value::Int(b), Merge::Sum) => Value::Int(a.saturating_add(*b)),
            (Value::Int(a), Value::Int(b), Merge::Min) => Value::Int(*a.min(b)),
            (Value::Int(a), Value::Int(b), Merge::Max) => Value::Int(*a.max(b)),
            (a, b, rule) => {
                let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
                Value::Double(match rule {
                    Merge::Sum => a + b,
                    Merge::Min => a.min(b),
                    Merge::Max => a.max(b),
                })
            }
        };
        first.time = first.time.max(point.time);
    }
    combined
}
