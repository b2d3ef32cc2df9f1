//! Arithmetic of points' values.

use std::sync::Arc;

use accelscope_core::metric::{Histogram, Merge, Value};

/// What a cumulative value grew by since `before`; all of `now` where there is none before, or where it decreased: a
/// counter that starts again starts from zero.
pub(crate) fn growth(before: Option<&Value>, now: &Value) -> Value {
    match (before, now) {
        (Some(Value::Int(before)), Value::Int(now)) if now >= before => Value::Int(now - before),
        (Some(Value::Double(before)), Value::Double(now)) if now >= before => Value::Double(now - before),
        (Some(Value::Histogram(before)), Value::Histogram(now)) => less(now, before).map_or_else(
            || Value::Histogram(now.clone()),
            |grown| Value::Histogram(Arc::new(grown)),
        ),
        _ => now.clone(),
    }
}

/// Both together.
pub(crate) fn sum(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.saturating_add(*b)),
        (Value::Histogram(a), Value::Histogram(b)) if a.buckets.len() == b.buckets.len() => {
            Value::Histogram(Arc::new(Histogram {
                count: a.count.saturating_add(b.count),
                sum: finite(a.sum, b.sum),
                buckets: a
                    .buckets
                    .iter()
                    .zip(&b.buckets)
                    .map(|(a, b)| a.saturating_add(*b))
                    .collect(),
            }))
        }
        // Never of different kinds: both are of one instrument, whose points were checked.
        (Value::Histogram(_), _) | (_, Value::Histogram(_)) => b.clone(),
        _ => Value::Double(finite(a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default())),
    }
}

/// Both as one value of a gauge or up-down counter.
pub(crate) fn merge(rule: Merge, a: &Value, b: &Value) -> Value {
    let replaced = match rule {
        Merge::Sum => return sum(a, b),
        Merge::Min => b.as_f64() < a.as_f64(),
        Merge::Max => b.as_f64() > a.as_f64(),
    };
    if replaced { b } else { a }.clone()
}

/// A total that has become infinite would never be a number again.
fn finite(a: f64, b: f64) -> f64 {
    (a + b).clamp(f64::MIN, f64::MAX)
}

fn less(now: &Histogram, before: &Histogram) -> Option<Histogram> {
    if now.buckets.len() != before.buckets.len() {
        return None;
    }
    let buckets = now
        .buckets
        .iter()
        .zip(&before.buckets)
        .map(|(now, before)| now.checked_sub(*before));
    Some(Histogram {
        count: now.count.checked_sub(before.count)?,
        sum: now.sum - before.sum,
        buckets: buckets.collect::<Option<_>>()?,
    })
}
