//! Instruments that several sources share, and those of the agent itself. Each source declares its own likewise.

pub mod accel;
pub mod agent;
pub mod hw;

use super::{Instrument, Kind, Merge, Stability, key};

/// Every instrument of these, sorted by name.
pub fn all() -> Vec<&'static Instrument> {
    let mut all: Vec<_> = [hw::ALL, accel::ALL, agent::ALL].concat();
    all.sort_by_key(|instrument| instrument.name);
    all
}

/// The instrument of that name of these.
pub fn find(name: &str) -> Option<&'static Instrument> {
    [hw::ALL, accel::ALL, agent::ALL]
        .into_iter()
        .flatten()
        .find(|instrument| instrument.name == name)
        .copied()
}

/// The keys that attribution adds to an [`owned`](Instrument::owned) instrument's points: those of the process, and
/// [`WORKLOAD_KEYS`].
pub const OWNER_KEYS: &[&str] = &[
    key::PROCESS_PID,
    key::PROCESS_EXECUTABLE_NAME,
    key::CONTAINER_ID,
    key::CONTAINER_NAME,
    key::CONTAINER_IMAGE_NAME,
    key::K8S_CONTAINER_NAME,
    key::K8S_POD_NAME,
    key::K8S_POD_UID,
    key::K8S_NAMESPACE_NAME,
    key::SYSTEMD_UNIT,
    key::ACCEL_OWNER,
    key::SLURM_JOB_ID,
    key::SLURM_STEP_ID,
    key::PBS_JOB_ID,
    key::LSF_JOB_ID,
    key::HTCONDOR_SLOT_NAME,
];

/// Those of the container, pod, unit or job that a process is in.
pub const WORKLOAD_KEYS: &[&str] = OWNER_KEYS.split_at(2).1;

/// These keys, and [`WORKLOAD_KEYS`]; `ALL` is the number of both together.
const fn with_workload<const ALL: usize>(own: &[&'static str]) -> [&'static str; ALL] {
    let mut all = [""; ALL];
    let (first, rest) = all.split_at_mut(own.len());
    first.copy_from_slice(own);
    rest.copy_from_slice(WORKLOAD_KEYS);
    all
}

/// Bounds in seconds for the agent's own work, from 100 µs to 10 s.
const WORK_SECONDS: &[f64] = &[0.0001, 0.001, 0.01, 0.1, 1.0, 10.0];

/// A definition of which nothing but these is special.
pub const fn instrument(
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    attributes: &'static [&'static str],
    description: &'static str,
) -> Instrument {
    Instrument {
        name,
        unit,
        kind,
        description,
        attributes,
        owned: false,
        merge: Merge::Sum,
        stability: Stability::Development,
    }
}

/// The same, its points belonging to a process or container.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a definition is written in place, and nothing is destroyed here"
)]
pub const fn owned(instrument: Instrument, merge: Merge) -> Instrument {
    Instrument {
        owned: true,
        merge,
        ..instrument
    }
}

/// Declares instruments, and `ALL` of them.
#[macro_export]
macro_rules! instruments {
    ($($name:ident = $definition:expr;)*) => {
        $(
            #[doc = concat!("Its meaning is its description; see `docs/metrics.md` for `", stringify!($name), "`.")]
            pub static $name: $crate::metric::Instrument = $definition;
        )*
        /// All of this file.
        pub const ALL: &[&$crate::metric::Instrument] = &[$(&$name),*];
    };
}
use crate::instruments;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::key;

    #[test]
    fn names_are_unique_and_every_attribute_key_is_known() {
        let all = all();
        for pair in all.windows(2) {
            assert_ne!(pair[0].name, pair[1].name);
        }
        for instrument in all {
            for attribute in instrument.attributes {
                assert!(
                    key::ALL.iter().any(|(known, _)| known == attribute),
                    "{}: unknown key {attribute}",
                    instrument.name
                );
            }
            assert!(
                instrument.description.ends_with('.'),
                "{}: description is no sentence",
                instrument.name
            );
        }
    }
}
