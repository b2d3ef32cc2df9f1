//! One scan for device nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags};

use super::configuration::ExtraDevice;
use super::device::Device;
use super::families::{self, Families, Family, Signs};
use super::proc_devices::Majors;
use super::sampler::NAME;
use accelscope_core::device::Abi;
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::sampler::Finding;

/// Most names of one folder that are read.
const MAX_NAMES: usize = 8192;
/// Most devices that are watched. Only nodes of single capabilities, one for each MIG instance, could be more.
const MAX_DEVICES: usize = 1024;

/// Where and what to scan for.
#[derive(Debug)]
pub(super) struct Scanner {
    pub(super) roots: HostRoots,
    pub(super) extra: Vec<ExtraDevice>,
    pub(super) families: Families,
    /// Parts of the `hw.id` of devices without a serial number.
    pub(super) machine_id: String,
    pub(super) node_name: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) devices: BTreeMap<u64, Device>,
    /// Devices that are not watched as configured.
    pub(super) warnings: Vec<Finding>,
}

/// A device node of which it is not known yet whether it is an accelerator's.
#[derive(Debug, Default)]
struct Candidate {
    class: Option<&'static str>,
    /// Its name in its class.
    class_name: Option<String>,
    /// Its class directory.
    directory: Option<PathBuf>,
    /// Its path below `/dev`.
    node: Option<String>,
}

impl Scanner {
    /// Reads `/dev`, `/proc/devices` and sysfs. What cannot be read counts as absent: others of the sources may suffice.
    pub(super) fn scan(&self) -> Found {
        let mut found = Found::default();
        let majors = Majors::read(&self.roots)
            .inspect_err(|error| tracing::debug!(%error, "cannot read /proc/devices: device nodes are known by name"))
            .ok();
        let mut candidates = self.classes();
        self.nodes(&mut candidates);
        for (number, candidate) in candidates {
            let Some(device) = self.device(number, candidate, majors.as_ref()) else {
                continue;
            };
            if found.devices.len() >= MAX_DEVICES {
                let what = format!("there are more than {MAX_DEVICES} device nodes, and the rest is not watched");
                let warning = Finding::warn(NAME, what).with_remedy("remove nodes of devices that are gone");
                found.warnings.push(warning);
                break;
            }
            found.devices.insert(number, device);
        }
        for extra in &self.extra {
            self.add_extra(extra, majors.as_ref(), &mut found);
        }
        found
    }

    /// Devices of the classes in the table.
    fn classes(&self) -> BTreeMap<u64, Candidate> {
        let mut candidates = BTreeMap::<u64, Candidate>::new();
        for class in self.families.classes() {
            let Ok(entries) = std::fs::read_dir(self.roots.sys().join("class").join(class)) else {
                continue;
            };
            for entry in entries.take(MAX_NAMES).flatten() {
                // A display's connectors have no number.
                let Some(number) = sysfs::number(&entry.path()) else {
                    continue;
                };
                let candidate = candidates.entry(number).or_default();
                candidate.class = Some(class);
                // sysfs cannot have a slash in a name.
                candidate.class_name = Some(entry.file_name().to_string_lossy().replace('!', "/"));
                candidate.directory = Some(entry.path());
            }
        }
        candidates
    }

    /// Character devices in the folders of the table, without symbolic links.
    fn nodes(&self, candidates: &mut BTreeMap<u64, Candidate>) {
        for folder in self.families.folders() {
            let path = self.roots.dev().join(folder);
            let Ok(entries) = std::fs::read_dir(&path) else {
                continue;
            };
            for entry in entries.take(MAX_NAMES).flatten() {
                let Some(number) = char_device(&entry.path()) else {
                    continue;
                };
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let node = if folder.is_empty() {
                    name
                } else {
                    format!("{folder}/{name}")
                };
                let known = |node: &str| self.families.has_node(node);
                let before = &mut candidates.entry(number).or_default().node;
                // Of several nodes of one device that with the driver's own name, else the first.
                let better = before
                    .as_ref()
                    .is_none_or(|before| (!known(&node), &node) < (!known(before), before));
                if better {
                    *before = Some(node);
                }
            }
        }
    }

    fn device(&self, number: u64, candidate: Candidate, majors: Option<&Majors>) -> Option<Device> {
        let mut signs = Signs {
            class: candidate.class,
            drivers: majors.map(|majors| majors.drivers(rustix::fs::major(number))),
            node: candidate.node.as_deref(),
            vendor: None,
            driver: None,
        };
        if !self.families.may_include(&signs) {
            return None;
        }
        let directory = candidate.directory.or_else(|| sysfs::directory(&self.roots, number));
        let driver = directory
            .as_ref()
            .and_then(|path| sysfs::link(&path.join("device/driver")));
        let vendor = self.vendor(directory.as_deref(), candidate.node.as_deref());
        signs.vendor = vendor.as_deref();
        signs.driver = driver.as_deref();
        let family = self.families.family(&signs)?;
        let name = candidate.class_name.or_else(|| candidate.node.as_deref().map(short))?;
        let is_display = *family == families::DRM && name.starts_with("card");
        if is_display && directory.as_ref().is_some_and(|path| !sysfs::renders(path)) {
            return None;
        }
        let node = candidate.node.map(|node| Path::new("/dev").join(node));
        Some(self.describe(number, name, family, driver, directory.as_deref(), node))
    }

    fn vendor(&self, directory: Option<&Path>, node: Option<&str>) -> Option<String> {
        if let Some(group) = node.and_then(|node| node.strip_prefix("vfio/")) {
            return sysfs::iommu_vendor(&self.roots, group);
        }
        sysfs::text(&directory?.join("device/vendor"))
    }

    fn describe(
        &self,
        number: u64,
        name: String,
        family: Family,
        driver: Option<String>,
        directory: Option<&Path>,
        node: Option<PathBuf>,
    ) -> Device {
        let address = directory.and_then(|path| match family.identity {
            Some(identity) => (identity.address)(path),
            None => sysfs::pci_address(path),
        });
        let hooks = family.hooks(driver.as_deref(), &name);
        let candidates: BTreeSet<&str> = hooks.iter().map(|hook| hook.module).collect();
        let module = sysfs::module(&self.roots, directory, address.as_deref(), candidates);
        let driver_version = module
            .as_ref()
            .and_then(|module| sysfs::module_version(&self.roots, module));
        Device {
            number,
            hw_id: address
                .as_deref()
                .zip(family.identity)
                .map(|(address, identity)| (identity.hw_id)(address, &self.machine_id, &self.node_name)),
            name,
            family,
            module,
            abi: match family.abi {
                Abi::DriverVersion(_) => driver_version.clone(),
                Abi::DriverName => driver,
                Abi::Fixed => None,
            },
            driver_version,
            address,
            node,
            extra: false,
        }
    }

    fn add_extra(&self, extra: &ExtraDevice, majors: Option<&Majors>, found: &mut Found) {
        let number = match self.roots.char_device(&extra.path) {
            Ok(number) => number,
            Err(error) => {
                let remedy = match error.kind() {
                    ErrorKind::NotFound => "load its driver; it is watched from when it appears",
                    ErrorKind::InvalidInput => "name the node of a character device, such as /dev/accel/accel0",
                    _ => "run the agent as a user who may stat it",
                };
                let what = format!("ioctl.extra_devices: {}: {error}", extra.path.display());
                found.warnings.push(Finding::warn(NAME, what).with_remedy(remedy));
                return;
            }
        };
        let below = extra.path.strip_prefix("/dev").unwrap_or(&extra.path);
        let candidate = Candidate {
            node: Some(below.to_string_lossy().trim_start_matches('/').to_owned()),
            ..Candidate::default()
        };
        let known = found
            .devices
            .remove(&number)
            .or_else(|| self.device(number, candidate, majors));
        let native = known.as_ref().map(|device| device.family);
        let configured = extra.family.as_deref().and_then(|name| self.families.named(name));
        let family = configured.or(native).unwrap_or(&families::OTHER);
        let below = below.to_string_lossy();
        let mut name = short(&below);
        // Two devices of one name would be one series.
        if found.devices.values().any(|other| other.name == name) {
            below.trim_start_matches('/').clone_into(&mut name);
        }
        // The family is the configured one, the rest is as found.
        let mut device =
            known.unwrap_or_else(|| self.describe(number, name, family, None, None, Some(extra.path.clone())));
        device.family = family;
        device.extra = native != Some(family);
        if extra.abi.is_some() {
            device.abi.clone_from(&extra.abi);
        }
        found.devices.insert(number, device);
    }
}

/// The name of a node, with its folder where the last part is not unique.
fn short(node: &str) -> String {
    let last = node.rsplit('/').next().unwrap_or(node);
    let ambiguous = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("channel");
    let name = if ambiguous { node } else { last };
    name.trim_start_matches('/').to_owned()
}

/// The device number of a node, which is not opened.
fn char_device(path: &Path) -> Option<u64> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(CWD, path, flags, StatxFlags::TYPE).ok()?;
    let is_device = FileType::from_raw_mode(found.stx_mode.into()) == FileType::CharacterDevice;
    is_device.then(|| rustix::fs::makedev(found.stx_rdev_major, found.stx_rdev_minor))
}
