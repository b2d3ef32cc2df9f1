//! What shows only by what does not come.

/// How many readings in a row must agree while things go on.
const AGREE: usize = 10;

/// A number that is believed only as far as several readings in a row agree: something on its way when one of them was
/// taken looks like something that never came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Late {
    last: [u64; AGREE],
    believed: u64,
}

impl Late {
    /// Takes a reading; `still` where nothing else has changed since the last one, so that nothing was on its way. What is
    /// believed never decreases.
    pub(super) fn read(&mut self, now: u64, still: bool) -> u64 {
        let same = still && self.last[AGREE - 1] == now;
        self.last.rotate_left(1);
        self.last[AGREE - 1] = now;
        let agreed = self.last.into_iter().min().unwrap_or_default();
        self.believed = self.believed.max(if same { now } else { agreed });
        self.believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_believed_when_it_stands_still_or_has_lasted() {
        let mut late = Late::default();
        assert_eq!(late.read(1, true), 0, "it was not so at the reading before");
        assert_eq!(late.read(1, true), 1);
        assert_eq!(late.read(0, true), 1, "and stays");
        let mut late = Late::default();
        let readings: Vec<u64> = (0..12).map(|_| late.read(2, false)).collect();
        assert_eq!(readings, [0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2]);
    }
}
