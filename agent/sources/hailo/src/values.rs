//! Which numbers of a monitor file are values, and which stand for "unknown".
//!
//! `HailoRT`, `utils/profiler/monitor_handler.cpp`: a queue that saw nothing has -1, a network without an output stream
//! has `DBL_MAX` frames per second (the minimum over nothing).

/// Why a number gives no point: its value of the attribute `agent.reason`.
pub(super) type Reason = &'static str;

/// The writer says that it has no value.
pub(super) const NO_SAMPLE: Reason = "no_sample";
/// Not finite, or of a size that no device reaches.
pub(super) const IMPLAUSIBLE: Reason = "implausible";
/// The element has no name: HailoRT inserts such phantoms for handles that it does not know.
pub(super) const UNNAMED: Reason = "unnamed";
/// The name occurs again in the same file; its values were combined.
pub(super) const REPEATED: Reason = "repeated_name";

/// Far above what any device or sum over devices reaches, far below where sums of such numbers lose their meaning.
const MAX_PERCENT: f64 = 1e6;
const MAX_FRAMES_PER_SECOND: f64 = 1e9;
const MAX_FRAMES: i32 = 1 << 24;

/// A ratio from per cent. More than 1 is possible: several devices add up, and the runtime reads its clock twice.
pub(super) fn ratio(percent: f64) -> Result<f64, Reason> {
    if (0.0..=MAX_PERCENT).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err(unknown(percent))
    }
}

/// Frames per second.
pub(super) fn frame_rate(fps: f64) -> Result<f64, Reason> {
    if (0.0..=MAX_FRAMES_PER_SECOND).contains(&fps) {
        Ok(fps)
    } else {
        Err(unknown(fps))
    }
}

#[expect(clippy::float_cmp, reason = "the sentinels are written as exactly these")]
fn unknown(number: f64) -> Reason {
    if number == -1.0 || number == f64::MAX {
        NO_SAMPLE
    } else {
        IMPLAUSIBLE
    }
}

/// Frames in a queue. Below 0 are the sentinel -1 and the moments in which the runtime's unsigned counter wraps.
pub(super) fn depth(frames: i32) -> Result<i64, Reason> {
    match frames {
        0..=MAX_FRAMES => Ok(frames.into()),
        -1 => Err(NO_SAMPLE),
        _ => Err(IMPLAUSIBLE),
    }
}

/// Frames that a queue holds: its size times the number of devices, so never 0.
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
            (47.5, Ok(0.475)),
            (100.3, Ok(1.003)),
            (250.0, Ok(2.5)),
            (-1.0, Err(NO_SAMPLE)),
            (f64::MAX, Err(NO_SAMPLE)),
            (f64::NAN, Err(IMPLAUSIBLE)),
            (f64::INFINITY, Err(IMPLAUSIBLE)),
            (f64::NEG_INFINITY, Err(IMPLAUSIBLE)),
            (-0.5, Err(IMPLAUSIBLE)),
            (1e300, Err(IMPLAUSIBLE)),
        ];
        for (percent, expected) in cases {
            assert_eq!(ratio(percent), expected, "{percent}");
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
