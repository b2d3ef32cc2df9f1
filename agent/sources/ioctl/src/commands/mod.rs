//! Names of ioctl commands, and which of them wait by design.

mod drm_core;
mod drm_drivers;
pub mod hailo;
mod nvidia;
mod small;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use self::table::Table;
use super::family::Family;

/// What a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name without the vendor's prefix, or its number (`0x40206700`) where it has none here.
    pub name: Cow<'static, str>,
    /// Whether it waits by design, so that a long call of it is no hung one.
    pub wait: bool,
}

/// Commands by those bits of their number that the driver looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// Which bits count.
    pub mask: u32,
    /// Their value.
    pub value: u32,
}

impl Pattern {
    /// Whether `command` is one of them.
    pub const fn matches(self, command: u32) -> bool {
        command & self.mask == self.value
    }
}

/// What `command` is to the device. `abi` is [`Device::abi`](super::Device::abi), `name` its name.
pub fn describe(family: Family, abi: Option<&str>, name: &str, command: u32) -> Command {
    if family == Family::Hailo {
        return hailo::describe(abi, command);
    }
    let mut tables = tables(family, abi, name);
    tables
        .find_map(|table| table.find(command))
        .unwrap_or_else(|| number(command))
}

/// The commands of a device that wait by design.
pub fn waiting(family: Family, abi: Option<&str>, name: &str) -> Vec<Pattern> {
    if family == Family::Hailo {
        return hailo::waiting(abi);
    }
    tables(family, abi, name).flat_map(Table::waiting).collect()
}

/// Most tables that a device's commands stand in.
type Tables = [Option<Table>; 2];

fn tables(family: Family, abi: Option<&str>, name: &str) -> impl Iterator<Item = Table> {
    let tables: Tables = match family {
        Family::Nvidia => [Some(nvidia(name)), None],
        Family::AmdKfd => [Some(small::KFD), None],
        Family::Drm | Family::Accel => drm(abi),
        // `hl0` and `hl_controlD0` are those of before the accel subsystem.
        Family::Habana if name.starts_with("hl") => [Some(small::HABANA), None],
        Family::Habana => drm(abi.or(Some("habanalabs"))),
        Family::Tenstorrent => [Some(small::TENSTORRENT), None],
        Family::Tpu if name.starts_with("apex") => [Some(small::GASKET), None],
        Family::Ascend if name.starts_with("davinci") => [Some(small::ASCEND_MANAGER), None],
        // Their commands are not published, or are told apart by nothing that a tracer sees.
        Family::Hailo | Family::Ascend | Family::Furiosa | Family::Rebellions | Family::Tpu | Family::Other => {
            [None, None]
        }
    };
    tables.into_iter().flatten()
}

/// Whether a device takes the commands of NVIDIA's control node, one of which holds another in its argument.
pub fn is_nvidia_control(family: Family, name: &str) -> bool {
    family == Family::Nvidia && !matches!(name, "nvidia-uvm" | "nvidia-uvm-tools" | "nvidia-modeset")
}

fn nvidia(name: &str) -> Table {
    match name {
        "nvidia-uvm" | "nvidia-uvm-tools" => nvidia::UVM,
        "nvidia-modeset" => nvidia::MODESET,
        _ => nvidia::CONTROL,
    }
}

/// The driver's own commands begin at 0x40, so that the two tables do not overlap.
fn drm(driver: Option<&str>) -> Tables {
    let table = |entries| Table {
        // DRM takes a command by its number and lets the size of its struct grow.
        mask: 0xffff,
        base: u32::from(b'd') << 8,
        entries,
    };
    let known = drm_drivers::DRIVERS
        .iter()
        .find(|(names, _)| driver.is_some_and(|driver| names.contains(&driver)));
    [Some(table(drm_core::CORE)), known.map(|(_, entries)| table(*entries))]
}

/// A command that has no name here.
fn number(command: u32) -> Command {
    Command {
        name: format!("{command:#010x}").into(),
        wait: false,
    }
}
