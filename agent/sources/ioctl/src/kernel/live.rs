//! The running kernel.

use std::os::fd::OwnedFd;

use agent_ebpf::cast::Current;
use agent_ebpf::{DEVICES, HOOK_DRIVER, HOOK_SYSCALL, Offsets, Watched};

use super::budget::Machine;
use super::cast_ids;
use super::drivers;
use super::environment::Environment;
use super::hierarchy;
use super::hooks::HookError;
use super::interface::{Counts, Losses};
use super::load::{LoadError, load, own_pid, raise_memlock};
use super::maps::Maps;
use super::offsets::{self, Feature};
use super::programs::Programs;
use super::refusal;
use super::report::{Driver, Report, driver_name};
use super::selector::{HookSelector, Resolvable, Selection};
use super::types::Types;
use super::watch_table::WatchTable;
use crate::sampler::NAME;
use crate::{Configuration, Device, HookKind, Hooks};
use accelscope_core::host::HostRoots;
use accelscope_core::sampler::Finding;
use accelscope_core::source::Context;
use accelscope_memory::heap;

/// Keys of one control group before its executables and commands are folded.
const QUOTA: u32 = 512;

/// The running kernel. Nothing is loaded or attached before there is a device to watch.
pub(crate) struct LiveKernel {
    configuration: Configuration,
    roots: HostRoots,
    per_process: bool,
    environment: Environment,
    loaded: Option<Loaded>,
    watched: Vec<(u32, Device)>,
    report: Report,
    /// Whether programs with typed pointers may be used; false in tests.
    direct: bool,
    /// Calls in flight whose hooks were detached since the last look at the losses, and the owners of those since the last
    /// look at them.
    unhooked: u64,
    abandoned: Vec<u64>,
}

struct Loaded {
    selector: HookSelector<Programs>,
    maps: Maps,
    watch_table: WatchTable,
    /// Keeps the programs attached that report new and renamed control groups. Without them, only those are known that exist
    /// at a look.
    cgroups: Option<[OwnedFd; 2]>,
    /// Keeps the program attached that ends interrupted calls. Without it, those that end with `EINTR` are not counted.
    signals: Option<OwnedFd>,
    /// Whether the offsets are known that this program needs.
    can_report_cgroups: bool,
    memory: u64,
}

impl LiveKernel {
    /// The kernel of the host.
    pub(crate) fn new(configuration: &Configuration, context: &Context) -> Self {
        Self {
            environment: Environment::read(&context.roots),
            configuration: configuration.clone(),
            roots: context.roots.clone(),
            per_process: context.per_process,
            loaded: None,
            watched: Vec::new(),
            report: Report::default(),
            direct: true,
            unhooked: 0,
            abandoned: Vec::new(),
        }
    }

    fn load(&mut self) -> Result<Loaded, LoadError> {
        self.environment.memlock = raise_memlock();
        heap::return_large_blocks();
        let machine = Machine::here();
        let directory = self.roots.sys().join("kernel/btf");
        let types = Types::find(
            &directory,
            self.configuration.btf.as_deref(),
            machine,
            &self.environment,
        );
        self.report.offsets = types.source;
        self.report.obstacles.extend(types.obstacles);
        let mut offsets = types.offsets;
        let types_known = offsets != Offsets::UNKNOWN;
        if offsets.task_compat == u32::MAX {
            offsets.task_compat = offsets::task_compat(self.environment.version());
        }
        let proc = self.roots.proc();
        let mut missing = offsets::missing(&offsets);
        if hierarchy::is_single(&proc) && offsets.cgroup_kn != u32::MAX && offsets.kn_id != u32::MAX {
            // Programs that cannot read the hierarchy's id report 0, which is that of the unified hierarchy.
            missing.retain(|(feature, _)| *feature != Feature::CgroupMade);
        }
        let lacks = |feature| missing.iter().any(|(missing, _)| *missing == feature);
        let v1 = if lacks(Feature::CgroupV1) {
            0
        } else {
            hierarchy::find(&proc, types.btf.as_ref())
        };
        let can_report_cgroups = !lacks(Feature::CgroupMade);
        // Needs ids of the running kernel, which those in a file need not be.
        let cast = types.btf.as_ref().filter(|_| types.own).and_then(cast_ids::find);
        drop(types.btf);
        let mut settings = agent_ebpf::Settings {
            offsets,
            v1_subsystem: v1,
            v1: (v1 != 0).into(),
            per_process: self.per_process.into(),
            agent: own_pid(),
            quota: QUOTA,
            shares: 0,
            files_type: 0,
            verify: self.environment.verifies().into(),
            current: Current::UNKNOWN,
        };
        let (object, programs) = load(&mut settings, cast, machine, &directory, self.direct)?;
        let resolvable = Resolvable {
            files: !lacks(Feature::Device),
            descriptors: !lacks(Feature::Descriptors),
        };
        let selector = HookSelector::new(programs, self.allowed(), resolvable);
        let memory = object.memory;
        let maps = Maps::new(object.maps)?;
        // If no offset is known at all, an obstacle is reported already.
        for (feature, field) in missing.iter().filter(|_| types_known) {
            let what = format!("it is not known where this kernel keeps {field}: {}", feature.loss());
            self.report
                .obstacles
                .push(Finding::warn(NAME, what).with_remedy(
                    "use a kernel with CONFIG_DEBUG_INFO_BTF=y, or name a file with its BTF in ioctl.btf",
                ));
        }
        Ok(Loaded {
            selector,
            maps,
            watch_table: WatchTable::default(),
            cgroups: None,
            signals: None,
            can_report_cgroups,
            memory,
        })
    }

    /// The kinds of hooks to try on this kernel, the best first.
    fn allowed(&self) -> Vec<HookKind> {
        kinds(&self.configuration.hooks, &self.environment)
    }

    /// Loads programs and maps unless they are loaded. Errors are reported.
    fn loaded(&mut self) -> Option<&mut Loaded> {
        if self.loaded.is_none() {
            self.report = Report::default();
            match self.load() {
                Ok(loaded) => self.loaded = Some(loaded),
                Err(error) => {
                    let obstacle = refusal::explain_load(&error, &self.environment);
                    self.report.obstacles.push(obstacle);
                }
            }
        }
        self.loaded.as_mut()
    }

    fn add(&mut self, obstacle: Finding) {
        if !self.report.obstacles.contains(&obstacle) {
            self.report.obstacles.push(obstacle);
        }
    }
}

impl Loaded {
    /// Attaches or detaches the programs that no device needs for itself. Returns what the kernel refused, each with what is
    /// lost without it.
    fn attach_common(&mut self, wanted: bool) -> Vec<(HookError, &'static str)> {
        let hooks = self.selector.hooks();
        let cgroups = keep(&mut self.cgroups, wanted && self.can_report_cgroups, || hooks.cgroups());
        let signals = keep(&mut self.signals, wanted, || hooks.signals());
        let cgroups = cgroups.map(|error| (error, Feature::CgroupMade.loss()));
        let signals = signals.map(|error| (error, "calls that a signal ends with EINTR are not counted"));
        cgroups.into_iter().chain(signals).collect()
    }

    /// Watched devices with a hook, as the programs look them up; describes their arguments to the programs.
    fn entries(&mut self, selections: &[Selection<'_>], wanted: &[(u32, Device)]) -> Vec<Watched> {
        let mut entries = Vec::new();
        for selection in selections {
            let hook = match selection.driver.hook {
                HookKind::Fentry | HookKind::Kprobe => HOOK_DRIVER,
                HookKind::Tracepoint | HookKind::RawTracepoint => HOOK_SYSCALL,
                HookKind::Scan => continue,
            };
            for (place, device) in selection.devices.iter().filter_map(|index| wanted.get(*index)) {
                let arguments = drivers::arguments(device);
                self.maps.add_layouts(arguments);
                entries.push(Watched {
                    number: device.kernel_number(),
                    device: *place,
                    arguments,
                    hook,
                });
            }
        }
        entries
    }
}

impl LiveKernel {
    /// What the programs count; nothing while none is loaded.
    pub(crate) fn counts(&mut self) -> Option<&mut dyn Counts> {
        Some(&mut self.loaded.as_mut()?.maps)
    }

    /// Watches these devices and no others: attaches and detaches hooks as their drivers need. Detects modules that were
    /// loaded or unloaded. The number of a device in keys, slots and events is not used for another one as long as a record
    /// refers to it.
    pub(crate) fn watch(&mut self, devices: &[(u32, &Device)]) {
        let mut wanted: Vec<_> = devices
            .iter()
            .map(|(place, device)| (*place, (*device).clone()))
            .collect();
        // Where there are too many, nodes without a function of their own come last: those of single capabilities.
        wanted.sort_by_key(|(_, device)| !device.extra && device.hooks().is_empty());
        let mut beyond = wanted.split_off(wanted.len().min(DEVICES as usize));
        if wanted.is_empty() && self.loaded.is_none() {
            self.watched.clear();
            self.report.drivers.clear();
            return;
        }
        if self.configuration.hooks == Hooks::Only(vec![HookKind::Scan]) {
            wanted.append(&mut beyond);
            self.report.drivers = unhooked(&wanted);
            return;
        }
        let former = std::mem::replace(&mut self.watched, wanted.clone());
        let environment = self.environment.clone();
        let Some(loaded) = self.loaded() else {
            wanted.append(&mut beyond);
            self.report.drivers = unhooked(&wanted);
            return;
        };
        let refused = loaded.attach_common(!wanted.is_empty());
        let every: Vec<_> = wanted.iter().map(|(_, device)| device).collect();
        let selections = loaded.selector.select(&every, &environment);
        let entries = loaded.entries(&selections, &wanted);
        let left_out = loaded.watch_table.apply(loaded.maps.watched(), &entries);
        let gone = |place: u32| !entries.iter().any(|watched| watched.device == place);
        if former.iter().any(|(place, _)| gone(*place)) {
            let abandoned = loaded.maps.abandon(&gone);
            self.unhooked += abandoned.len() as u64;
            self.abandoned.extend(abandoned);
        }
        self.report.drivers = selections.into_iter().map(|selection| selection.driver).collect();
        for driver in &mut self.report.drivers {
            let has_room = |name: &String| {
                let mut known = wanted.iter().filter(|(_, device)| device.name == *name);
                known.all(|(_, device)| !left_out.contains(&device.kernel_number()))
            };
            driver.devices.retain(has_room);
        }
        for (error, loss) in refused {
            self.add(refusal::explain_common(&error, loss, &self.environment));
        }
        let no_room = |(_, device): &&(u32, Device)| left_out.contains(&device.kernel_number());
        beyond.extend(wanted.iter().filter(no_room).cloned());
        self.report.drivers.extend(too_many(&beyond, devices.len()));
        // Much is read to load and attach programs, and little of it is kept.
        heap::trim();
    }

    /// Calls since the last time that are not counted, or whose end is not known, because of how programs are run:
    /// reasons and numbers.
    pub(crate) fn take_losses(&mut self) -> Losses {
        let Some(loaded) = &mut self.loaded else {
            return Losses::new();
        };
        vec![
            ("skipped", loaded.selector.hooks().take_skipped()),
            ("unhooked", std::mem::take(&mut self.unhooked)),
        ]
    }

    /// Process id (upper half) and thread id of the calls since the last time that were in flight when their hooks were
    /// detached.
    pub(crate) fn take_abandoned(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.abandoned)
    }

    /// The hooks in use for each driver, and what the kernel refused.
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    /// Kernel memory of all maps in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.loaded.as_ref().map_or(0, |loaded| loaded.memory)
    }
}

/// The kinds of hooks to try on a kernel, the best first.
fn kinds(hooks: &Hooks, environment: &Environment) -> Vec<HookKind> {
    let is_auto = *hooks == Hooks::Auto;
    let mut allowed = hooks.allowed();
    // The capabilities of the DaemonSet and of the systemd unit attach nothing else there, and no call would be counted.
    if is_auto && environment.refused_for_paranoia().is_some() {
        allowed.push(HookKind::RawTracepoint);
        allowed.sort_unstable();
    }
    environment.preemption.order(&allowed, !is_auto, environment)
}

/// Attaches programs unless they are attached, or detaches them.
fn keep<T>(attached: &mut Option<T>, wanted: bool, attach: impl FnOnce() -> Result<T, HookError>) -> Option<HookError> {
    if !wanted {
        *attached = None;
    } else if attached.is_none() {
        match attach() {
            Ok(links) => *attached = Some(links),
            Err(error) => return Some(error),
        }
    }
    None
}

/// Reports devices for which the programs have no room, of so many in all.
fn too_many(devices: &[(u32, Device)], all: usize) -> Vec<Driver> {
    let mut drivers = unhooked(devices);
    let what = format!(
        "{} of {all} devices are more than the {DEVICES} of which calls can be counted",
        devices.len()
    );
    let obstacle = Finding::warn(NAME, what).with_remedy(
        "leave nodes that no accelerator's work goes through out of ioctl.extra_devices, and remove those of devices that are \
         gone and of capabilities that nothing uses, such as those of MIG instances",
    );
    for driver in &mut drivers {
        driver.obstacles.push(obstacle.clone());
    }
    drivers
}

/// Reports all devices as without a hook.
fn unhooked(devices: &[(u32, Device)]) -> Vec<Driver> {
    let mut drivers: Vec<Driver> = Vec::new();
    for (_, device) in devices {
        let name = driver_name(device);
        match drivers.iter_mut().find(|driver| driver.name == name) {
            Some(driver) => driver.devices.push(device.name.clone()),
            None => drivers.push(Driver::unhooked(device)),
        }
    }
    drivers
}

#[cfg(test)]
#[path = "tests/live.rs"]
mod tests;
