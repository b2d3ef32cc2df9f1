//! `libdcmi.so`: the only place with `unsafe` code.
//!
//! Every function of the library returns 0 or a negative code, takes the chip's address and writes through pointers.
//! Chips before the Ascend 950 are addressed by card and device (`dcmi_*`), the 950 by one id (`dcmiv2_*`). If the
//! library lacks a function, only the values of that function are absent.
//!
//! The library must not be called by several threads at once, so a [`Library`] is neither `Sync` nor clonable, and it
//! is never unloaded: it has global state and threads of its own.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::path::Path;

use super::layout::{
    AicoreInfo, ChipInfo, EccInfo, HbmInfo, MOST_CARDS, MemoryInfo, PROCESS_SLOTS, PcieInfo, ProcessMemory, SLACK,
    Utilizations,
};

/// Reason why a function returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The library has no such function.
    Missing,
    /// Return code of the function.
    Code(c_int),
}

/// Return code: the chip or its driver does not support this.
pub(super) const NOT_SUPPORTED: c_int = -8255;

/// Address of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Address {
    /// Address for `dcmi_*`.
    Card {
        /// Number of the NPU in `npu-smi`.
        card: c_int,
        /// Number of the chip on the card.
        device: c_int,
    },
    /// Id for `dcmiv2_*`.
    Device(c_int),
}

/// A type that C code may fill: every bit pattern is a valid value, including all zeros.
///
/// # Safety
/// The type must consist of integers and arrays of them.
unsafe trait Plain: Copy {}
// SAFETY: integers.
unsafe impl Plain for c_int {}
// SAFETY: integers.
unsafe impl Plain for c_uint {}
// SAFETY: integers and arrays of them.
unsafe impl Plain for HbmInfo {}
// SAFETY: integers and arrays of them.
unsafe impl Plain for MemoryInfo {}
// SAFETY: integers and arrays of them.
unsafe impl Plain for ChipInfo {}
// SAFETY: integers and arrays of them.
unsafe impl Plain for PcieInfo {}
// SAFETY: integers and arrays of them.
unsafe impl Plain for Utilizations {}
// SAFETY: integers and arrays of them.
unsafe impl Plain for EccInfo {}
// SAFETY: integers and arrays of them.
unsafe impl Plain for AicoreInfo {}
// SAFETY: integers.
unsafe impl Plain for ProcessMemory {}
// SAFETY: an array of a plain type is plain.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}
// SAFETY: integers.
unsafe impl Plain for u8 {}

/// A buffer with additional room, aligned for any structure.
#[repr(C, align(16))]
struct Roomy<T> {
    value: T,
    slack: [u8; SLACK],
}

impl<T: Plain> Roomy<T> {
    fn new() -> Box<Self> {
        let zeroed = Box::new(MaybeUninit::<Self>::zeroed());
        // SAFETY: zeros are a value of every field, by the contract of `Plain`.
        unsafe { zeroed.assume_init() }
    }
}

/// A function of both generations, with the arguments between the address and the results.
#[derive(Debug, Clone, Copy)]
struct Both<C, D> {
    card: Option<C>,
    device: Option<D>,
}

type Init = unsafe extern "C" fn() -> c_int;
type Version = unsafe extern "C" fn(*mut c_char, c_uint) -> c_int;
type List = unsafe extern "C" fn(*mut c_int, *mut c_int, c_int) -> c_int;
type ChipsOfCard = unsafe extern "C" fn(c_int, *mut c_int, *mut c_int, *mut c_int) -> c_int;
type LogicalOfCard = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
type Physical = unsafe extern "C" fn(c_uint, *mut c_uint) -> c_int;
type ProcessesOfCard = unsafe extern "C" fn(c_int, c_int, *mut ProcessMemory, *mut c_int) -> c_int;
type ProcessesOfDevice = unsafe extern "C" fn(c_int, *mut ProcessMemory, *mut c_int) -> c_int;

/// Calls the function of the chip's generation. Must stand in an `unsafe` block.
macro_rules! ask {
    ($function:expr, $chip:expr, $($argument:expr),*) => {
        match ($chip, $function) {
            (Address::Card { card, device }, Both { card: Some(ask), .. }) => checked(ask(card, device, $($argument),*)),
            (Address::Device(id), Both { device: Some(ask), .. }) => checked(ask(id, $($argument),*)),
            _ => Err(Failure::Missing),
        }
    };
}

/// The functions that take a chip, sometimes a number, and fill one structure.
macro_rules! getters {
    ($($(#[doc = $doc:literal])* $name:ident($($kind:ident)?) -> $type:ty, $card:literal, $device:literal;)*) => {
        #[derive(Debug, Clone, Copy)]
        struct Getters {
            $($name: Both<
                unsafe extern "C" fn(card: c_int, device: c_int, $($kind: c_int,)? to: *mut $type) -> c_int,
                unsafe extern "C" fn(id: c_int, $($kind: c_int,)? to: *mut $type) -> c_int,
            >,)*
        }

        impl Getters {
            fn find(of: &libloading::Library) -> Self {
                Self {
                    $(
                        // SAFETY: the signatures are those of the header, and the library is never unloaded.
                        $name: unsafe { both(of, $card, $device) },
                    )*
                }
            }
        }

        impl Library {
            $(
                $(#[doc = $doc])*
                pub(super) fn $name(&self, chip: Address $(, $kind: c_int)?) -> Result<$type, Failure> {
                    let mut buffer = Roomy::<$type>::new();
                    // SAFETY: the buffer has the structure's size and room behind it.
                    unsafe { ask!(self.getters.$name, chip, $($kind,)? &raw mut buffer.value) }?;
                    Ok(buffer.value)
                }
            )*
        }
    };
}

getters! {
    /// 0 ok, 1 minor alarm, 2 major, 3 critical, 0xFFFF_FFFF absent.
    health() -> c_uint, c"dcmi_get_device_health", c"dcmiv2_get_device_health";
    /// In 0.1 W.
    power() -> c_int, c"dcmi_get_device_power_info", c"dcmiv2_get_device_power_info";
    /// In degrees Celsius.
    temperature() -> c_int, c"dcmi_get_device_temperature", c"dcmiv2_get_device_temperature";
    /// In 0.01 V.
    voltage() -> c_uint, c"dcmi_get_device_voltage", c"dcmiv2_get_device_voltage";
    /// High-bandwidth memory.
    hbm() -> HbmInfo, c"dcmi_get_device_hbm_info", c"dcmiv2_get_device_hbm_info";
    /// DDR memory.
    ddr() -> MemoryInfo, c"dcmi_get_device_memory_info_v3", c"dcmiv2_get_device_memory_info_v3";
    /// Clock of the AI Cores.
    aicore() -> AicoreInfo, c"dcmi_get_device_aicore_info", c"dcmiv2_get_device_aicore_info";
    /// Several utilizations in one call, on newer drivers.
    utilizations() -> Utilizations, c"dcmi_get_device_multi_utilization_rate",
        c"dcmiv2_get_device_multi_utilization_rate";
    /// Model.
    chip_info() -> ChipInfo, c"dcmi_get_device_chip_info_v2", c"dcmiv2_get_device_chip_info";
    /// Model, by the older name.
    old_chip_info() -> ChipInfo, c"dcmi_get_device_chip_info", c"dcmiv2_get_device_chip_info";
    /// Address on the bus.
    pcie() -> PcieInfo, c"dcmi_get_device_pcie_info_v2", c"dcmiv2_get_device_pcie_info";
    /// 0 NPU, 1 MCU, 2 CPU.
    kind() -> c_int, c"dcmi_get_device_type", c"dcmiv2_get_device_type";
    /// Utilization in per cent: 2 AI Core, 3 AI CPU, 4 control CPU, 5 DDR bandwidth, 10 HBM bandwidth, 12 vector,
    /// 13 NPU as a whole, 14 cube.
    utilization(kind) -> c_uint, c"dcmi_get_device_utilization_rate", c"dcmiv2_get_device_utilization_rate";
    /// Frequency in MHz: 1 DDR, 2 control CPU, 6 HBM, 7 AI Core now, 9 AI Core at most, 12 vector.
    frequency(kind) -> c_uint, c"dcmi_get_device_frequency", c"dcmiv2_get_device_frequency";
    /// Error counts of ECC: 0 DDR, 1 SRAM, 2 HBM.
    ecc(kind) -> EccInfo, c"dcmi_get_device_ecc_info", c"dcmiv2_get_device_ecc_info";
}

/// The loaded library.
#[derive(Debug)]
pub(super) struct Library {
    getters: Getters,
    processes: Both<ProcessesOfCard, ProcessesOfDevice>,
    init: Both<Init, Init>,
    driver_version: Both<Version, Version>,
    list: Both<List, List>,
    chips_of_card: Option<ChipsOfCard>,
    logical_of_card: Option<LogicalOfCard>,
    physical: Both<Physical, Physical>,
    _one_thread: PhantomData<Cell<()>>,
}

impl Library {
    /// Loads the file, or a bare name by the loader's search path. The library stays loaded until the process ends.
    pub(super) fn open(file: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: loading runs the library's constructors. They are the vendor's, of a file that only the administrator
        // can write to (checked by the caller), in a process that exists for them alone.
        let library = ManuallyDrop::new(unsafe { libloading::Library::new(file) }?);
        let of = &*library;
        // SAFETY: the signatures are those of the header, and the library is never unloaded.
        unsafe {
            Ok(Self {
                getters: Getters::find(of),
                processes: both(of, c"dcmi_get_device_resource_info", c"dcmiv2_get_device_proc_mem_info"),
                init: both(of, c"dcmi_init", c"dcmiv2_init"),
                driver_version: both(of, c"dcmi_get_driver_version", c"dcmiv2_get_driver_version"),
                list: both(of, c"dcmi_get_card_list", c"dcmiv2_get_device_list"),
                chips_of_card: symbol(of, c"dcmi_get_device_id_in_card"),
                logical_of_card: symbol(of, c"dcmi_get_device_logic_id"),
                physical: both(
                    of,
                    c"dcmi_get_device_phyid_from_logicid",
                    c"dcmiv2_get_chip_phy_id_by_dev_id",
                ),
                _one_thread: PhantomData,
            })
        }
    }

    /// Whether it is a `libdcmi.so` at all.
    pub(super) const fn is_dcmi(&self) -> bool {
        self.init.card.is_some() || self.init.device.is_some()
    }

    /// Initialises that generation; must precede all other calls.
    pub(super) fn init(&self, generation: Generation) -> Result<(), Failure> {
        let init = generation.of(self.init)?;
        // SAFETY: it takes nothing.
        checked(unsafe { init() })
    }

    /// Ids of the cards, or on the newer generation of the devices. Negative ids are invalid.
    pub(super) fn list(&self, generation: Generation) -> Result<Vec<c_int>, Failure> {
        // The card's function takes the count first, the device's the list first; both have the same shape otherwise.
        let list = generation.of(self.list)?;
        let mut ids = Roomy::<[c_int; MOST_CARDS]>::new();
        let mut count = Roomy::<c_int>::new();
        let (ids_at, count_at) = (ids.value.as_mut_ptr(), &raw mut count.value);
        let length = MOST_CARDS as c_int;
        // SAFETY: the list has as many elements as its length, and the count is one number.
        checked(unsafe {
            match generation {
                Generation::Cards => list(count_at, ids_at, length),
                Generation::Devices => list(ids_at, count_at, length),
            }
        })?;
        let count = usize::try_from(count.value).unwrap_or_default().min(MOST_CARDS);
        Ok(ids.value[..count].iter().copied().filter(|id| *id >= 0).collect())
    }

    /// Number of NPU chips of the card. They are its devices from 0 on; its management controller comes after them.
    pub(super) fn chips_of_card(&self, card: c_int) -> Result<c_int, Failure> {
        let ask = self.chips_of_card.ok_or(Failure::Missing)?;
        let mut answers = Roomy::<[c_int; 3]>::new();
        let [chips, controller, cpu] = &mut answers.value;
        // SAFETY: each result is one number.
        checked(unsafe { ask(card, chips, controller, cpu) })?;
        Ok(answers.value[0])
    }

    /// Logical id of a chip.
    pub(super) fn logical_id(&self, chip: Address) -> Result<c_int, Failure> {
        match chip {
            Address::Device(id) => Ok(id),
            Address::Card { card, device } => {
                let ask = self.logical_of_card.ok_or(Failure::Missing)?;
                let mut id = Roomy::<c_int>::new();
                // SAFETY: the result is one number.
                checked(unsafe { ask(&raw mut id.value, card, device) })?;
                Ok(id.value)
            }
        }
    }

    /// Physical id of a chip: the number of its `/dev/davinci<N>`.
    pub(super) fn physical_id(&self, generation: Generation, logical: c_uint) -> Result<c_uint, Failure> {
        let ask = generation.of(self.physical)?;
        let mut id = Roomy::<c_uint>::new();
        // SAFETY: the result is one number.
        checked(unsafe { ask(logical, &raw mut id.value) })?;
        Ok(id.value)
    }

    /// Version of the driver.
    pub(super) fn driver_version(&self, generation: Generation) -> Result<String, Failure> {
        let ask = generation.of(self.driver_version)?;
        let mut text = Roomy::<[u8; 256]>::new();
        // SAFETY: the buffer has the length that is given.
        checked(unsafe { ask(text.value.as_mut_ptr().cast(), text.value.len() as c_uint) })?;
        Ok(words(&text.value))
    }

    /// The processes that use the chip.
    pub(super) fn processes(&self, chip: Address) -> Result<Vec<ProcessMemory>, Failure> {
        let mut slots = Roomy::<[ProcessMemory; PROCESS_SLOTS]>::new();
        let mut count = Roomy::<c_int>::new();
        let (slots_at, count_at) = (slots.value.as_mut_ptr(), &raw mut count.value);
        // SAFETY: there are eight times the slots that the driver's source fills, and the count is one number.
        unsafe { ask!(self.processes, chip, slots_at, count_at) }?;
        let count = usize::try_from(count.value).unwrap_or_default().min(PROCESS_SLOTS);
        Ok(slots.value[..count].to_vec())
    }
}

/// Addressing of chips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// `dcmi_*`, up to the Ascend 910 of every kind.
    Cards,
    /// `dcmiv2_*`, from the Ascend 950 on.
    Devices,
}

impl From<Address> for Generation {
    fn from(chip: Address) -> Self {
        match chip {
            Address::Card { .. } => Self::Cards,
            Address::Device(_) => Self::Devices,
        }
    }
}

impl Generation {
    fn of<F>(self, function: Both<F, F>) -> Result<F, Failure> {
        match self {
            Self::Cards => function.card,
            Self::Devices => function.device,
        }
        .ok_or(Failure::Missing)
    }
}

/// Text up to its first zero byte.
pub(super) fn words(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

const fn checked(code: c_int) -> Result<(), Failure> {
    match code {
        0 => Ok(()),
        code => Err(Failure::Code(code)),
    }
}

/// # Safety
/// `F` must be the function's own type, a pointer, and the library must never be unloaded.
unsafe fn symbol<F: Copy>(of: &libloading::Library, name: &CStr) -> Option<F> {
    // SAFETY: by this function's own contract; a symbol without an address is `None`, as for every pointer to a function.
    *unsafe { of.get::<Option<F>>(name) }.ok()?
}

/// # Safety
/// As for [`symbol`].
unsafe fn both<C: Copy, D: Copy>(of: &libloading::Library, card: &CStr, device: &CStr) -> Both<C, D> {
    // SAFETY: by this function's own contract.
    unsafe {
        Both {
            card: symbol(of, card),
            device: symbol(of, device),
        }
    }
}
