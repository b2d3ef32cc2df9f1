//! The prebuilt object: its maps, created, and its programs, ready to be loaded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use agent_ebpf::{GLOBAL, RECORDS, Settings};
use aya::maps::MapData;
use aya_obj::generated::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG, bpf_insn};
use aya_obj::{EbpfSectionKind, Map, Object};

use super::budget::{BUDGET, Machine, bytes};
use super::drivers;
use super::plain::bytes_of;
use super::sys;
use super::table::io_error;

/// Fewest records that are worth loading anything for.
const FEWEST_RECORDS: u32 = 512;
/// Records for each processor: a board with four of them runs few containers and has little memory.
const RECORDS_PER_PROCESSOR: u32 = 512;
/// Records on the smallest machine.
const MIN_RECORDS: u32 = 2048;

/// Why the maps could not be created.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    /// Nothing is prebuilt for this architecture.
    #[error("there are no eBPF programs for this architecture in this build")]
    Architecture,
    /// The object is malformed.
    #[error("the prebuilt eBPF programs cannot be read")]
    Parse(#[from] aya_obj::ParseError),
    /// The object's references cannot be resolved.
    #[error("the prebuilt eBPF programs cannot be linked")]
    Relocation(#[from] aya_obj::relocation::EbpfRelocationError),
    /// The kernel refused a map.
    #[error("the map {name} was refused: {source}")]
    Map {
        /// The map's name.
        name: String,
        /// The kernel's error.
        source: io::Error,
    },
}

impl ObjectError {
    /// What to call on an error with a map.
    pub(super) fn map(name: &str) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_owned();
        |source| Self::Map { name, source }
    }
}

/// A program that is not loaded yet.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) instructions: Vec<bpf_insn>,
    pub(super) licence: CString,
}

/// Maps in the kernel, and the programs that refer to them.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) maps: HashMap<String, MapData>,
    pub(super) programs: HashMap<String, Program>,
    /// Kernel memory of all maps in bytes, as computed.
    pub(super) memory: u64,
}

/// Creates all maps. `cast` is the number of the kernel function that gives an address a type ([`agent_ebpf::cast`]).
///
/// `aya::EbpfLoader` would do this too, but it cannot create data sections that can be mapped into memory.
pub(super) fn load(settings: &Settings, machine: Machine, cast: Option<u32>) -> Result<Loaded, ObjectError> {
    if agent_ebpf::OBJECT.is_empty() {
        return Err(ObjectError::Architecture);
    }
    let mut object = match cast {
        Some(function) => {
            let mut bytes = agent_ebpf::OBJECT.to_vec();
            agent_ebpf::cast::patch(&mut bytes, function);
            Object::parse(&bytes)?
        }
        None => Object::parse(agent_ebpf::OBJECT)?,
    };
    let definitions = definitions(&object, machine);
    let settings = Settings {
        shares: shares(definitions["RECORDS"].max_entries(), machine),
        ..*settings
    };
    object.patch_map_data(HashMap::from([("SETTINGS", (bytes_of(&settings), true))]))?;

    let mut maps = HashMap::new();
    // Sorted, so that the same map is refused each time.
    for (name, map) in object.maps.iter().collect::<BTreeMap<_, _>>() {
        let name = plain(name);
        let created = create(name, &definitions[name], map).map_err(ObjectError::map(name))?;
        maps.insert(name.to_owned(), created);
    }

    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let descriptors: Vec<_> = object
        .maps
        .iter()
        .map(|(name, map)| (name.clone(), maps[plain(name)].fd().as_fd().as_raw_fd(), map.clone()))
        .collect();
    object.relocate_maps(
        descriptors.iter().map(|(name, fd, map)| (name.as_str(), *fd, map)),
        &sections,
    )?;
    object.relocate_calls(&sections)?;
    let programs = object
        .programs
        .iter()
        .filter_map(|(name, program)| {
            let function = object.functions.get(&program.function_key())?;
            let program = Program {
                instructions: function.instructions.clone(),
                licence: program.license.clone(),
            };
            Some((name.clone(), program))
        })
        .collect();
    let memory = definitions.values().map(|map| bytes(map, machine)).sum();
    Ok(Loaded { maps, programs, memory })
}

/// How many of the records may be shares of processors: where they are used up, several processors use one record, which is
/// slower; a key without a record would not be counted.
fn shares(records: u32, machine: Machine) -> u32 {
    if machine.processors > 1 { records / 4 } else { 0 }
}

/// Creates a map as defined, with the contents of its section in the object.
fn create(name: &str, definition: &Map, section: &Map) -> io::Result<MapData> {
    let created = MapData::create(definition.clone(), name, None).map_err(io_error)?;
    if !section.data().is_empty() && section.section_kind() != EbpfSectionKind::Maps {
        let freeze = definition.map_flags() & BPF_F_RDONLY_PROG != 0;
        sys::initialise(created.fd().as_fd(), section.data(), definition.value_size(), freeze)?;
    }
    Ok(created)
}

/// A map's name without the prefix for maps of which the programs know the address.
fn plain(name: &str) -> &str {
    name.strip_prefix(GLOBAL).unwrap_or(name)
}

/// Definitions of all maps. As many records as suit the machine, at most as many as the object has, or fewer, so that all
/// maps together stay within the budget.
fn definitions(object: &Object, machine: Machine) -> HashMap<String, Map> {
    let with = |records: u32| -> HashMap<String, Map> {
        object
            .maps
            .iter()
            .map(|(name, map)| (plain(name).to_owned(), definition(name, map, records, machine)))
            .collect()
    };
    let mut records = machine
        .processors
        .saturating_mul(RECORDS_PER_PROCESSOR)
        .clamp(MIN_RECORDS, RECORDS)
        .next_power_of_two();
    loop {
        let definitions = with(records);
        let all: u64 = definitions.values().map(|map| bytes(map, machine)).sum();
        if all <= BUDGET || records <= FEWEST_RECORDS {
            return definitions;
        }
        records /= 2;
    }
}

fn definition(name: &str, map: &Map, records: u32, machine: Machine) -> Map {
    let given = map.max_entries();
    let entries = match name {
        "INDEX" | "RECORDS" | "IDENTS" | "FREE" | "ERRORS" => records,
        "CHANNELS" => records / 2,
        "QUOTA" => records / 4,
        // The kernel takes powers of two of whole pages.
        "EVENTS" => given.max(machine.page).next_power_of_two(),
        drivers::LAYOUT_TABLE => drivers::LAYOUTS,
        _ => given,
    };
    let mappable = if name.starts_with(GLOBAL) { BPF_F_MMAPABLE } else { 0 };
    Map::new_from_params(
        map.map_type(),
        map.key_size(),
        map.value_size(),
        entries,
        map.map_flags() | mappable,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints what each map takes when it fails.
    fn within_budget(machine: Machine) -> (u64, u32) {
        let object = Object::parse(agent_ebpf::OBJECT).unwrap();
        let definitions = definitions(&object, machine);
        let mut each: Vec<_> = definitions
            .iter()
            .map(|(name, map)| (name, bytes(map, machine)))
            .collect();
        each.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let all = each.iter().map(|(_, bytes)| bytes).sum();
        assert!(all <= BUDGET, "{machine:?}: {all} {each:?}");
        (all, definitions["RECORDS"].max_entries())
    }

    #[test]
    fn all_maps_stay_within_the_budget_on_any_machine() {
        for (processors, wanted) in [(1, 2048), (4, 2048), (8, 4096), (256, RECORDS)] {
            for page in [4096, 16384, 65536] {
                let (bytes, records) = within_budget(Machine { processors, page });
                eprintln!("{processors} processors, pages of {page}: {bytes} bytes");
                assert_eq!(records, wanted, "it fits without fewer records");
            }
        }
        let (_, records) = within_budget(Machine {
            processors: 8192,
            page: 4096,
        });
        assert!(records >= FEWEST_RECORDS);
    }

    #[test]
    fn every_map_that_the_agent_uses_is_there() {
        let object = Object::parse(agent_ebpf::OBJECT).unwrap();
        for name in [
            "INDEX",
            "RECORDS",
            "IDENTS",
            "FREE",
            "QUOTA",
            "SLOTS",
            "OVERFLOW",
            "ERRORS",
            "CHANNELS",
            "WATCHED",
            "EVENTS",
            "COUNTERS",
            "PEEK",
            drivers::LAYOUT_TABLE,
        ] {
            assert!(object.maps.keys().any(|there| plain(there) == name), "{name}");
        }
    }
}
