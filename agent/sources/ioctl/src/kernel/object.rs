//! The prebuilt programs and their maps, as they stand before the kernel has taken any of the programs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use agent_ebpf::{GLOBAL, RECORDS, Settings};
use aya_obj::generated::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG, bpf_insn, bpf_map_type};
use aya_obj::{EbpfSectionKind, Object};

use super::budget::{BUDGET, Machine, bytes};
use super::sys::{Map, Shape};

/// Fewest records that are worth loading anything for.
const FEWEST_RECORDS: u32 = 512;
/// Records for each processor: a board with four of them runs few containers, and its memory is dear.
const RECORDS_A_PROCESSOR: u32 = 512;
/// And for the smallest machine.
const RECORDS_AT_LEAST: u32 = 2048;

/// Why the maps could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    /// Nothing is prebuilt for this architecture.
    #[error("there are no eBPF programs for this architecture in this build")]
    Architecture,
    /// The object is not what this build expects.
    #[error("the prebuilt eBPF programs cannot be read")]
    Parse(#[from] aya_obj::ParseError),
    /// The same, of its references.
    #[error("the prebuilt eBPF programs cannot be linked")]
    Relocation(#[from] aya_obj::relocation::EbpfRelocationError),
    /// The kernel refused a map.
    #[error("the map {name} was refused: {source}")]
    Map {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// A program that the kernel has not seen yet.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) instructions: Vec<bpf_insn>,
    pub(super) licence: CString,
}

/// Maps in the kernel, and the programs that refer to them.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) maps: HashMap<String, Map>,
    pub(super) programs: HashMap<String, Program>,
    /// Kernel memory of all maps in bytes, as computed.
    pub(super) memory: u64,
}

/// Makes all maps. `cast` is the number of the kernel's function that gives an address a type.
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
    let settings = settings_bytes(settings);
    object.patch_map_data(HashMap::from([("SETTINGS", (settings.as_slice(), true))]))?;
    let shapes = shapes(&object, machine);

    let mut maps = HashMap::new();
    // In one order, so that what is refused is always the same.
    let in_order: BTreeMap<_, _> = object.maps.iter().collect();
    for (name, map) in in_order {
        let shape = shapes[plain(name)];
        let made = Map::create(plain(name), shape)
            .and_then(|made| {
                if !map.data().is_empty() && map.section_kind() != EbpfSectionKind::Maps {
                    made.update(&0_u32.to_ne_bytes(), map.data())?;
                    if shape.flags & BPF_F_RDONLY_PROG != 0 {
                        made.freeze()?;
                    }
                }
                Ok(made)
            })
            .map_err(|source| ObjectError::Map {
                name: plain(name).to_owned(),
                source,
            })?;
        maps.insert(plain(name).to_owned(), made);
    }

    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let descriptors: Vec<_> = object
        .maps
        .iter()
        .map(|(name, map)| (name.clone(), maps[plain(name)].as_fd().as_raw_fd(), map.clone()))
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
    let memory = shapes.values().map(|shape| bytes(*shape, machine)).sum();
    Ok(Loaded { maps, programs, memory })
}

/// A map's name without what tells that the programs know its address.
fn plain(name: &str) -> &str {
    name.strip_prefix(GLOBAL).unwrap_or(name)
}

/// Kinds and sizes of all maps. As many records as suit the machine, at most those that the object says, or fewer, so that
/// all maps together stay within the budget.
fn shapes(object: &Object, machine: Machine) -> HashMap<String, Shape> {
    let with = |records: u32| -> HashMap<String, Shape> {
        object
            .maps
            .iter()
            .map(|(name, map)| (plain(name).to_owned(), shape(name, map, records, machine)))
            .collect()
    };
    let mut records = machine
        .processors
        .saturating_mul(RECORDS_A_PROCESSOR)
        .clamp(RECORDS_AT_LEAST, RECORDS)
        .next_power_of_two();
    loop {
        let shapes = with(records);
        let all: u64 = shapes.values().map(|shape| bytes(*shape, machine)).sum();
        if all <= BUDGET || records <= FEWEST_RECORDS {
            return shapes;
        }
        records /= 2;
    }
}

fn shape(name: &str, map: &aya_obj::Map, records: u32, machine: Machine) -> Shape {
    let given = map.max_entries();
    let entries = match name {
        "INDEX" | "RECORDS" | "IDENTS" | "FREE" | "ERRORS" => records,
        "CHANNELS" => records / 2,
        "QUOTA" => records / 4,
        "HAILO" => 128,
        // The kernel takes powers of two of whole pages.
        "EVENTS" => given.max(machine.page).next_power_of_two(),
        _ => given,
    };
    Shape {
        kind: map.map_type(),
        key: if map.map_type() == bpf_map_type::BPF_MAP_TYPE_QUEUE as u32 {
            0
        } else {
            map.key_size()
        },
        value: map.value_size(),
        entries,
        flags: if name.starts_with(GLOBAL) {
            map.map_flags() | BPF_F_MMAPABLE
        } else {
            map.map_flags()
        },
    }
}

#[expect(unsafe_code, reason = "the settings' bytes are what the programs read")]
fn settings_bytes(settings: &Settings) -> Vec<u8> {
    // SAFETY: `repr(C)` and made of 32-bit numbers only, so that every byte is initialised.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(settings).cast::<u8>(), size_of::<Settings>()) };
    bytes.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints what each map takes when it fails.
    fn within_budget(machine: Machine) -> (u64, u32) {
        let object = Object::parse(agent_ebpf::OBJECT).unwrap();
        let shapes = shapes(&object, machine);
        let mut each: Vec<_> = shapes
            .iter()
            .map(|(name, shape)| (name, bytes(*shape, machine)))
            .collect();
        each.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let all = each.iter().map(|(_, bytes)| bytes).sum();
        assert!(all <= BUDGET, "{machine:?}: {all} {each:?}");
        (all, shapes["RECORDS"].entries)
    }

    #[test]
    fn all_maps_stay_within_the_budget_whatever_the_machine() {
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
            "INDEX", "RECORDS", "IDENTS", "FREE", "QUOTA", "SLOTS", "OVERFLOW", "ERRORS", "CHANNELS", "WATCHED",
            "HAILO", "EVENTS", "COUNTERS", "PEEK",
        ] {
            assert!(object.maps.keys().any(|there| plain(there) == name), "{name}");
        }
    }
}
