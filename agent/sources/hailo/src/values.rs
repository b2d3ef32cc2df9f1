//! Values from the numbers of a monitor file, without the sentinels for "unknown".
//!
//! `HailoRT`, `utils/profiler/monitor_handler.cpp`: a queue without events has -1, a network without an output stream
//! has `DBL_MAX` frames per second (the minimum over nothing).

use super::skipped::{IMPLAUSIBLE, NO_SAMPLE, Reason};

/// Above what any device or sum over devices reaches, below where sums of such numbers lose their precision.
const MAX_PERCENT: f64 = 1e6;
const MAX_FRAMES_PER_SECOND: f64 = 1e9;
const MAX_FRAMES: i32 = 1 << 24;

/// Per cent of the interval. More than 100 is possible: several devices add up, and the runtime reads its clock twice.
pub(super) fn percent(percent: f64) -> Result<f64, Reason> {
    plausible(percent, MAX_PERCENT)
}

/// Frames per second.
pub(super) fn frame_rate(fps: f64) -> Result<f64, Reason> {
    plausible(fps, MAX_FRAMES_PER_SECOND)
}

#[expect(clippy::float_cmp, reason = "the sentinels are written as exactly these")]
fn plausible(number: f64, most: f64) -> Result<f64, Reason> {
    if (0.0..=most).contains(&number) {
        Ok(number)
    } else if number == -1.0 || number == f64::MAX {
        Err(NO_SAMPLE)
    } else {
        Err(IMPLAUSIBLE)
    }
}

/// Frames in a queue. Negative numbers are the sentinel -1, and the runtime's unsigned counter while it wraps.
pub(super) fn depth(frames: i32) -> Result<i64, Reason> {
    match frames {
        0..=MAX_FRAMES => Ok(frames.into()),
        -1 => Err(NO_SAMPLE),
        _ => Err(IMPLAUSIBLE),
    }
}

/// Capacity of a queue in frames: its size times the number of devices, so never 0.
pub(super) fn capacity(frames: i32) -> Result<i64, Reason> {
    if frames == 0 { Err(NO_SAMPLE) } else { depth(frames) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_and_nonsense_are_no_values() {
        let cases = [
            (0.0, Ok(0.0)),
            (47.5, Ok(47.5)),
            (100.3, Ok(100.3)),
            (250.0, Ok(250.0)),
            (-1.0, Err(NO_SAMPLE)),
            (f64::MAX, Err(NO_SAMPLE)),
            (f64::NAN, Err(IMPLAUSIBLE)),
            (f64::INFINITY, Err(IMPLAUSIBLE)),
            (f64::NEG_INFINITY, Err(IMPLAUSIBLE)),
            (-0.5, Err(IMPLAUSIBLE)),
            (1e300, Err(IMPLAUSIBLE)),
        ];
        for (written, expected) in cases {
            assert_eq!(percent(written), expected, "{written}");
        }
        assert_eq!(frame_rate(f64::MAX), Err(NO_SAMPLE));
        assert_eq!(frame_rate(29.97), Ok(29.97));
        assert_eq!(frame_rate(f64::NAN), Err(IMPLAUSIBLE));
    }

    #[test]
    fn an_empty_queue_is_a_value_and_a_negative_one_is_not() {
        assert_eq!(depth(0), Ok(0));
        assert_eq!(depth(4), Ok(4));
        assert_eq!(depth(-1), Err(NO_SAMPLE));
        assert_eq!(depth(-3), Err(IMPLAUSIBLE));
        assert_eq!(depth(i32::MAX), Err(IMPLAUSIBLE));
        assert_eq!(capacity(0), Err(NO_SAMPLE));
    }
}
