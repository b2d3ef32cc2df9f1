//! Calls that are lost because of how the kernel runs programs, and because of hooks that are detached.

/// Calls that were lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    skipped: u64,
    abandoned: u64,
}

impl Losses {
    /// Calls whose entry program the kernel skipped.
    pub(super) fn skip(&mut self, calls: u64) {
        self.skipped += calls;
    }

    /// Calls in flight whose hooks were detached.
    pub(super) fn abandon(&mut self, calls: u64) {
        self.abandoned += calls;
    }

    /// Reasons and numbers since the last time.
    pub(super) fn take(&mut self) -> Vec<(&'static str, u64)> {
        let taken = [
            ("skipped", std::mem::take(&mut self.skipped)),
            ("unhooked", std::mem::take(&mut self.abandoned)),
        ];
        taken.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}
