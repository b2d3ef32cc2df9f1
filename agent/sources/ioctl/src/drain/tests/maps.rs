//! Maps with contents defined by a test.

use super::*;
use crate::kernel::Event;

pub(super) type Between = Box<dyn FnMut(&mut Inside) + Send>;

/// Maps with contents defined by a test; `between` runs before each reading of one.
#[derive(Default)]
pub(super) struct Maps {
    pub(super) inside: RefCell<Inside>,
    pub(super) between: Option<Between>,
}

#[derive(Default)]
pub(super) struct Inside {
    pub(super) records: BTreeMap<u32, (Ident, Record)>,
    pub(super) slots: Vec<Slot>,
    pub(super) errors: BTreeMap<(u32, u32), u64>,
    pub(super) channels: BTreeMap<(u32, u32), u64>,
    pub(super) counters: [u64; COUNTERS as usize],
    pub(super) now: Duration,
    pub(super) retired: Vec<u32>,
    pub(super) released: Vec<u64>,
}

impl Maps {
    fn happens(&mut self) {
        if let Some(between) = &mut self.between {
            between(self.inside.get_mut());
        }
    }
}

impl Counts for Maps {
    fn events(&mut self, _: &mut dyn FnMut(Event<'_>)) {}

    fn ready(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&Slot)) {
        self.happens();
        self.inside.get_mut().slots.iter().for_each(visit);
    }

    fn release(&mut self, slot: &Slot) {
        let inside = self.inside.get_mut();
        inside.released.push(slot.owner);
        inside.slots.retain(|one| one.owner != slot.owner);
    }

    fn records(&mut self, visit: &mut dyn FnMut(u32, &Ident, &Record)) {
        let numbers: Vec<u32> = self.inside.get_mut().records.keys().copied().collect();
        for number in numbers {
            self.happens();
            if let Some((ident, record)) = self.inside.get_mut().records.get(&number) {
                visit(number, ident, record);
            }
        }
    }

    fn errors(&mut self, visit: &mut dyn FnMut(ErrorKey, u64)) {
        self.happens();
        for ((record, errno), count) in &self.inside.get_mut().errors {
            let (record, errno) = (*record, *errno);
            visit(ErrorKey { record, errno }, *count);
        }
    }

    fn channels(&mut self, visit: &mut dyn FnMut(ChannelKey, u64)) {
        self.happens();
        for ((record, channel), count) in &self.inside.get_mut().channels {
            let (record, channel) = (*record, *channel);
            visit(ChannelKey { record, channel }, *count);
        }
    }

    fn counters(&self) -> [u64; COUNTERS as usize] {
        self.inside.borrow().counters
    }

    fn retire(&mut self, number: u32) {
        self.inside.get_mut().retired.push(number);
    }

    fn free_retired(&mut self, freed: &mut dyn FnMut(u32)) {
        let inside = self.inside.get_mut();
        for number in std::mem::take(&mut inside.retired) {
            inside.records.remove(&number);
            freed(number);
        }
    }

    fn now(&self) -> Duration {
        self.inside.borrow().now
    }
}
