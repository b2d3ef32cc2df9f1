//! Values of several devices, elements or files under one name.

use std::collections::HashMap;
use std::ops::Add;
use std::sync::Arc;

use accelscope_core::metric::{Attributes, Merge, Point, Value};

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

/// Merges gauges without a process to one for each series, by the rule of the instrument.
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
        match (first.instrument.merge, &mut first.value, point.value) {
            (Merge::Sum, Value::Int(a), Value::Int(b)) => *a = a.saturating_add(b),
            (Merge::Sum, Value::Double(a), Value::Double(b)) => *a += b,
            (Merge::Min, a, b) if b.as_f64() < a.as_f64() => *a = b,
            (Merge::Max, a, b) if b.as_f64() > a.as_f64() => *a = b,
            _ => {}
        }
        first.time = first.time.max(point.time);
    }
    combined
}
