//! What the files of one user may cost: the bytes and elements that are read, and the names that are new.
//!
//! Each user of a directory has an allowance that fills up with time, and all of them share another: a flood is at the cost of
//! its author. A small part of each allowance is sure, whatever the others take.

use std::collections::HashMap;
use std::time::Instant;

use super::directory::DirectoryId;

/// Cost of a look at a file, in bytes that are read: to open it and to ask for its state.
const LOOK: u64 = 4096;
/// Cost of an element (a device, network or stream), in bytes that are read.
const ELEMENT: u64 = 128;
/// Most users that have an allowance of their own. The others of a directory have one together.
const MAX_USERS: usize = 512;
/// These others: no user has that id (`(uid_t) -1`).
const OTHERS: u32 = u32::MAX;

/// Amount each second, and the most that is saved up.
#[derive(Debug, Clone, Copy)]
struct Rate {
    each_second: f64,
    burst: f64,
}

/// What one user may take, what of that is sure, and what all of them may take beyond what is sure.
#[derive(Debug)]
struct Tariff {
    user: Rate,
    sure: Rate,
    all: Rate,
}

const MIB: f64 = (1 << 20) as f64;

/// Bytes that are read at once of the files of a user who has not had any for a while.
pub(super) const READ_AT_ONCE: u64 = 8 << 20;

/// In bytes. A process with 100 networks of 20 streams each writes 200 KiB, most write a few KiB, once a second.
const READS: Tariff = Tariff {
    user: rate(2.0 * MIB, READ_AT_ONCE as f64),
    sure: rate(MIB / 64.0, MIB / 2.0),
    all: rate(8.0 * MIB, 32.0 * MIB),
};

/// In elements. A user may have all at once that are kept; two new containers each second have a few each.
const NAMES: Tariff = Tariff {
    user: rate(20.0, 5_000.0),
    sure: rate(1.0, 100.0),
    all: rate(100.0, 10_000.0),
};

const fn rate(each_second: f64, burst: f64) -> Rate {
    Rate { each_second, burst }
}

/// What is left of a rate.
#[derive(Debug, Clone, Copy)]
struct Left {
    amount: f64,
    at: Instant,
}

/// What is left to one user.
#[derive(Debug)]
struct Allowance {
    user: Left,
    sure: Left,
}

/// The user of a file, in its directory: containers that share no directory have users of their own.
pub(super) type User = (DirectoryId, u32);

/// The allowances of one tariff.
#[derive(Debug)]
struct Ledger {
    tariff: &'static Tariff,
    users: HashMap<User, Allowance>,
    all: Option<Left>,
}

/// The allowances of all users.
#[derive(Debug)]
pub(super) struct Budget {
    reads: Ledger,
    names: Ledger,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            reads: Ledger::new(&READS),
            names: Ledger::new(&NAMES),
        }
    }
}

impl Budget {
    /// Whether a file of that many bytes may be read now.
    pub(super) fn admits_read(&mut self, user: User, bytes: u64, now: Instant) -> bool {
        let cost = (LOOK + bytes) as f64;
        self.reads.take(user, cost, now) >= cost
    }

    /// Charges for the elements of a file that was read, and for the bytes by which it was longer than was said.
    pub(super) fn charge(&mut self, user: User, elements: usize, more: u64, now: Instant) {
        self.reads.charge(user, (ELEMENT * elements as u64 + more) as f64, now);
    }

    /// How many of that many new names are admitted.
    pub(super) fn admit_names(&mut self, user: User, wanted: usize, now: Instant) -> usize {
        let left = self.names.left(user, now).max(0.0) as usize;
        let admitted = wanted.min(left);
        self.names.charge(user, admitted as f64, now);
        admitted
    }
}

impl Ledger {
    fn new(tariff: &'static Tariff) -> Self {
        Self {
            tariff,
            users: HashMap::new(),
            all: None,
        }
    }

    /// What a user may take now.
    fn left(&mut self, user: User, now: Instant) -> f64 {
        let all = self.all.get_or_insert(Left::full(self.tariff.all, now));
        all.fill(self.tariff.all, now);
        let all = all.amount;
        let allowance = self.allowance(user, now);
        allowance.user.amount.min(allowance.sure.amount.max(all))
    }

    /// Takes the amount if it is there. Returns what was taken.
    fn take(&mut self, user: User, amount: f64, now: Instant) -> f64 {
        if self.left(user, now) < amount {
            return 0.0;
        }
        self.charge(user, amount, now);
        amount
    }

    /// Takes the amount of what all have, else of what is sure; what is not there is owed.
    fn charge(&mut self, user: User, amount: f64, now: Instant) {
        let all = self.all.get_or_insert(Left::full(self.tariff.all, now));
        let is_of_all = all.amount >= amount;
        all.amount -= if is_of_all { amount } else { 0.0 };
        let allowance = self.allowance(user, now);
        allowance.user.amount -= amount;
        allowance.sure.amount -= if is_of_all { 0.0 } else { amount };
    }

    fn allowance(&mut self, user: User, now: Instant) -> &mut Allowance {
        let tariff = self.tariff;
        let mut key = user;
        if !self.users.contains_key(&key) && self.users.len() >= MAX_USERS {
            // One that has its whole allowance again has none to remember.
            self.users.retain(|_, allowance| {
                allowance.user.fill(tariff.user, now);
                allowance.user.amount < tariff.user.burst
            });
            if self.users.len() >= MAX_USERS {
                key = (user.0, OTHERS);
            }
        }
        let new = || Allowance {
            user: Left::full(tariff.user, now),
            sure: Left::full(tariff.sure, now),
        };
        let allowance = self.users.entry(key).or_insert_with(new);
        allowance.user.fill(tariff.user, now);
        allowance.sure.fill(tariff.sure, now);
        allowance
    }
}

impl Left {
    const fn full(rate: Rate, now: Instant) -> Self {
        Self {
            amount: rate.burst,
            at: now,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.amount = since.mul_add(rate.each_second, self.amount).min(rate.burst);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LARGE: u64 = 4 << 20;

    fn user(user: u32) -> User {
        ((1, 1), user)
    }

    /// Bytes of large files that a user may read in that many seconds with attempts each 10 ms.
    fn read(budget: &mut Budget, users: std::ops::Range<u32>, from: Instant, seconds: u64) -> u64 {
        let mut read = 0;
        for ms in (0..seconds * 1000).step_by(10) {
            for nth in users.clone() {
                let now = from + Duration::from_millis(ms);
                read += LARGE * u64::from(budget.admits_read(user(nth), LARGE, now));
            }
        }
        read
    }

    #[test]
    fn a_user_reads_no_more_than_its_rate_and_another_all_that_it_asks_for() {
        let mut budget = Budget::default();
        let now = Instant::now();
        let taken = read(&mut budget, 1..2, now, 100);
        assert!(taken <= (2 * 100 + 8) << 20, "{taken}");
        assert!(taken >= (2 * 90) << 20, "{taken}");
        let now = now + Duration::from_secs(100);
        assert!((0..50).all(|nth| budget.admits_read(user(2), 20_000, now + Duration::from_millis(nth * 20))));
    }

    #[test]
    fn many_users_together_are_bounded_and_leave_each_other_what_is_sure() {
        let mut budget = Budget::default();
        let now = Instant::now();
        let taken = read(&mut budget, 10..610, now, 20);
        assert!(taken <= (8 * 20 + 32) << 20, "{taken}");
        let later = now + Duration::from_secs(20);
        assert!(budget.reads.users.len() <= MAX_USERS + 1);
        assert!(
            budget.admits_read(((2, 2), 0), 4_000, later),
            "one of a directory of its own"
        );
    }

    #[test]
    fn new_names_are_admitted_at_a_rate() {
        let mut budget = Budget::default();
        let now = Instant::now();
        assert_eq!(budget.admit_names(user(1), 4_000, now), 4_000);
        assert_eq!(budget.admit_names(user(1), 4_000, now), 1_000);
        assert_eq!(budget.admit_names(user(1), 4_000, now), 0);
        assert_eq!(budget.admit_names(user(2), 7, now), 7);
        let later = now + Duration::from_secs(10);
        assert_eq!(budget.admit_names(user(1), 4_000, later), 200);
    }
}
