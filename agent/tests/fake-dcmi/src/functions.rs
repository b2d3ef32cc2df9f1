//! The library's functions.
//!
//! Values that the script does not give follow from the chip: `seed` is ten times the card plus the chip.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::script::Script;
use super::{At, enter};

const OK: c_int = 0;

/// Fills a structure, from the script's numbers or those that follow from the chip.
type Fill = fn(At, &[i64]);

struct Call<'a> {
    function: &'a str,
    address: String,
    seed: i64,
    kind: Option<c_int>,
    to: *mut c_void,
}

fn answer(call: &Call<'_>, size: usize, fill: Fill, usual: impl Fn(i64, c_int) -> Vec<i64>) -> c_int {
    let Call { function, address, .. } = call;
    let script = match enter(function, address) {
        Ok(script) => script,
        Err(code) => return code,
    };
    let numbers = script.values(function, address, call.kind);
    let numbers = numbers.unwrap_or_else(|| usual(call.seed, call.kind.unwrap_or_default()));
    if numbers.is_empty() {
        return super::NOT_SUPPORTED;
    }
    fill(At(call.to), &numbers);
    At(call.to).bytes(size, &vec![0xff; script.growth(function, address)]);
    OK
}

/// The same function for both ways of addressing a chip.
macro_rules! getters {
    ($($card:ident, $device:ident, $size:literal, $fill:expr, $usual:expr;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $card(card: c_int, chip: c_int, to: *mut c_void) -> c_int {
            let address = format!("{card}/{chip}");
            let seed = i64::from(card * 10 + chip);
            answer(&Call { function: stringify!($card), address, seed, kind: None, to }, $size, $fill, $usual)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $device(id: c_int, to: *mut c_void) -> c_int {
            let (address, seed) = (id.to_string(), i64::from(id * 10));
            answer(&Call { function: stringify!($device), address, seed, kind: None, to }, $size, $fill, $usual)
        }
    )*};
}

/// The same with a number that selects one of several values.
macro_rules! kinds {
    ($($card:ident, $device:ident, $size:literal, $fill:expr, $usual:expr;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $card(card: c_int, chip: c_int, kind: c_int, to: *mut c_void) -> c_int {
            let address = format!("{card}/{chip}");
            let (seed, kind) = (i64::from(card * 10 + chip), Some(kind));
            answer(&Call { function: stringify!($card), address, seed, kind, to }, $size, $fill, $usual)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $device(id: c_int, kind: c_int, to: *mut c_void) -> c_int {
            let (address, seed, kind) = (id.to_string(), i64::from(id * 10), Some(kind));
            answer(&Call { function: stringify!($device), address, seed, kind, to }, $size, $fill, $usual)
        }
    )*};
}

fn one(at: At, numbers: &[i64]) {
    at.four(0, numbers[0]);
}

fn fours(at: At, numbers: &[i64]) {
    for (index, number) in numbers.iter().enumerate() {
        at.four(index * 4, *number);
    }
}

fn hbm(at: At, numbers: &[i64]) {
    at.eight(0, numbers[0]);
    at.four(8, numbers[1]);
    at.eight(16, numbers[2]);
    at.four(24, numbers[3]);
    at.four(28, numbers[4]);
}

fn ddr(at: At, numbers: &[i64]) {
    at.eight(0, numbers[0]);
    at.eight(8, numbers[1]);
    at.four(16, numbers[2]);
    at.eight(24, numbers[3]);
    at.eight(32, numbers[4]);
    at.eight(40, numbers[5]);
    at.four(48, numbers[6]);
}

fn model(at: At, _: &[i64]) {
    at.bytes(0, b"Ascend\0");
    at.bytes(32, b"910B3\0");
    at.bytes(64, b"V1\0");
    at.four(96, 20);
}

getters! {
    dcmi_get_device_health, dcmiv2_get_device_health, 4, one, |_, _| vec![0];
    dcmi_get_device_power_info, dcmiv2_get_device_power_info, 4, one, |seed, _| vec![1000 + seed];
    dcmi_get_device_temperature, dcmiv2_get_device_temperature, 4, one, |seed, _| vec![40 + seed % 10];
    dcmi_get_device_voltage, dcmiv2_get_device_voltage, 4, one, |_, _| vec![85];
    dcmi_get_device_hbm_info, dcmiv2_get_device_hbm_info, 32, hbm, |seed, _| vec![65536, 1600, 3000 + seed, 51, 17];
    dcmi_get_device_memory_info_v3, dcmiv2_get_device_memory_info_v3, 112, ddr, |_, _| vec![0; 7];
    dcmi_get_device_aicore_info, dcmiv2_get_device_aicore_info, 8, fours, |_, _| vec![1850, 1800];
    dcmi_get_device_multi_utilization_rate, dcmiv2_get_device_multi_utilization_rate, 48, fours, |_, _| vec![];
    dcmi_get_device_chip_info_v2, dcmiv2_get_device_chip_info, 132, model, |_, _| vec![1];
    dcmi_get_device_pcie_info_v2, dcmiv2_get_device_pcie_info, 64, fours,
        |seed, _| vec![0x19e5, 0x200, 0xd802, 0x4000, 0, 0x80 + seed, 0, 0];
    dcmi_get_device_type, dcmiv2_get_device_type, 4, one, |_, _| vec![0];
}

kinds! {
    dcmi_get_device_utilization_rate, dcmiv2_get_device_utilization_rate, 4, one,
        |seed, kind| match kind { 2 => vec![seed % 100], 3 => vec![3], 4 => vec![4], 5 => vec![5], 13 => vec![65], _ => vec![] };
    dcmi_get_device_frequency, dcmiv2_get_device_frequency, 4, one,
        |_, kind| match kind { 2 => vec![2000], 12 => vec![1700], _ => vec![] };
    dcmi_get_device_ecc_info, dcmiv2_get_device_ecc_info, 28, fours,
        |_, kind| match kind { 2 => vec![1, 11, 12, 13, 14, 15, 16], _ => vec![] };
}

fn begin(function: &str, address: &str, then: impl FnOnce(&Script)) -> c_int {
    match enter(function, address) {
        Ok(script) => {
            then(&script);
            OK
        }
        Err(code) => code,
    }
}

#[unsafe(no_mangle)]
extern "C" fn dcmi_init() -> c_int {
    begin("dcmi_init", "-", |_| {})
}

#[unsafe(no_mangle)]
extern "C" fn dcmiv2_init() -> c_int {
    begin("dcmiv2_init", "-", |_| {})
}

#[unsafe(no_mangle)]
extern "C" fn dcmi_get_driver_version(to: *mut c_char, _: c_uint) -> c_int {
    begin("dcmi_get_driver_version", "-", |_| At(to.cast()).bytes(0, b"24.1.0\0"))
}

#[unsafe(no_mangle)]
extern "C" fn dcmiv2_get_driver_version(to: *mut c_char, _: c_uint) -> c_int {
    begin("dcmiv2_get_driver_version", "-", |_| {
        At(to.cast()).bytes(0, b"26.0.0\0");
    })
}

fn list(ids: &[c_int], to: *mut c_int, count: *mut c_int, length: c_int) {
    for (index, id) in ids.iter().take(length as usize).enumerate() {
        At(to.cast()).four(index * 4, i64::from(*id));
    }
    At(count.cast()).four(0, ids.len() as i64);
}

#[unsafe(no_mangle)]
extern "C" fn dcmi_get_card_list(count: *mut c_int, to: *mut c_int, length: c_int) -> c_int {
    begin("dcmi_get_card_list", "-", |script| {
        let ids: Vec<_> = script.cards().iter().map(|(card, _)| *card).collect();
        list(&ids, to, count, length);
    })
}

#[unsafe(no_mangle)]
extern "C" fn dcmiv2_get_device_list(to: *mut c_int, count: *mut c_int, length: c_int) -> c_int {
    begin("dcmiv2_get_device_list", "-", |script| {
        list(&script.devices(), to, count, length);
    })
}

#[unsafe(no_mangle)]
extern "C" fn dcmi_get_device_id_in_card(card: c_int, chips: *mut c_int, mcu: *mut c_int, cpu: *mut c_int) -> c_int {
    begin("dcmi_get_device_id_in_card", &card.to_string(), |script| {
        let cards = script.cards();
        let of_card = cards.iter().find(|(id, _)| *id == card).map_or(0, |(_, chips)| *chips);
        At(chips.cast()).four(0, i64::from(of_card));
        At(mcu.cast()).four(0, i64::from(of_card));
        At(cpu.cast()).four(0, -1);
    })
}

#[unsafe(no_mangle)]
extern "C" fn dcmi_get_device_logic_id(to: *mut c_int, card: c_int, chip: c_int) -> c_int {
    begin("dcmi_get_device_logic_id", &format!("{card}/{chip}"), |script| {
        let before: c_int = script
            .cards()
            .iter()
            .take_while(|(id, _)| *id != card)
            .map(|(_, chips)| *chips)
            .sum();
        At(to.cast()).four(0, i64::from(before + chip));
    })
}

#[unsafe(no_mangle)]
extern "C" fn dcmi_get_device_phyid_from_logicid(id: c_uint, to: *mut c_uint) -> c_int {
    begin("dcmi_get_device_phyid_from_logicid", &id.to_string(), |_| {
        At(to.cast()).four(0, i64::from(id) + 8);
    })
}

#[unsafe(no_mangle)]
extern "C" fn dcmiv2_get_chip_phy_id_by_dev_id(id: c_uint, to: *mut c_uint) -> c_int {
    begin("dcmiv2_get_chip_phy_id_by_dev_id", &id.to_string(), |_| {
        At(to.cast()).four(0, i64::from(id) + 8);
    })
}

fn processes(script: &Script, address: &str, to: *mut c_void, count: *mut c_int) {
    let processes = script.processes(address);
    for (index, (pid, bytes)) in processes.iter().enumerate() {
        At(to).four(index * 16, *pid);
        At(to).eight(index * 16 + 8, *bytes);
    }
    At(count.cast()).four(0, processes.len() as i64);
}

#[unsafe(no_mangle)]
extern "C" fn dcmi_get_device_resource_info(card: c_int, chip: c_int, to: *mut c_void, count: *mut c_int) -> c_int {
    let address = format!("{card}/{chip}");
    begin("dcmi_get_device_resource_info", &address, |script| {
        processes(script, &address, to, count);
    })
}

#[unsafe(no_mangle)]
extern "C" fn dcmiv2_get_device_proc_mem_info(id: c_int, to: *mut c_void, count: *mut c_int) -> c_int {
    let address = id.to_string();
    begin("dcmiv2_get_device_proc_mem_info", &address, |script| {
        processes(script, &address, to, count);
    })
}
