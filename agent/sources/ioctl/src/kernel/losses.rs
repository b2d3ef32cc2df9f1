//! Calls that are lost because of how the kernel runs programs, and because of hooks that are detached.

/// Drains in which the kernel has skipped programs, after which another kind of hook is preferred.
const MANY: u32 = 3;

/// Calls that were lost, and how often.
#[derive(Debug, Default)]
pub(super) struct Losses {
    skipped: u64,
    abandoned: u64,
    interferences: u32,
}

impl Losses {
    /// Calls whose entry program the kernel skipped, since the last time. `can_change`: with another hook it would not.
    pub(super) fn skip(&mut self, skipped: u64, can_change: bool) {
        self.skipped += skipped;
        if skipped > 0 && can_change {
            self.interferences = self.interferences.saturating_add(1);
            if self.interferences == MANY {
                tracing::warn!(
                    "calls are lost again and again while map operations of bpf(2) are preempted; raw tracepoints, which \
                     lose none and cost every system call a little, take over from kprobes (ioctl.hooks chooses)"
                );
            }
        }
    }

    /// Calls in flight whose hooks were detached.
    pub(super) fn abandon(&mut self, calls: u64) {
        self.abandoned += calls;
    }

    /// Whether map operations interfere so often that another hook is better.
    pub(super) fn interfered(&self) -> bool {
        self.interferences >= MANY
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
