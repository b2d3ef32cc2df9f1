//! What grew lately, for rates.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use accelscope_core::metric::catalogue::calls;
use accelscope_core::metric::{Attributes, Instrument, Series, Timestamp, Value};

/// How many drawings back rates go: several, because a reading and a drawing may just miss each other.
const BACK: usize = 5;

/// Instruments whose rates are shown.
static RATED: [&Instrument; 3] = [&calls::CALLS, &calls::DURATION, &calls::HAILO_IO];

type Drawn = HashMap<(&'static Instrument, Arc<Attributes>), (Timestamp, Value)>;

/// The last few values of the series whose rates the table shows.
#[derive(Debug, Default)]
pub struct Recent(VecDeque<Drawn>);

impl Recent {
    /// Remembers what has just been drawn.
    pub fn push(&mut self, series: &[Series]) {
        let rated = series.iter().filter(|one| RATED.contains(&one.instrument));
        let value = |one: &Series| {
            let value = one.value.clone()?;
            Some(((one.instrument, one.attributes.clone()), (one.time, value)))
        };
        if self.0.len() >= BACK {
            self.0.pop_front();
        }
        self.0.push_back(rated.filter_map(value).collect());
    }

    /// How much it grew per second, lately; from its start on where it was not there before.
    pub(super) fn rate(&self, now: &Series) -> f64 {
        let Some(value) = now.value.as_ref().and_then(Value::as_f64) else {
            return 0.0;
        };
        let (since, before) = match self.before(now) {
            Some((since, before)) => (Some(*since), before.as_f64().unwrap_or_default()),
            None => (now.start, 0.0),
        };
        let seconds = since.map_or(0.0, |since| now.time.since(since).as_secs_f64());
        if seconds > 0.0 {
            (value - before).max(0.0) / seconds
        } else {
            0.0
        }
    }

    /// How much each bucket grew lately.
    pub(super) fn grown(&self, now: &Series) -> Vec<u64> {
        let Some(Value::Histogram(value)) = &now.value else {
            return Vec::new();
        };
        let mut grown = value.buckets.to_vec();
        if let Some((_, Value::Histogram(before))) = self.before(now) {
            for (bucket, before) in grown.iter_mut().zip(&before.buckets) {
                *bucket = bucket.saturating_sub(*before);
            }
        }
        grown
    }

    /// The oldest value that is known of it.
    fn before(&self, now: &Series) -> Option<&(Timestamp, Value)> {
        let key = (now.instrument, now.attributes.clone());
        self.0.iter().find_map(|drawn| drawn.get(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(seconds: u64, value: i64) -> Series {
        Series {
            instrument: &calls::CALLS,
            attributes: Arc::new(Attributes::empty()),
            value: Some(value.into()),
            time: Timestamp::from_unix_nanos(seconds * 1_000_000_000),
            start: Some(Timestamp::from_unix_nanos(1_000_000_000)),
        }
    }

    #[test]
    fn a_rate_is_that_of_the_last_few_drawings() {
        let mut recent = Recent::default();
        assert!((recent.rate(&calls(3, 20)) - 10.0).abs() < 1e-9, "since its start");
        for second in 3..30 {
            recent.push(&[calls(second, 20 + second as i64)]);
        }
        assert!((recent.rate(&calls(30, 20 + 30 + 50)) - 11.0).abs() < 1e-9);
        assert!(recent.rate(&calls(25, 45)).abs() < 1e-9, "nothing has been read since");
    }
}
