//! The running kernel.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use agent_ebpf::{ChannelKey, DEVICES, ErrorKey, HOOK_DRIVER, HOOK_SYSCALL, Ident, Offsets, Record, Slot, Watched};

use super::btf::Btf;
use super::budget::Machine;
use super::environment::Environment;
use super::event::Event;
use super::hierarchy;
use super::load::{Cast, LoadError, calibrated, own_pid, raise_memlock, take};
use super::object::ObjectError;
use super::offsets::{self, Feature};
use super::programs::{HookError, Programs};
use super::report::{Driver, Obstacle, Report};
use super::selector::{HookSelector, Sight};
use super::tables::Tables;
use super::watch::Watching;
use super::{Kernel, Watch, hailo};
use crate::HookKind;
use crate::{Device, Settings};
use accelscope_core::host::HostRoots;

/// Keys of one control group before its executables and commands are folded.
const QUOTA: u32 = 512;

/// What can be set.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The only kinds of hook that may be used (`ioctl.hooks`); the best that the kernel allows if absent.
    pub hooks: Option<Vec<HookKind>>,
    /// A file with the kernel's type information, where the kernel gives none (`ioctl.btf`).
    pub btf: Option<PathBuf>,
    /// A key for each process (`attribution.per_process`).
    pub per_process: bool,
}

/// The running kernel. Nothing is loaded or attached before there is a device to watch.
#[derive(Debug)]
pub struct Live {
    options: Options,
    roots: HostRoots,
    environment: Environment,
    loaded: Option<Loaded>,
    watched: Vec<(u32, Device)>,
    report: Report,
    /// Whether programs with typed pointers may be tried; tests say no.
    direct: bool,
}

#[derive(Debug)]
struct Loaded {
    selector: HookSelector<Programs>,
    tables: Tables,
    watching: Watching,
    cgroups: Option<OwnedFd>,
    /// Whether the offsets are known by which new control groups are told.
    made_told: bool,
    memory: u64,
}

impl Options {
    /// Of the sampler's settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            hooks: settings.hooks.clone(),
            btf: settings.btf.clone(),
            per_process: settings.per_process,
        }
    }
}

impl Live {
    /// Of the machine whose root directory is at `roots`.
    pub fn new(roots: HostRoots, options: Options) -> Self {
        Self {
            environment: Environment::read(&roots),
            options,
            roots,
            loaded: None,
            watched: Vec::new(),
            report: Report::default(),
            direct: true,
        }
    }

    fn types(&self) -> PathBuf {
        self.roots.sys().join("kernel/btf")
    }

    /// Loads programs and maps, once.
    fn load(&mut self) -> Result<Loaded, LoadError> {
        raise_memlock();
        let machine = Machine::here();
        let types = self.types();
        let (offsets, btf, own) = self.offsets(machine);
        let mut missing = offsets::missing(&offsets);
        if hierarchy::is_single(&self.roots.proc()) && offsets.cgroup_kn != u32::MAX && offsets.kn_id != u32::MAX {
            // The number of the unified one is 0, which is what a program tells that cannot see it.
            missing.retain(|(feature, _)| *feature != Feature::CgroupMade);
        }
        let lacks = |feature| missing.iter().any(|(missing, _)| *missing == feature);
        let v1 = hierarchy::find(&self.roots.proc(), btf.as_ref()).filter(|_| !lacks(Feature::CgroupV1));
        let made_told = !lacks(Feature::CgroupMade);
        // By numbers of the kernel's own types, which those of a file need not be.
        let cast = btf.as_ref().filter(|_| own).and_then(Cast::of);
        drop(btf);
        let mut settings = agent_ebpf::Settings {
            offsets,
            v1_subsystem: v1.as_ref().map_or(0, |v1| v1.subsystem),
            v1: v1.is_some().into(),
            per_process: self.options.per_process.into(),
            agent: own_pid(),
            quota: QUOTA,
            files_type: 0,
        };
        let (object, programs) = take(&mut settings, cast, machine, &types, self.direct)?;
        let sight = Sight {
            files: !lacks(Feature::Device),
            descriptors: !lacks(Feature::Descriptors),
        };
        let selector = HookSelector::new(programs, self.options.hooks.as_deref(), sight);
        let memory = object.memory;
        let tables = Tables::new(object.maps)?;
        self.report.v1 = v1;
        // Where nothing at all is known, that has been said.
        let any = offsets != Offsets::UNKNOWN;
        for (feature, field) in missing.iter().filter(|_| any) {
            let obstacle = Obstacle {
                hook: None,
                what: format!("it is not known where this kernel keeps {field}: {}", feature.loss()),
                remedy: "use a kernel with CONFIG_DEBUG_INFO_BTF=y, or name a file with its BTF in ioctl.btf"
                    .to_owned(),
            };
            self.report.obstacles.push(obstacle);
        }
        Ok(Loaded {
            selector,
            tables,
            watching: Watching::default(),
            cgroups: None,
            made_told,
            memory,
        })
    }

    /// From the kernel's own type information, else from the user's file, else by calibration, with which that file has to
    /// agree: the offsets of another kernel would lead to other processes than those that call.
    fn offsets(&mut self, machine: Machine) -> (Offsets, Option<Btf>, bool) {
        let failed = match Btf::read(&self.types().join("vmlinux")) {
            Ok(btf) => {
                self.report.offsets = Some("kernel BTF".to_owned());
                return (offsets::from_btf(&btf), Some(btf), true);
            }
            Err(error) => error,
        };
        let calibrated = calibrated(machine, &self.types());
        if let Some(path) = self.options.btf.clone() {
            match given(&path, calibrated.as_ref().ok()) {
                Ok((offsets, btf)) => {
                    self.report.offsets = Some(path.display().to_string());
                    return (offsets, Some(btf), false);
                }
                Err(why) => {
                    let obstacle = Obstacle {
                        hook: None,
                        what: format!("ioctl.btf is not used: {why}"),
                        remedy: format!(
                            "name a file with the BTF of Linux {}: the section .BTF of its vmlinux, or \
                             /sys/kernel/btf/vmlinux of a machine that runs it",
                            self.environment.release
                        ),
                    };
                    self.report.obstacles.push(obstacle);
                }
            }
        }
        match calibrated {
            Ok(offsets) => {
                self.report.offsets = Some("calibration".to_owned());
                (offsets, None, false)
            }
            Err(error) => {
                let untyped = Obstacle {
                    hook: None,
                    what: format!(
                        "this kernel does not describe its types ({failed}), and they could not be found out: {error}"
                    ),
                    remedy: self.why_not(&error).remedy,
                };
                self.report.obstacles.push(untyped);
                (Offsets::UNKNOWN, None, false)
            }
        }
    }

    /// Loads if need be. What keeps it from that stands in the report.
    fn loaded(&mut self) -> Option<&mut Loaded> {
        if self.loaded.is_none() {
            self.report = Report::default();
            match self.load() {
                Ok(loaded) => self.loaded = Some(loaded),
                Err(error) => {
                    let obstacle = self.why_not(&error);
                    self.report.obstacles.push(obstacle);
                }
            }
        }
        self.loaded.as_mut()
    }

    fn add(&mut self, obstacle: Obstacle) {
        if !self.report.obstacles.contains(&obstacle) {
            self.report.obstacles.push(obstacle);
        }
    }

    fn why_not(&self, error: &LoadError) -> Obstacle {
        let (why, remedy) = match error {
            LoadError::Object(ObjectError::Map { source, .. }) => match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => self.environment.refused(),
                Some(libc::ENOSYS) => (
                    "this kernel has no bpf(2)".to_owned(),
                    "use a kernel that has CONFIG_BPF_SYSCALL".to_owned(),
                ),
                Some(libc::ENOMEM) => (
                    "there is no memory for it".to_owned(),
                    "raise the memory limit of the agent's container by 8 MiB, or RLIMIT_MEMLOCK before Linux 5.11"
                        .to_owned(),
                ),
                _ => (
                    format!("Linux {} does not have such maps", self.environment.release),
                    "use Linux 5.8 or newer".to_owned(),
                ),
            },
            LoadError::Object(_) => (
                "this build cannot see calls".to_owned(),
                "use a complete build of the agent for x86_64 or arm64".to_owned(),
            ),
            LoadError::Peek(_) => (
                "nothing is known of this kernel".to_owned(),
                "name a file with this kernel's BTF in ioctl.btf".to_owned(),
            ),
            LoadError::Hook(error) => {
                let told = super::refusal::explain(HookKind::Tracepoint, error, &self.environment);
                (told.what, told.remedy)
            }
        };
        Obstacle {
            hook: None,
            what: format!("{error}: {why}"),
            remedy,
        }
    }
}

impl Loaded {
    /// Lets control groups that are made be told, or not. Without it, those that are there at a look are known.
    fn see_cgroups(&mut self, see: bool) -> Option<HookError> {
        if !see || !self.made_told {
            self.cgroups = None;
        } else if self.cgroups.is_none() {
            match self.selector.hooks().cgroups() {
                Ok(link) => self.cgroups = Some(link),
                Err(error) => return Some(error),
            }
        }
        None
    }
}

impl Kernel for Live {
    fn events(&mut self, visit: &mut dyn FnMut(Event<'_>)) {
        if let Some(loaded) = &mut self.loaded {
            loaded.tables.events(visit);
        }
    }

    fn ready(&self) -> Option<BorrowedFd<'_>> {
        Some(self.loaded.as_ref()?.tables.ready())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&Slot)) {
        if let Some(loaded) = &self.loaded {
            loaded.tables.slots(visit);
        }
    }

    fn release(&mut self, slot: &Slot) {
        if let Some(loaded) = &self.loaded {
            loaded.tables.release(slot);
        }
    }

    fn records(&mut self, visit: &mut dyn FnMut(u32, &Ident, &Record)) {
        if let Some(loaded) = &self.loaded {
            loaded.tables.records(visit);
        }
    }

    fn errors(&mut self, visit: &mut dyn FnMut(ErrorKey, u64)) {
        if let Some(loaded) = &self.loaded {
            loaded.tables.errors(visit);
        }
    }

    fn channels(&mut self, visit: &mut dyn FnMut(ChannelKey, u64)) {
        if let Some(loaded) = &self.loaded {
            loaded.tables.channels(visit);
        }
    }

    fn counters(&self) -> [u64; agent_ebpf::COUNTERS as usize] {
        self.loaded
            .as_ref()
            .map_or_else(Default::default, |loaded| loaded.tables.counters())
    }

    fn retire(&mut self, number: u32) {
        if let Some(loaded) = &mut self.loaded {
            loaded.tables.retire(number);
        }
    }

    fn settle(&mut self, freed: &mut dyn FnMut(u32)) {
        if let Some(loaded) = &mut self.loaded {
            loaded.tables.settle(freed);
        }
    }

    fn watch(&mut self, devices: &[Watch<'_>]) {
        let wanted: Vec<_> = devices
            .iter()
            .take(DEVICES as usize)
            .map(|watch| (watch.place, watch.device.clone()))
            .collect();
        if wanted.is_empty() && self.loaded.is_none() {
            self.watched.clear();
            self.report.drivers.clear();
            return;
        }
        if self
            .options
            .hooks
            .as_ref()
            .is_some_and(|hooks| hooks.iter().all(|hook| *hook == HookKind::Scan))
        {
            self.report.drivers = scanned(&wanted);
            return;
        }
        let former = std::mem::replace(&mut self.watched, wanted.clone());
        let environment = self.environment.clone();
        let Some(loaded) = self.loaded() else {
            self.report.drivers = scanned(&wanted);
            return;
        };
        let refused = loaded.see_cgroups(!wanted.is_empty());
        let every: Vec<_> = wanted.iter().map(|(_, device)| device).collect();
        let choices = loaded.selector.choose(&every, &environment);
        let mut table = Vec::new();
        for choice in &choices {
            let hook = match choice.driver.hook {
                HookKind::Fentry | HookKind::Kprobe => HOOK_DRIVER,
                HookKind::Tracepoint | HookKind::RawTracepoint => HOOK_SYSCALL,
                HookKind::Scan => continue,
            };
            for (place, device) in choice.devices.iter().filter_map(|index| wanted.get(*index)) {
                let hailo = hailo::number(device);
                for (key, command) in hailo::entries(hailo) {
                    loaded
                        .tables
                        .set_hailo(&super::bytes::hailo_key(key), &super::bytes::hailo_command(&command));
                }
                table.push(Watched {
                    number: device.kernel_number(),
                    device: *place,
                    arguments: if (device.family.wraps_commands)(&device.name) {
                        agent_ebpf::NVIDIA
                    } else {
                        hailo
                    },
                    hook,
                });
            }
        }
        let left_out = loaded.watching.apply(loaded.tables.watched(), &table);
        let gone = |place: u32| !table.iter().any(|watched| watched.device == place);
        if former.iter().any(|(place, _)| gone(*place)) {
            loaded.tables.abandon(&gone);
        }
        self.report.drivers = choices.into_iter().map(|choice| choice.driver).collect();
        if let Some(error) = refused {
            let mut obstacle = super::refusal::explain(HookKind::RawTracepoint, &error, &self.environment);
            obstacle.hook = None;
            obstacle.what = format!("{}: {}", obstacle.what, Feature::CgroupMade.loss());
            self.add(obstacle);
        }
        if devices.len() > DEVICES as usize || !left_out.is_empty() {
            let obstacle = Obstacle {
                hook: None,
                what: format!(
                    "{} devices are more than can be watched at a time",
                    left_out.len() + devices.len().saturating_sub(DEVICES as usize)
                ),
                remedy: format!("name fewer than {DEVICES} in ioctl.extra_devices"),
            };
            self.add(obstacle);
        }
    }

    fn report(&self) -> &Report {
        &self.report
    }

    fn memory(&self) -> u64 {
        self.loaded.as_ref().map_or(0, |loaded| loaded.memory)
    }
}

/// What the file of `ioctl.btf` tells, if it is of this kernel as far as looking at that has found; else why it is not.
fn given(path: &Path, found: Option<&Offsets>) -> Result<(Offsets, Btf), String> {
    let btf = Btf::read(path).map_err(|error| error.to_string())?;
    let told = offsets::from_btf(&btf);
    let at = path.display();
    if told == Offsets::UNKNOWN {
        return Err(format!("{at} describes none of the kernel's structures"));
    }
    match found.and_then(|found| offsets::contradicted(&told, found)) {
        None => Ok((told, btf)),
        Some((field, u32::MAX, _)) => Err(format!("{at} is of another kernel: it does not tell of {field}")),
        Some((field, told, found)) => Err(format!(
            "{at} is of another kernel: it tells of {field} at {told}, here it is at {found}"
        )),
    }
}

/// All devices without a hook.
fn scanned(devices: &[(u32, Device)]) -> Vec<Driver> {
    let mut drivers: Vec<Driver> = Vec::new();
    for (_, device) in devices {
        let name = device.module.as_deref().unwrap_or(device.family.name);
        match drivers.iter_mut().find(|driver| driver.name == name) {
            Some(driver) => driver.devices.push(device.name.clone()),
            None => drivers.push(Driver {
                name: name.to_owned(),
                devices: vec![device.name.clone()],
                hook: HookKind::Scan,
                symbol: None,
                obstacles: Vec::new(),
            }),
        }
    }
    drivers
}

#[cfg(test)]
#[path = "tests/live.rs"]
mod tests;
