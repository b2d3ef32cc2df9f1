//! What shows only by what does not come.

/// A number that is believed only as far as two readings in a row agree: something on its way when one of them was taken
/// looks like something that never came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Late {
    last: u64,
    believed: u64,
}

impl Late {
    /// Takes a reading; what is believed now never decreases.
    pub(super) fn read(&mut self, now: u64) -> u64 {
        self.believed = self.believed.max(now.min(self.last));
        self.last = now;
        self.believed
    }
}
