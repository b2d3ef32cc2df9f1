//! A count that follows from the absence of something.

/// Number of consecutive readings that confirm a value while other values change.
const READINGS: usize = 10;

/// A count that is only raised to what several consecutive readings agree on: maps are not read atomically, so that an
/// event that is under way during one reading looks like one that never came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Confirmed {
    last: [u64; READINGS],
    value: u64,
}

impl Confirmed {
    /// Adds a reading; `still` if nothing else has changed since the one before, so that nothing was under way. Returns by
    /// how much the count was raised. It never decreases.
    pub(super) fn read(&mut self, now: u64, still: bool) -> u64 {
        let same = still && self.last[READINGS - 1] == now;
        self.last.rotate_left(1);
        self.last[READINGS - 1] = now;
        let agreed = self.last.into_iter().min().unwrap_or_default();
        let raised = if same { now } else { agreed }.max(self.value);
        raised - std::mem::replace(&mut self.value, raised)
    }

    pub(super) fn value(&self) -> u64 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_believed_when_it_stands_still_or_has_lasted() {
        let mut late = Confirmed::default();
        let mut read = |now, still| {
            let before = late.value();
            let raised = late.read(now, still);
            assert_eq!(late.value() - before, raised);
            late.value()
        };
        assert_eq!(read(1, true), 0, "it was not so at the reading before");
        assert_eq!(read(1, true), 1);
        assert_eq!(read(0, true), 1, "and stays");
        let mut late = Confirmed::default();
        let mut read = |now, still| {
            late.read(now, still);
            late.value()
        };
        let readings: Vec<u64> = (0..12).map(|_| read(2, false)).collect();
        assert_eq!(readings, [0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2]);
    }
}
