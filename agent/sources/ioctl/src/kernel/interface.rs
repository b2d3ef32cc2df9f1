//! What the rest of the sampler sees of the maps, so that it can be tested without a kernel.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use agent_ebpf::{ChannelKey, ErrorKey, Ident, Record, Slot};

use super::event::Event;

/// Reasons for calls and events that were not counted, and their number since the last drain, which may be 0.
pub(crate) type Losses = Vec<(&'static str, u64)>;

/// The values that the programs count. One drain calls, in this order, [`events`](Self::events), [`slots`](Self::slots),
/// [`records`](Self::records) with the other maps, and [`free_retired`](Self::free_retired).
///
/// Errors are not returned: a map that cannot be read gives nothing in that drain. Its values only grow, so the next drain
/// has them.
pub(crate) trait Counts: Send {
    /// Events since the last drain. Lost events are counted in [`agent_ebpf::counter::EVENT_LOST`].
    fn events(&mut self, visit: &mut dyn FnMut(Event<'_>));

    /// A descriptor that is readable when there are [`events`](Self::events).
    fn ready(&self) -> Option<BorrowedFd<'_>>;

    /// The calls in flight, including those in the overflow map. A call that begins or ends meanwhile may be missing.
    fn slots(&mut self, visit: &mut dyn FnMut(&Slot));

    /// Removes a call in flight if its thread has ended, so that it never returns. Does nothing if another call has
    /// taken its place.
    fn release(&mut self, slot: &Slot);

    /// All records with their numbers and identities, including those of retired keys until
    /// [`free_retired`](Self::free_retired) frees them.
    fn records(&mut self, visit: &mut dyn FnMut(u32, &Ident, &Record));

    /// Failed calls by errno.
    fn errors(&mut self, visit: &mut dyn FnMut(ErrorKey, u64));

    /// Launches by channel, for drivers with a channel in their launches.
    fn channels(&mut self, visit: &mut dyn FnMut(ChannelKey, u64));

    /// What was not recorded, by [`agent_ebpf::counter`].
    fn counters(&self) -> [u64; agent_ebpf::COUNTERS as usize];

    /// Removes the key of a record, since its control group is empty and its values do not change. If the same key is seen
    /// again, it gets another number. The record itself stays until [`free_retired`](Self::free_retired) frees it.
    fn retire(&mut self, number: u32);

    /// Ends a drain. Calls `freed` with the number of each retired record that no call in flight can reach any more: its
    /// last value was in the [`records`](Self::records) of this drain, and the number may be used for another key.
    fn free_retired(&mut self, freed: &mut dyn FnMut(u32));

    /// The time in the programs' clock, `CLOCK_MONOTONIC`: the age of a call in flight is this less [`Slot::began`].
    fn now(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }
}
