//! Shared inputs and measuring tools of the benchmarks.

pub mod ioctl;

use std::sync::Arc;

use accelscope_core::metric::{Attributes, Point, Series, Timestamp, key};
use accelscope_hailo::catalogue as hailo;

/// `count` live series of a Hailo node with pods, two instruments by turns.
pub fn series(count: usize) -> Vec<Series> {
    points(count)
        .into_iter()
        .map(|point| Series {
            instrument: point.instrument,
            attributes: point.attributes,
            value: Some(point.value),
            time: point.time,
            start: point.start,
        })
        .collect()
}

/// The same as points of one batch.
pub fn points(count: usize) -> Vec<Point> {
    let time = Timestamp::from_unix_nanos(1_700_000_000_000_000_000);
    let point = |at: usize| {
        let attributes = Attributes::new([
            (key::HW_ID, "88a3f868-c508-5e0e-81ad-2bdb9d8df32c".into()),
            (
                accelscope_hailo::key::HAILO_NETWORK_NAME,
                format!("network_{at}").into(),
            ),
            (key::K8S_POD_NAME, format!("inference-{}", at / 8).into()),
            (key::K8S_NAMESPACE_NAME, "edge".into()),
            (key::PROCESS_EXECUTABLE_NAME, "detector".into()),
        ]);
        let counter = at.is_multiple_of(2);
        Point {
            instrument: if counter {
                &hailo::NETWORK_FRAMES
            } else {
                &hailo::NETWORK_FRAME_RATE
            },
            attributes: Arc::new(attributes),
            owner: None,
            value: if counter {
                (at as i64).into()
            } else {
                (at as f64).into()
            },
            time,
            start: counter.then_some(time),
        }
    };
    (0..count).map(point).collect()
}
