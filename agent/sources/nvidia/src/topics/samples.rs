//! The driver's own utilization samples of a GPU, taken several times a second: they show bursts that a mean hides.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::features;
use crate::catalogue::nvidia_parts::{self, SHARES};
use crate::gpu::Gpu;
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::metric::{Histogram, Point, Timestamp, Value};

const FIELD: &str = "utilization_samples";
/// Time before the first reading that its maximum covers, in microseconds.
const FIRST: u64 = 1_000_000;
/// A sample from further in the future than this shows that a clock was set back.
const SKEW: u64 = 5_000_000;

/// Fills the distribution.
#[derive(Default)]
pub(super) struct Samples {
    of_gpus: HashMap<Arc<str>, Distribution>,
}

/// State of one GPU since its first reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Distribution {
    start: Timestamp,
    /// Time of the newest counted sample, in microseconds since the Unix epoch.
    seen: u64,
    sum: f64,
    buckets: [u64; SHARES.len() + 1],
}

impl Distribution {
    fn count(&mut self, share: f64) {
        let bucket = SHARES.iter().position(|bound| share <= *bound).unwrap_or(SHARES.len());
        self.buckets[bucket] += 1;
        self.sum += share;
    }

    fn value(&self) -> Value {
        Value::Histogram(Arc::new(Histogram {
            count: self.buckets.iter().sum(),
            sum: self.sum,
            buckets: self.buckets.into(),
        }))
    }
}

impl Topic for Samples {
    fn name(&self) -> &'static str {
        "samples"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let now = recorder.now();
        let micros = now.unix_nanos() / 1000;
        let before = self
            .of_gpus
            .get(&gpu.uuid)
            .filter(|before| before.seen <= micros + SKEW);
        let since = before.map_or(0, |before| before.seen);
        let Some(samples) = gpu.ask(FIELD, recorder, |device| device.utilization_samples(since)) else {
            features::record_read(gpu, recorder, FIELD, FIELD, false);
            return;
        };
        features::record_read(gpu, recorder, FIELD, FIELD, true);
        let most = self.take(gpu, &samples, now);
        if let Some(most) = most {
            recorder.gauge(&nvidia_parts::GPU_UTILIZATION_MAX, &gpu.label, [], most);
        }
        if let Some(distribution) = self.of_gpus.get(&gpu.uuid) {
            let (of, label) = (&nvidia_parts::GPU_UTILIZATION_DISTRIBUTION, gpu.label.clone());
            recorder.push(Point {
                start: Some(distribution.start),
                ..Point::new(of, label, distribution.value(), now)
            });
        }
    }

    fn carry(&self) -> Option<serde_json::Value> {
        let is_used = !self.of_gpus.is_empty();
        is_used.then(|| serde_json::to_value(&self.of_gpus).ok()).flatten()
    }

    fn restore(&mut self, carried: serde_json::Value) {
        self.of_gpus = serde_json::from_value(carried).unwrap_or_default();
    }
}

impl Samples {
    /// Counts the new samples and returns the largest ratio since the previous reading.
    ///
    /// The first reading of a GPU counts nothing: the preceding process may have counted the samples in the driver's
    /// buffer.
    fn take(&mut self, gpu: &Gpu, samples: &[(u64, u32)], now: Timestamp) -> Option<f64> {
        let latest = now.unix_nanos() / 1000 + SKEW;
        let timely = samples.iter().filter(|(time, _)| *time <= latest);
        let valid = timely.clone().filter(|(_, percent)| *percent <= 100);
        let valid = valid.map(|(time, percent)| (*time, f64::from(*percent) / 100.0));
        let known = self.of_gpus.get_mut(&gpu.uuid).filter(|of| of.seen <= latest);
        let mut most = None;
        let mut see = |share: f64| most = Some(most.map_or(share, |most: f64| most.max(share)));
        if let Some(of) = known {
            let before = of.seen;
            for (time, share) in valid.filter(|(time, _)| *time > before) {
                of.count(share);
                of.seen = of.seen.max(time);
                see(share);
            }
            return most;
        }
        let of = Distribution {
            start: now,
            seen: timely.map(|(time, _)| *time).max().unwrap_or(latest - SKEW),
            sum: 0.0,
            buckets: [0; _],
        };
        self.of_gpus.insert(Arc::clone(&gpu.uuid), of);
        let recent = latest - SKEW - FIRST;
        valid
            .filter(|(time, _)| *time > recent)
            .for_each(|(_, share)| see(share));
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_unix_nanos(micros * 1000)
    }

    #[test]
    fn no_sample_is_counted_twice_and_none_from_before() {
        let mut samples = Samples::default();
        let gpu = Gpu::of_test("GPU-1");
        let most = samples.take(&gpu, &[(NOW - 9_000_000, 100), (NOW - 500_000, 30)], at(NOW));
        assert_eq!(most, Some(0.3));
        let later = [
            (NOW - 500_000, 30),
            (NOW + 1, 0),
            (NOW + 2, 10),
            (NOW + 3, 11),
            (NOW + 4, 255),
        ];
        assert_eq!(samples.take(&gpu, &later, at(NOW + 10)), Some(0.11));
        assert_eq!(samples.take(&gpu, &later, at(NOW + 20)), None);
        let carried = samples.carry().unwrap();
        let mut next = Samples::default();
        next.restore(carried);
        assert_eq!(next.of_gpus, samples.of_gpus);
        assert_eq!(
            next.take(&gpu, &[(NOW + 3, 11), (NOW + 30, 100)], at(NOW + 40)),
            Some(1.0)
        );
        let of = &next.of_gpus["GPU-1"];
        // 0 | up to 0.1 | up to 0.25 | ... | up to 1 | beyond
        assert_eq!((of.buckets, of.start), ([1, 1, 1, 0, 0, 0, 1, 0], at(NOW)));
        assert!((of.sum - 1.21).abs() < 1e-9);
    }

    #[test]
    fn a_clock_that_was_set_back_begins_anew() {
        let mut samples = Samples::default();
        let gpu = Gpu::of_test("GPU-1");
        samples.take(&gpu, &[], at(NOW));
        let past = NOW - 3_600_000_000;
        samples.take(&gpu, &[(past, 50)], at(past));
        assert_eq!(samples.take(&gpu, &[(past + 1, 70)], at(past + 2)), Some(0.7));
    }
}
