//! The physical id of each chip, where the table has none: asked for once, and again when the set of chips changes or while
//! the answer may still become another one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::npu_smi::{Ids, Mapping, Table};
use accelscope_core::host::HostRoots;

/// Time before another attempt where the tool failed or left out a chip: at first, and doubled each time up to the last.
const SOONEST: Duration = Duration::from_secs(10);
const LATEST: Duration = Duration::from_mins(10);

/// Most entries of `/dev` that are looked at.
const MAX_NODES: usize = 16_384;

/// Ids of the chips of one set.
#[derive(Debug, Default)]
pub(super) struct KnownIds {
    chips: Option<Vec<(u32, u32)>>,
    mapping: Mapping,
    again: Option<Instant>,
    rest: Duration,
}

impl KnownIds {
    /// Adds to the table what is known. `ask` is called if these chips have not been asked about.
    pub(super) fn add<E>(&mut self, table: &mut Table, roots: &HostRoots, ask: impl FnOnce() -> Result<Mapping, E>)
    where
        E: IsTransient + std::error::Error,
    {
        if table.chips.iter().all(|chip| chip.physical_id.is_some()) {
            return;
        }
        let mut chips: Vec<_> = table.chips.iter().filter_map(|chip| chip.npu.zip(chip.chip)).collect();
        chips.sort_unstable();
        let is_due = self.again.is_some_and(|again| Instant::now() >= again);
        if self.chips.as_ref() != Some(&chips) || is_due {
            if self.chips.as_ref() != Some(&chips) {
                *self = Self::default();
            }
            let may_change = match ask() {
                Ok(answer) => {
                    let known = answer.into_iter().filter(|(_, ids)| *ids != Ids::default());
                    self.mapping.extend(known);
                    chips.iter().any(|place| !self.mapping.contains_key(place))
                }
                Err(error) => {
                    tracing::debug!(%error, "the physical ids of the chips are not known");
                    error.is_transient()
                }
            };
            self.rest = (self.rest * 2).clamp(SOONEST, LATEST);
            self.again = may_change.then(|| Instant::now() + self.rest);
            self.add_nodes(table, roots);
            self.chips = Some(chips);
        }
        for chip in &mut table.chips {
            if let Some(ids) = chip.npu.zip(chip.chip).and_then(|place| self.mapping.get(&place)) {
                chip.logical_id = chip.logical_id.or(ids.logical);
                chip.physical_id = chip.physical_id.or(ids.physical);
            }
        }
    }

    /// Takes the logical for the physical ids where both are the same numbers, from 0 on and without a gap: the driver
    /// numbers the chips that a process sees in the order of their nodes, and this one sees all of them.
    fn add_nodes(&mut self, table: &Table, roots: &HostRoots) {
        for chip in &table.chips {
            if let (Some(place), Some(logical)) = (chip.npu.zip(chip.chip), chip.logical_id) {
                self.mapping.entry(place).or_default().logical = Some(logical);
            }
        }
        let logical: Vec<_> = self.mapping.values().filter_map(|ids| ids.logical).collect();
        let dense: BTreeSet<u32> = (0..).take(logical.len()).collect();
        let is_dense = !dense.is_empty() && logical.into_iter().collect::<BTreeSet<_>>() == dense;
        if is_dense && nodes(roots) == dense {
            for ids in self.mapping.values_mut().filter(|ids| ids.physical.is_none()) {
                ids.physical = ids.logical;
            }
        }
    }
}

/// Whether an error may be another one soon.
pub(super) trait IsTransient {
    fn is_transient(&self) -> bool;
}

/// Numbers of the host's `/dev/davinci<N>`.
fn nodes(roots: &HostRoots) -> BTreeSet<u32> {
    let names = roots.names("/dev", MAX_NODES).unwrap_or_default();
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_prefix("davinci")?.parse().ok());
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npu_smi::{Chip, Ids};

    #[derive(Debug, thiserror::Error)]
    #[error("no answer")]
    struct NoAnswer(bool);

    impl IsTransient for NoAnswer {
        fn is_transient(&self) -> bool {
            self.0
        }
    }

    fn table(npus: &[u32]) -> Table {
        let chip = |npu: &u32| Chip {
            npu: Some(*npu),
            chip: Some(0),
            ..Chip::default()
        };
        Table {
            chips: npus.iter().map(chip).collect(),
            ..Table::default()
        }
    }

    fn logical(npus: &[u32]) -> Mapping {
        let ids = |logical: usize| Ids {
            logical: u32::try_from(logical).ok(),
            physical: None,
        };
        npus.iter()
            .enumerate()
            .map(|(nth, npu)| ((*npu, 0), ids(nth)))
            .collect()
    }

    fn physical(table: &Table) -> Vec<Option<u32>> {
        table.chips.iter().map(|chip| chip.physical_id).collect()
    }

    #[test]
    fn they_are_asked_for_once_for_each_set_of_chips() {
        let roots = HostRoots::new("/nonexistent");
        let mut known = KnownIds::default();
        let mut asked = 0;
        let mut ask = |npus: &[u32], answer: Result<Mapping, NoAnswer>| {
            let mut table = table(npus);
            known.add(&mut table, &roots, || {
                asked += 1;
                answer
            });
            (asked, physical(&table))
        };
        let both = |npus: &[u32]| {
            let ids = npus.iter().map(|npu| {
                let ids = Ids {
                    logical: None,
                    physical: Some(npu + 10),
                };
                ((*npu, 0), ids)
            });
            Ok(ids.collect())
        };
        assert_eq!(ask(&[1, 4], both(&[1, 4])), (1, vec![Some(11), Some(14)]));
        assert_eq!(ask(&[1, 4], Err(NoAnswer(false))), (1, vec![Some(11), Some(14)]));
        assert_eq!(
            ask(&[1, 4, 5], both(&[1, 4, 5])),
            (2, vec![Some(11), Some(14), Some(15)])
        );
        assert_eq!(ask(&[1], Err(NoAnswer(false))), (3, vec![None]));
        assert_eq!(ask(&[1], both(&[1])), (3, vec![None]), "it cannot");
        assert_eq!(ask(&[4], Err(NoAnswer(true))), (4, vec![None]));
        assert_eq!(ask(&[4], both(&[4])), (4, vec![None]), "not at once");
    }

    #[test]
    fn logical_ids_are_those_of_the_nodes_where_they_are_the_same_numbers() {
        let host = tempfile::tempdir().unwrap();
        let dev = host.path().join("dev");
        std::fs::create_dir(&dev).unwrap();
        let roots = HostRoots::new(host.path());
        for (nodes, expected) in [
            (&["davinci0", "davinci1", "davinci_manager"][..], [Some(0), Some(1)]),
            (&["davinci0", "davinci4"], [None, None]),
            (&["davinci0", "davinci1", "davinci2"], [None, None]),
            (&[], [None, None]),
        ] {
            for node in nodes {
                std::fs::write(dev.join(node), "").unwrap();
            }
            let mut table = table(&[5, 2]);
            KnownIds::default().add(&mut table, &roots, || Ok::<_, NoAnswer>(logical(&[5, 2])));
            assert_eq!(physical(&table), expected, "{nodes:?}");
            for node in nodes {
                std::fs::remove_file(dev.join(node)).unwrap();
            }
        }
    }
}
