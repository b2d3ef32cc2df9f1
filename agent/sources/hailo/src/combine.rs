//! Values of several devices, elements or files under one name.

use std::collections::HashMap;
use std::ops::Add;
use std::sync::Arc;

use accelscope_core::metric::{Attributes, Kind, Merge, Point, Value};

/// Combines two values, each of which may be unknown.
pub(super) fn combined<T>(a: Option<T>, b: Option<T>, how: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(how(a, b)),
        (a, b) => a.or(b),
    }
}

/// Sum of two values, each of which may be unknown.
pub(super) fn sum<T: Add<Output = T>>(a: Option<T>, b: Option<T>) -> Option<T> {
    combined(a, b, T::add)
}

/// Merges points without a process to one for each series, by the rule of the instrument.
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
