//! Which channels of a chip are part of what another channel of it measures, by their labels.
//!
//! Sources, of Linux 6.18: Documentation/hwmon/{corsair-psu,pmbus,occ,ibmpowernv}.rst, drivers/hwmon/corsair-psu.c,
//! drivers/hwmon/pmbus/pmbus_core.c; of Linux 5.12: Documentation/hwmon/amd_energy.rst.

use super::sensor::Family;

/// What the channel measures where that is other than what the chip's name says: POWER's firmware has one channel of the whole
/// machine.
pub(super) fn kind(chip: &str, family: Family, label: &str) -> Option<&'static str> {
    let is_sum = matches!(family, Family::Power | Family::Energy) && is_system(chip, label);
    is_sum.then_some("enclosure")
}

/// Whether the channel is that of one core of AMD's processors. `Esocket0` has the energy of all cores of a socket.
pub(super) fn is_amd_core(chip: &str, label: &str) -> bool {
    chip == "amd_energy" && !is_amd_socket(label)
}

pub(super) fn is_amd_socket(label: &str) -> bool {
    label.starts_with("Esocket")
}

/// For each of a chip's channels of one family those that it is part of, the smallest first.
pub(super) fn around(chip: &str, labels: &[&str]) -> Vec<Vec<usize>> {
    let of = |inner: &str| {
        let outer = labels.iter().enumerate();
        let outer = outer.filter(|(_, outer)| contains(chip, labels, outer, inner));
        outer.map(|(nth, _)| nth).collect()
    };
    let mut around: Vec<Vec<usize>> = labels.iter().map(|label| of(label)).collect();
    // One that is part of more is smaller.
    let depths: Vec<usize> = around.iter().map(Vec::len).collect();
    for outer in &mut around {
        outer.sort_by_key(|nth| std::cmp::Reverse(depths[*nth]));
    }
    around
}

fn contains(chip: &str, labels: &[&str], outer: &str, inner: &str) -> bool {
    match chip {
        "amd_energy" => is_amd_socket(outer) && is_amd_core(chip, inner),
        "corsairpsu" => outer == "power total" && inner != outer,
        "ibmpowernv" => is_system(chip, outer) && !is_system(chip, inner),
        "occ" => occ_contains(outer, inner),
        _ => pmbus_contains(labels, outer, inner),
    }
}

fn is_system(chip: &str, label: &str) -> bool {
    match chip {
        "ibmpowernv" => label == "System",
        "occ" => label == "system" || label.ends_with("_system"),
        _ => false,
    }
}

/// `system` is what the machine's supplies give; `0_system`, `0_proc`, `0_vdd` and `0_vdn` are of one sensor of newer firmware.
fn occ_contains(outer: &str, inner: &str) -> bool {
    if outer == "system" {
        return inner != outer;
    }
    if is_system("occ", outer) {
        return !is_system("occ", inner);
    }
    match (outer.rsplit_once('_'), inner.rsplit_once('_')) {
        (Some((number, "proc")), Some((other, "vdd" | "vdn"))) => number == other,
        _ => false,
    }
}

/// A label of PMBus: `pin`, `pin1`, `pout2`, `pout1.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rail {
    is_input: bool,
    page: Option<u32>,
    phase: Option<u32>,
}

impl Rail {
    fn parse(label: &str) -> Option<Self> {
        let input = label.strip_prefix("pin");
        let rest = input.or_else(|| label.strip_prefix("pout"))?;
        let (page, phase) = rest.split_once('.').unwrap_or((rest, ""));
        let number = |text: &str| match text {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        Some(Self {
            is_input: input.is_some(),
            page: number(page)?,
            phase: number(phase)?,
        })
    }
}

/// What goes in contains what comes out: of the same page, or of all where there is one input. Phases are part of their page.
fn pmbus_contains(labels: &[&str], outer: &str, inner: &str) -> bool {
    let (Some(outer), Some(inner)) = (Rail::parse(outer), Rail::parse(inner)) else {
        return false;
    };
    if outer.phase.is_some() {
        return false;
    }
    if outer.is_input == inner.is_input {
        return inner.phase.is_some() && outer.page == inner.page;
    }
    let all = labels.iter().filter_map(|label| Rail::parse(label));
    let inputs = all.filter(|rail| rail.is_input && rail.phase.is_none()).count();
    outer.is_input && (inputs == 1 || outer.page.is_some() && outer.page == inner.page)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The labels of the channels that each is part of.
    fn parents<'a>(chip: &str, labels: &[&'a str]) -> Vec<Vec<&'a str>> {
        let around = around(chip, labels);
        let names = |outer: &Vec<usize>| outer.iter().map(|nth| labels[*nth]).collect();
        around.iter().map(names).collect()
    }

    #[test]
    fn an_input_contains_what_comes_out_of_it() {
        let none: [&str; 0] = [];
        assert_eq!(
            parents("dps920ab", &["pin", "pout1", "pout2"]),
            [&none[..], &["pin"], &["pin"]]
        );
        assert_eq!(
            parents("max20751", &["pin1", "pin2", "pout1", "pout2", "pout3"]),
            [&none[..], &none, &["pin1"], &["pin2"], &none]
        );
        assert_eq!(
            parents("xdpe12284", &["pin1", "pout1", "pout1.2", "pin1.2"]),
            [&none[..], &["pin1"], &["pout1", "pin1"], &["pin1"]]
        );
        assert_eq!(
            parents("ina226", &["pinch", "poutine", "p", ""]),
            [&none[..], &none, &none, &none]
        );
    }

    #[test]
    fn the_machine_contains_its_parts_and_a_processor_its_rails() {
        let none: [&str; 0] = [];
        assert_eq!(
            parents("occ", &["0_system", "0_proc", "0_vdd", "1_vdn", "system"]),
            [
                &["system"][..],
                &["0_system", "system"],
                &["0_proc", "0_system", "system"],
                &["0_system", "system"],
                &none
            ]
        );
        assert_eq!(parents("ibmpowernv", &["Chip 0", "System"]), [&["System"][..], &none]);
        assert_eq!(parents("board", &["Chip 0", "System"]), [none, none]);
    }

    #[test]
    fn the_total_of_a_supply_contains_its_rails() {
        let none: [&str; 0] = [];
        assert_eq!(
            parents("corsairpsu", &["power +12v", "power total"]),
            [&["power total"][..], &none]
        );
    }
}
