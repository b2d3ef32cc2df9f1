//! A count of the kernel's that only grows.

/// Why a reading of a counter is not shown; the value of `agent.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is smaller than the one before, and the group is the same.
    WentBack,
    /// It has grown by more than can have happened since.
    Implausible,
}

impl Refused {
    pub(super) const ALL: [&'static str; 2] = ["counter_went_back", "implausible"];

    pub(super) const fn reason(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// Its readings, from the first one on.
#[derive(Debug, Default)]
pub(super) struct Counter {
    last: Option<u64>,
    total: u64,
}

impl Counter {
    /// Takes a reading, which can have grown by `most` since the one before, and returns by how much it has. The first one
    /// is the total so far and has grown by nothing.
    pub(super) fn take(&mut self, now: u64, most: u64) -> Result<u64, Refused> {
        let Some(last) = self.last.replace(now) else {
            self.total = now;
            return Ok(0);
        };
        let grown = now.checked_sub(last).ok_or(Refused::WentBack)?;
        if grown > most {
            return Err(Refused::Implausible);
        }
        self.total = self.total.saturating_add(grown);
        Ok(grown)
    }

    /// The next reading is of a new group of the same name, which counts from 0.
    pub(super) fn restart(&mut self) {
        self.last = self.last.map(|_| 0);
    }

    /// All that was counted; it never decreases.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_goes_on_over_restarts_and_without_what_cannot_be() {
        let mut counter = Counter::default();
        let mut take = |now| {
            let taken = counter.take(now, 100);
            (taken, counter.total())
        };
        assert_eq!(take(50), (Ok(0), 50));
        assert_eq!(take(60), (Ok(10), 60));
        assert_eq!(take(5), (Err(Refused::WentBack), 60));
        assert_eq!(take(7), (Ok(2), 62));
        assert_eq!(take(u64::MAX), (Err(Refused::Implausible), 62));
        assert_eq!(take(8), (Err(Refused::WentBack), 62));
        counter.restart();
        assert_eq!((counter.take(3, 100), counter.total()), (Ok(3), 65));
    }
}
