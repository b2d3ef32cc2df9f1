//! The controllers of cgroup v1.

use super::id::Hierarchy;

/// Where a container's processes may have a group of their own, in the order in which the programs in the kernel try them,
/// each with its place ([`Hierarchy::Further`]). First the freezer, whose place the programs know: systemd does not manage
/// it, but moves processes of `pids` and `memory` back into their service's group.
const ORDER: [(&str, u8); 8] = [
    ("freezer", 1),
    (PRIMARY, 0),
    ("memory", 2),
    ("cpuset", 3),
    ("devices", 4),
    ("cpu", 5),
    ("blkio", 6),
    ("perf_event", 7),
];

/// `pids`, else `memory`.
const PRIMARY: &str = "";

/// How many hierarchies are captured.
const CAPTURED: usize = 4;

/// A hierarchy of v1 that is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V1 {
    /// One of its controllers.
    pub controller: &'static str,
    /// Its number, as in `/proc/<pid>/cgroup`.
    pub number: u32,
    /// By which the agent knows it, whatever else is mounted.
    pub place: u8,
}

impl V1 {
    /// As it is part of a [`CgroupId`](super::CgroupId).
    pub const fn hierarchy(self) -> Hierarchy {
        match self.place {
            0 => Hierarchy::Legacy,
            place => Hierarchy::Further(place),
        }
    }
}

/// Controllers with the numbers of their hierarchies; 0 is the unified one.
#[derive(Debug, Clone, Default)]
pub struct Controllers(Vec<(String, u32)>);

impl Controllers {
    /// From the text of `/proc/cgroups`.
    pub fn parse(table: &str) -> Self {
        let lines = table.lines().filter(|line| !line.starts_with('#'));
        let fields = lines.filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
        });
        Self(fields.collect())
    }

    /// Place of the controller in the table.
    pub fn position(&self, controller: &str) -> Option<usize> {
        self.0.iter().position(|(name, _)| name == controller)
    }

    /// The hierarchies that are captured, in the order in which they are tried.
    pub fn captured(&self) -> Vec<V1> {
        let mut found: Vec<V1> = Vec::new();
        for (controller, place) in ORDER {
            let of = |controller| Some((controller, self.number(controller)?));
            let one = if controller == PRIMARY {
                of("pids").or_else(|| of("memory"))
            } else {
                of(controller)
            };
            let Some((controller, number)) = one else { continue };
            // Several controllers may be mounted together.
            if found.len() < CAPTURED && found.iter().all(|other| other.number != number) {
                found.push(V1 {
                    controller,
                    number,
                    place,
                });
            }
        }
        found
    }

    /// Number of the controller's hierarchy; `None` if that is the unified one, or the controller is disabled.
    fn number(&self, controller: &str) -> Option<u32> {
        let (_, number) = self.0.iter().find(|(name, _)| name == controller)?;
        (*number != 0).then_some(*number)
    }
}
