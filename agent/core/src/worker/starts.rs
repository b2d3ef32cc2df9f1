//! Since when each cumulative value of a worker has been growing, whichever of its processes told it.
//!
//! A process knows only what it has read itself. The driver that is loaded anew makes the hardware's counters fall and
//! the worker's process be replaced, and of when the host was booted each process has an idea of its own.

use std::collections::HashMap;
use std::sync::Arc;

use crate::metric::{Attributes, Point, Timestamp, Value};

/// Most series that are remembered; beyond, all are forgotten.
const MOST: usize = 20_000;

/// What was told last.
#[derive(Debug, Default)]
pub struct Starts(HashMap<(&'static str, Arc<Attributes>), Told>);

#[derive(Debug, Clone, Copy)]
struct Told {
    value: f64,
    time: Timestamp,
    start: Timestamp,
}

impl Starts {
    /// Mends the point's start: as it was told before while the value grows, and the time of the reading before where it
    /// fell, unless the worker knows of a later one. Values of processes are left as they are.
    pub(super) fn settle(&mut self, point: &mut Point) {
        let (Some(start), None) = (point.start, &point.owner) else {
            return;
        };
        let value = match &point.value {
            Value::Histogram(histogram) => histogram.count as f64,
            Value::Int(number) => *number as f64,
            Value::Double(number) => *number,
        };
        let key = (point.instrument.name, Arc::clone(&point.attributes));
        let start = match self.0.get(&key) {
            Some(before) if start > before.time => start,
            Some(before) if value < before.value => before.time,
            Some(before) => before.start,
            None => start,
        };
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let time = point.time;
        self.0.insert(key, Told { value, time, start });
        point.start = Some(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::catalogue::hw;

    #[test]
    fn a_start_stays_while_the_value_grows_and_moves_where_it_fell() {
        let mut starts = Starts::default();
        let mut tell = |time, start, value: f64| {
            let mut point = Point {
                instrument: &hw::ENERGY,
                attributes: Arc::new(Attributes::empty()),
                owner: None,
                value: value.into(),
                time: Timestamp::from_unix_nanos(time),
                start: Some(Timestamp::from_unix_nanos(start)),
            };
            starts.settle(&mut point);
            point.start.unwrap().unix_nanos()
        };
        assert_eq!(tell(100, 10, 5.0), 10);
        assert_eq!(tell(110, 12, 6.0), 10, "another process' idea of the same boot");
        assert_eq!(tell(120, 10, 2.0), 110, "it fell after it was read before");
        assert_eq!(tell(130, 10, 3.0), 110, "which the worker need not know");
        assert_eq!(tell(140, 135, 4.0), 135, "the worker began anew");
        assert_eq!(tell(150, 135, 4.0), 135);
    }
}
