//! Rates of change of cumulative values between drawings of the table.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::metric::{Attributes, Instrument, Series, Timestamp, Value};

/// How many drawings back rates go: several, because a reading and a drawing may just miss each other.
const BACK: usize = 5;

type Drawn = HashMap<(&'static Instrument, Arc<Attributes>), (Timestamp, Value)>;

/// The last few values of the series whose rates the table shows.
#[derive(Debug, Default)]
pub struct Rates {
    rated: Vec<fn(&Instrument) -> bool>,
    drawn: VecDeque<Drawn>,
}

impl Rates {
    /// For the instruments that any of these selects.
    pub fn new(rated: impl IntoIterator<Item = fn(&Instrument) -> bool>) -> Self {
        Self {
            rated: rated.into_iter().collect(),
            drawn: VecDeque::new(),
        }
    }

    /// Remembers what has just been drawn.
    pub fn push(&mut self, series: &[Series]) {
        let rated = series
            .iter()
            .filter(|one| self.rated.iter().any(|rated| rated(one.instrument)));
        let value = |one: &Series| {
            let value = one.value.clone()?;
            Some(((one.instrument, one.attributes.clone()), (one.time, value)))
        };
        if self.drawn.len() >= BACK {
            self.drawn.pop_front();
        }
        let drawn = rated.filter_map(value).collect();
        self.drawn.push_back(drawn);
    }

    /// How much it grew per second, lately; from its start on where it was not there before.
    pub fn rate(&self, now: &Series) -> f64 {
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
    pub fn grown(&self, now: &Series) -> Vec<u64> {
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
        self.drawn.iter().find_map(|drawn| drawn.get(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Kind, Merge, Stability};

    static CALLS: Instrument = Instrument {
        name: "test.calls",
        unit: "{call}",
        kind: Kind::Counter,
        description: "Calls.",
        attributes: &[],
        owned: false,
        merge: Merge::Sum,
        stability: Stability::Development,
    };

    fn calls(seconds: u64, value: i64) -> Series {
        Series {
            instrument: &CALLS,
            attributes: Arc::new(Attributes::empty()),
            value: Some(value.into()),
            time: Timestamp::from_unix_nanos(seconds * 1_000_000_000),
            start: Some(Timestamp::from_unix_nanos(1_000_000_000)),
        }
    }

    #[test]
    fn a_rate_is_that_of_the_last_few_drawings() {
        let mut rates = Rates::new([(|instrument: &Instrument| *instrument == CALLS) as fn(&Instrument) -> bool]);
        assert!((rates.rate(&calls(3, 20)) - 10.0).abs() < 1e-9, "since its start");
        for second in 3..30 {
            rates.push(&[calls(second, 20 + second as i64)]);
        }
        assert!((rates.rate(&calls(30, 20 + 30 + 50)) - 11.0).abs() < 1e-9);
        assert!(rates.rate(&calls(25, 45)).abs() < 1e-9, "nothing has been read since");
    }
}
