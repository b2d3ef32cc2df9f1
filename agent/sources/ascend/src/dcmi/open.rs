//! Loads the library and lists its chips.

use std::collections::HashSet;
use std::ffi::c_int;
use std::path::PathBuf;

use super::library::{Address, Failure, Generation, Library, NOT_SUPPORTED};
use super::place;
use crate::npu_smi::{Cause, Chip};
use accelscope_core::trust::Refused;

/// Limit of chips of a card; today's boards have at most two.
const MOST_CHIPS: c_int = 64;

/// Reason why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("no libdcmi.so found: mount the driver's /usr/local/Ascend/driver and /usr/local/dcmi")]
    NotFound,
    #[error("{} cannot be loaded: mount all of the driver's /usr/local/Ascend/driver beside it", .path.display())]
    Load {
        path: PathBuf,
        #[source]
        error: libloading::Error,
    },
    #[error("{} is no libdcmi: it has no function dcmi_init", .0.display())]
    Foreign(PathBuf),
    #[error("{} ({call} returned {code}); {}", Cause::of_code(*.code).meaning(), Cause::of_code(*.code).remedy())]
    Refusal { call: &'static str, code: c_int },
    #[error("libdcmi lists no NPU")]
    NoChip,
}

/// The initialised library and its chips. The list is constant: only a new process finds a chip that has another number
/// after a reset.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) library: Library,
    pub(super) about: About,
    pub(super) chips: Vec<ChipState>,
}

/// Constant properties while the library is loaded.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) driver_version: Option<String>,
    pub(super) chips: usize,
    /// Number of cards with an unreadable number of chips.
    pub(super) silent_cards: u64,
}

/// A chip, and its constant properties while the library is loaded.
#[derive(Debug)]
pub(super) struct ChipState {
    pub(super) address: Address,
    /// Numbers in `npu-smi`.
    pub(super) npu: u32,
    pub(super) chip: u32,
    /// Name in messages, and the device of a suspension.
    pub(super) label: String,
    /// Its ids and its name, as far as they are known.
    pub(super) known: Chip,
    /// Unsupported queries.
    pub(super) unsupported: HashSet<&'static str>,
}

impl ChipState {
    fn new(address: Address) -> Option<Self> {
        let (npu, chip) = match address {
            Address::Card { card, device } => (card, device),
            // The 950 has one chip, which has no number in `npu-smi`.
            Address::Device(id) => (id, 0),
        };
        let (npu, chip) = (npu.try_into().ok()?, chip.try_into().ok()?);
        Some(Self {
            address,
            npu,
            chip,
            label: format!("NPU {npu} chip {chip}"),
            known: Chip {
                npu: Some(npu),
                chip: Some(chip),
                ..Chip::default()
            },
            unsupported: HashSet::new(),
        })
    }
}

/// Loads the library, initialises it and lists its chips.
pub(super) fn open(file: Option<PathBuf>) -> Result<Driver, OpenError> {
    let path = place::checked(file)?.ok_or(OpenError::NotFound)?;
    let library = Library::open(&path).map_err(|error| {
        let path = path.clone();
        OpenError::Load { path, error }
    })?;
    if !library.is_dcmi() {
        return Err(OpenError::Foreign(path));
    }
    // The 950's library has the functions of the cards too; they return "not supported".
    let mut refusal = None;
    for generation in [Generation::Cards, Generation::Devices] {
        match chips(&library, generation) {
            Ok((chips, silent_cards)) if !chips.is_empty() || silent_cards > 0 => {
                let about = About {
                    driver_version: library.driver_version(generation).ok().filter(|text| !text.is_empty()),
                    chips: chips.len(),
                    silent_cards,
                };
                return Ok(Driver { library, about, chips });
            }
            Ok(_) => {}
            Err(error) => refusal = refusal.or(error),
        }
    }
    Err(refusal.unwrap_or(OpenError::NoChip))
}

/// The chips in the list of one generation of functions, and the number of cards with an unreadable number of chips.
/// `None` if the chips are of the other generation, an error if this one fails.
fn chips(library: &Library, generation: Generation) -> Result<(Vec<ChipState>, u64), Option<OpenError>> {
    let failed = |call| {
        move |failure| match failure {
            Failure::Missing | Failure::Code(NOT_SUPPORTED) => None,
            Failure::Code(code) => Some(OpenError::Refusal { call, code }),
        }
    };
    let (init, list) = match generation {
        Generation::Cards => ("dcmi_init", "dcmi_get_card_list"),
        Generation::Devices => ("dcmiv2_init", "dcmiv2_get_device_list"),
    };
    library.init(generation).map_err(failed(init))?;
    let ids = library.list(generation).map_err(failed(list))?;
    let (mut chips, mut silent_cards) = (Vec::new(), 0);
    for id in ids {
        let addresses: Vec<_> = match generation {
            Generation::Devices => vec![Address::Device(id)],
            Generation::Cards => match library.chips_of_card(id) {
                Ok(count) => (0..count.min(MOST_CHIPS))
                    .map(|device| Address::Card { card: id, device })
                    .collect(),
                Err(Failure::Missing | Failure::Code(NOT_SUPPORTED)) => continue,
                Err(Failure::Code(_)) => {
                    silent_cards += 1;
                    continue;
                }
            },
        };
        let npus = addresses
            .into_iter()
            .filter(|address| library.kind(*address).map_or(true, |kind| kind == NPU));
        chips.extend(npus.filter_map(ChipState::new));
    }
    Ok((chips, silent_cards))
}

/// `NPU_TYPE`; the others are the board's management controller and CPU.
const NPU: c_int = 0;
