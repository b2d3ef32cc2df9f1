//! How many series each owner has, and how many it may have: one that floods takes no other one's room.

use std::collections::HashMap;
use std::time::Duration;

use super::owner::{Group, Owner};
use super::store::Limits;
use accelscope_core::fair::{self, Demand};
use accelscope_core::metric::{self, Part, Point, Timestamp};

/// For how long an owner that had to give up series gets no more than it was left with, so that series which come and go
/// beside it do not make its own ones come and go.
const REST: Duration = Duration::from_mins(5);

/// A point that has no series yet.
pub(crate) struct Newcomer {
    pub(crate) part: Part,
    pub(crate) point: Point,
    pub(crate) owner: Owner,
}

impl Newcomer {
    pub(crate) fn new(part: Part, point: Point) -> Self {
        let outermost = match &point.owner {
            Some(metric::Owner::Outermost(name)) => Some(name),
            _ => None,
        };
        let owner = Owner::of(part.sampler, point.instrument, &point.attributes, outermost);
        Self { part, point, owner }
    }
}

/// What becomes of newcomers.
#[derive(Default)]
pub(crate) struct Division {
    pub(crate) admitted: Vec<Newcomer>,
    pub(crate) refused: Vec<Newcomer>,
    /// How many series each of these owners has to give up for those that are admitted.
    pub(crate) surplus: HashMap<Owner, usize>,
}

/// Counts of one bound: an instrument's series, or all.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    total: usize,
    owners: HashMap<Owner, usize>,
    /// Owners that had to give up series: what they were left with, and when.
    cut: HashMap<Owner, (usize, Timestamp)>,
}

impl Shares {
    /// One more series of this owner; returns the owner as it is kept.
    pub(crate) fn add(&mut self, owner: Owner) -> Owner {
        self.total += 1;
        let entry = self.owners.entry(owner);
        let known = entry.key().clone();
        *entry.or_default() += 1;
        known
    }

    /// The group of owners with the most series, with the largest of them, and how many the group has.
    pub(crate) fn largest(&self) -> Option<(String, usize)> {
        let mut groups: HashMap<Group, (usize, (usize, &Owner))> = HashMap::new();
        for (owner, count) in &self.owners {
            let (sum, largest) = groups.entry(owner.group()).or_insert((0, (0, owner)));
            *sum += count;
            *largest = (*count, owner).max(*largest);
        }
        let (group, (sum, (_, owner))) = groups.into_iter().max_by(|(a, x), (b, y)| (x, b).cmp(&(y, a)))?;
        let name = match owner {
            Owner::Workload { name, .. } if *name != group => format!("{group}, e.g. {name}"),
            _ => group.to_string(),
        };
        Some((name, sum))
    }

    /// One less.
    pub(crate) fn remove(&mut self, owner: &Owner) {
        self.total = self.total.saturating_sub(1);
        if let Some(count) = self.owners.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(owner);
            }
        }
    }

    /// Divides newcomers into those for which `capacity` has room and those for which it has not.
    pub(crate) fn divide(&mut self, newcomers: Vec<Newcomer>, capacity: usize, now: Timestamp) -> Division {
        // A time to come is from before the clock was set back.
        self.cut
            .retain(|_, (_, since)| *since <= now && now.since(*since) < REST);
        let mut division = Division::default();
        if newcomers.is_empty() || self.total + newcomers.len() <= capacity && self.cut.is_empty() {
            division.admitted = newcomers;
            return division;
        }
        let mut room: HashMap<Owner, usize> = HashMap::new();
        for (owner, limit) in self.limits(&newcomers, capacity, now) {
            let has = self.of(&owner);
            room.insert(owner.clone(), limit.saturating_sub(has));
            if has > limit {
                division.surplus.insert(owner, has - limit);
            }
        }
        for newcomer in newcomers {
            match room.get_mut(&newcomer.owner) {
                Some(0) => division.refused.push(newcomer),
                Some(left) => {
                    *left -= 1;
                    division.admitted.push(newcomer);
                }
                None => division.admitted.push(newcomer),
            }
        }
        division
    }

    /// How many owners are remembered that had to give up series.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.cut.len() + self.owners.len()
    }

    fn of(&self, owner: &Owner) -> usize {
        self.owners.get(owner).copied().unwrap_or_default()
    }

    /// What each owner may have; only those that may have less than they want.
    fn limits(&mut self, newcomers: &[Newcomer], capacity: usize, now: Timestamp) -> HashMap<Owner, usize> {
        let mut demands: HashMap<Owner, Demand> = HashMap::with_capacity(self.owners.len());
        for (owner, has) in &self.owners {
            demands.insert(owner.clone(), Demand { has: *has, wants: *has });
        }
        for newcomer in newcomers {
            match demands.get_mut(&newcomer.owner) {
                Some(demand) => demand.wants += 1,
                None => drop(demands.insert(newcomer.owner.clone(), Demand { has: 0, wants: 1 })),
            }
        }
        let mut limits = HashMap::new();
        for (owner, (left, _)) in &self.cut {
            if let Some(demand) = demands.get_mut(owner) {
                let most = demand.has.max(*left);
                if demand.wants > most {
                    demand.wants = most;
                    limits.insert(owner.clone(), most);
                }
            }
        }
        limits.extend(by_rank(demands, capacity));
        for (owner, limit) in &limits {
            if self.of(owner) > *limit {
                self.cut.insert(owner.clone(), (*limit, now));
            }
        }
        limits
    }
}

/// The agent first, then the hardware, and what they leave for the workloads.
fn by_rank(demands: HashMap<Owner, Demand>, capacity: usize) -> HashMap<Owner, usize> {
    let mut ranks: [Vec<(Owner, Demand)>; 3] = Default::default();
    for (owner, demand) in demands {
        ranks[owner.rank()].push((owner, demand));
    }
    let (mut left, mut limits) = (capacity, HashMap::new());
    for demands in ranks {
        let wanted: usize = demands.iter().map(|(_, demand)| demand.wants).sum();
        let demands = demands
            .into_iter()
            .map(|(owner, demand)| (owner.group(), owner, demand));
        limits.extend(fair::grouped_limits(demands, left));
        left = left.saturating_sub(wanted);
    }
    limits
}

/// Logs that a point of this instrument goes into its overflow series, and which owner has the most series.
pub(crate) fn warn(instrument: &'static str, shares: &Shares, all: &Shares, limits: Limits, is_memory_short: bool) {
    let (setting, limit, shares) = if is_memory_short && all.total < limits.series {
        ("limits.memory", all.total, all)
    } else if shares.total >= limits.series_per_instrument {
        ("limits.series_per_instrument", limits.series_per_instrument, shares)
    } else {
        ("limits.series", limits.series, all)
    };
    let largest = shares.largest();
    let (owner, most) = largest.as_ref().map_or(("", 0), |(owner, count)| (owner, *count));
    tracing::warn!(
        metric = instrument,
        limit,
        owner,
        series = most,
        "more series than {setting} allows: what is beyond is in the series with otel.metric.overflow; this owner has the \
         most, look at its labels, or raise {setting}",
    );
}
