//! The sampler: finds the devices, has their calls counted, and turns the counts into points.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use agent_ebpf::Ident;
use rustix::event::{PollFd, PollFlags};

use super::attribute_cache::AttributeCache;
use super::configuration::Configuration;
use super::device_owners::DeviceOwners;
use super::device_table::DeviceTable;
use super::devices::Devices;
use super::drain::{self, Drain, OwnerState};
use super::earlier_calls::{Counted, EarlierCalls};
use super::holders::{Discovery, Holders};
use super::host_threads::HostThreads;
use super::kernel::{Event, HookKind, LiveKernel};
use super::self_metrics::SelfMetrics;
use super::{explain, holder_points, kernel, points};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::cgroups::CgroupId;
use accelscope_core::host::poll;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Batch, Moment, Part};
use accelscope_core::sampler::{Descriptor, Finding, Outcome};
use accelscope_core::source::Context;

pub(super) const NAME: &str = "ioctl";

/// Time between two batches while nothing changes, and between two drains while no call is made: so many periods, and no
/// more than this where the period is no longer itself.
const IDLE_PERIODS: u32 = 5;
const IDLE_PERIOD: Duration = Duration::from_secs(5);
/// Time from the last change until drains follow at the idle period.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// Shortest time between two readings of events: the first event is read at once, those that follow together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Longest run: in the first one the kernel verifies the programs, which takes seconds on a small board.
const DEADLINE: Duration = Duration::from_secs(20);
/// Time between two checks for drivers that were loaded or unloaded while their devices stayed the same.
const CHECK_DRIVERS: Duration = Duration::from_secs(30);
/// How long a single reading (`--once`) counts calls before it emits anything.
const WINDOW: Duration = Duration::from_secs(2);
/// Pause where descriptors cannot be polled.
const RETRY: Duration = Duration::from_millis(20);

/// The sampler `ioctl`.
pub struct Sampler {
    configuration: Configuration,
    context: Context,
    processes: Processes,
    threads: HostThreads,
    /// None before there is a device to watch.
    kernel: Option<LiveKernel>,
    devices: Devices,
    table: DeviceTable,
    drain: Drain,
    attributes: AttributeCache,
    holders: Holders,
    earlier: EarlierCalls,
    /// The devices whose calls are counted, by number, with their indices; where they may be others since the last look.
    newly_counted: Option<BTreeMap<u64, Counted>>,
    /// Control groups of callers, each with its groups in the several hierarchies, in which holders are still to be looked
    /// for.
    callers_groups: BTreeSet<Vec<CgroupId>>,
    owners: DeviceOwners,
    metrics: SelfMetrics,
    /// How long the first run counts calls before it emits anything.
    window: Option<Duration>,
    drivers_checked: Option<Instant>,
    drained: Option<Instant>,
    emitted: Option<Instant>,
    changed: Option<Instant>,
    last_event: Option<Instant>,
    /// To be drained before the period's end.
    urgent: bool,
    /// What was found out since it was last asked for.
    findings: Option<Vec<Finding>>,
}

impl Sampler {
    /// New control groups are added to those of the context.
    pub fn new(configuration: &Configuration, context: &Context) -> Self {
        let roots = &context.roots;
        Self {
            processes: Processes::new(roots),
            threads: HostThreads::new(roots),
            holders: Holders::new(roots),
            earlier: EarlierCalls::new(roots),
            newly_counted: None,
            callers_groups: BTreeSet::new(),
            devices: Devices::new(configuration, context),
            table: DeviceTable::default(),
            drain: Drain::new(context.per_process),
            attributes: AttributeCache::default(),
            owners: DeviceOwners::default(),
            metrics: SelfMetrics::default(),
            kernel: None,
            drivers_checked: None,
            drained: None,
            emitted: None,
            changed: None,
            last_event: None,
            urgent: false,
            findings: None,
            window: context.once.then_some(WINDOW),
            configuration: configuration.clone(),
            context: context.clone(),
        }
    }

    fn run(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let now = Instant::now();
        let devices_changed = self.devices.update(now);
        if devices_changed || self.drivers_checked.is_none_or(|last| now >= last + CHECK_DRIVERS) {
            self.watch(now, devices_changed);
        }
        if let Some(window) = self.window.take().filter(|_| self.kernel.is_some()) {
            self.count_for(window);
        }
        self.read_events();
        let due = self.drain_due().is_none_or(|due| Instant::now() >= due);
        if (due || devices_changed || self.urgent)
            && let Err(error) = self.drain(devices_changed, out)
        {
            return Outcome::Retry(error.into());
        }
        // The totals of devices that are gone are still shown for a while.
        if self.devices.all().is_empty() && self.drain.activities().next().is_none() {
            if out.is_empty() && self.kernel.is_some() {
                out.push(self.batch(Moment::now()));
            }
            return Outcome::NothingHere(
                "no accelerator's device node is in /dev; name others in ioctl.extra_devices".to_owned(),
            );
        }
        Outcome::Sampled
    }

    /// When to drain next; none before the first drain.
    ///
    /// The period applies while records are in use, because their calls are no events, and for a while after every
    /// change.
    fn drain_due(&self) -> Option<Instant> {
        let last = self.drained?;
        let nothing_runs = self.drain.is_idle() && self.earlier.is_empty();
        let idle = nothing_runs && self.changed.is_none_or(|changed| last >= changed + IDLE_AFTER);
        Some(
            last + if idle {
                self.longest_period()
            } else {
                self.configuration.period
            },
        )
    }

    fn longest_period(&self) -> Duration {
        let period = self.configuration.period;
        IDLE_PERIOD.clamp(period, period * IDLE_PERIODS)
    }

    fn watch(&mut self, now: Instant, devices_changed: bool) {
        let devices = self.devices.all();
        if devices.is_empty() && self.kernel.is_none() {
            return;
        }
        self.drivers_checked = Some(now);
        if devices_changed {
            self.holders.watch(devices.keys().copied());
            self.attributes.clear();
        }
        let first = self.kernel.is_none();
        let kernel = self
            .kernel
            .get_or_insert_with(|| LiveKernel::new(&self.configuration, &self.context));
        let indices = self.table.add(devices);
        self.table.note_gone(devices, now);
        let watches: Vec<_> = indices.into_iter().zip(devices.values()).collect();
        if kernel.counts().is_none() {
            self.drain.begin(Moment::now().wall);
        }
        kernel.watch(&watches);
        let report = kernel.report();
        self.metrics.log(report);
        let counted = watches.iter().filter_map(|(index, device)| {
            let driver = report.counting(&device.name)?;
            let counted = Counted {
                device: *index,
                compat: driver.sees_compat,
            };
            Some((device.number, counted))
        });
        self.newly_counted = Some(counted.collect());
        self.earlier.note_abandoned(kernel.take_abandoned());
        if first {
            // After the programs report new groups, so that none is missed in between.
            self.context.cgroups.scan();
        }
        // Soon, for those that end are seen no more. A walk that fails is repeated when it is drained.
        let walked = self.holders.update(self.discovery(), self.devices.references(), now);
        if let Err(error) = walked {
            tracing::debug!(%error, "the holders of devices could not be looked for");
        }
        self.find_earlier_calls(now);
        self.find_out();
    }

    /// Notes how devices and calls are seen, for `agent doctor`.
    fn find_out(&mut self) {
        let Some(kernel) = &self.kernel else { return };
        let mut findings = explain::of_devices(&self.devices);
        findings.extend(explain::of_hidden(self.holders.hidden()));
        findings.extend(kernel::findings(kernel.report(), kernel.memory()));
        self.findings = Some(findings);
    }

    /// Lets calls be counted for a while, and reads events meanwhile.
    fn count_for(&mut self, window: Duration) {
        let until = Instant::now() + window;
        while Instant::now() < until {
            self.wait_for_events(until);
            self.read_events();
        }
    }

    fn read_events(&mut self) {
        let Some(counts) = self.kernel.as_mut().and_then(LiveKernel::counts) else {
            return;
        };
        let (mut keys, mut owners) = (Vec::new(), Vec::new());
        let (cgroups, last_event) = (&self.context.cgroups, &mut self.last_event);
        counts.events(&mut |event| {
            *last_event = Some(Instant::now());
            match event {
                Event::Key { record, pid } => keys.push((record, pid)),
                Event::Cgroup { id, hierarchy, path } => match path {
                    Some(path) => cgroups.add_created(hierarchy, id, &String::from_utf8_lossy(path)),
                    None => cgroups.find_created(hierarchy, id),
                },
                Event::Owner {
                    pid,
                    device,
                    busy: false,
                    ..
                } => owners.push((device, pid)),
                Event::Owner { .. } => {}
            }
        });
        if !keys.is_empty() {
            self.changed = Some(Instant::now());
            keys.sort_unstable();
            let mut new: Vec<(Ident, u32)> = Vec::new();
            counts.records(&mut |number, ident, _| {
                if let Ok(at) = keys.binary_search_by_key(&number, |(record, _)| *record) {
                    new.push((*ident, keys[at].1));
                }
            });
            for (ident, pid) in new {
                self.add_key(&ident, pid);
            }
        }
        for (index, pid) in owners {
            if let (Some(id), Ok(process)) = (self.table.id(index), self.processes.key(pid)) {
                self.owners.set(id, process);
                self.urgent = true;
            }
        }
    }

    /// A process has made the first call of a key.
    fn add_key(&mut self, ident: &Ident, pid: u32) {
        let key = &ident.key;
        let mut paths = Vec::new();
        for id in drain::groups(key.cgroup_v2, key.cgroup_v1) {
            self.context.cgroups.announce(id);
            paths.extend(self.context.cgroups.path(id));
        }
        let in_container = Cgroup::of_paths(paths.iter().map(|path| &**path)).is_contained();
        if let Some(device) = self.table.device(key.device) {
            self.holders.opened_by(pid, device.number);
        }
        // Its container may have a group in other hierarchies only, which are known while the process lives.
        self.urgent |= !in_container;
    }

    fn drain(&mut self, devices_changed: bool, out: &mut Vec<Batch>) -> std::io::Result<()> {
        let now = Moment::now();
        self.drained = Some(now.instant);
        self.urgent = false;
        let mut changed = devices_changed;
        if let Some(counts) = self.kernel.as_mut().and_then(LiveKernel::counts) {
            let exists = |process, thread| self.threads.exists(process, thread);
            changed |= self.drain.read(counts, &self.table, &exists, now);
            let state = |owner: &_| OwnerState::of(owner, &self.context.cgroups, &self.processes);
            changed |= self.drain.retire(counts, &self.table, &state, now.instant);
            self.metrics.count(self.drain.losses(counts));
        }
        if let Some(kernel) = &mut self.kernel {
            self.metrics.count(kernel.take_losses());
        }
        self.find_holders(now.instant);
        let held = self
            .holders
            .update(self.discovery(), self.devices.references(), now.instant);
        changed |= self.find_earlier_calls(now.instant);
        changed |= self.owners.update(&self.processes, &self.holders, &self.table);
        changed |= self.holders.take_changed();
        if changed {
            self.changed = Some(now.instant);
        }
        if changed
            || self
                .emitted
                .is_none_or(|last| now.instant >= last + self.longest_period())
        {
            self.emitted = Some(now.instant);
            out.push(self.batch(now));
        }
        held
    }

    /// Who calls holds the device open, and those that run beside a caller may do so, too: only the first process with the
    /// same executable makes a key, and so an event.
    fn find_holders(&mut self, now: Instant) {
        if self.threads.are_numbered_alike() {
            let mut callers = self.drain.callers();
            callers.extend(self.earlier.callers());
            let device = |(process, index)| Some((process, self.table.device(index)?.number));
            self.holders.calling(callers.into_iter().filter_map(device));
        }
        self.callers_groups.extend(self.drain.growing());
        if self.holders.may_look_beside(now) {
            let groups = std::mem::take(&mut self.callers_groups);
            // Who runs beside a caller is in each of its groups: the one with the fewest is enough.
            let fewest = |groups: Vec<CgroupId>| {
                let all = groups.into_iter().map(|group| self.context.cgroups.processes(group));
                all.filter(|pids| !pids.is_empty()).min_by_key(Vec::len)
            };
            self.holders
                .look_beside(groups.into_iter().filter_map(fewest).flatten(), now);
        }
    }

    /// Calls of devices that are hooked now, and began before they were. Returns whether there may be others than before.
    fn find_earlier_calls(&mut self, now: Instant) -> bool {
        if !self.threads.are_numbered_alike() {
            return false;
        }
        let Some(kernel) = &mut self.kernel else { return false };
        if let Some(counted) = self.newly_counted.take() {
            self.earlier.look(&counted, &self.holders, now);
        }
        if !self.earlier.is_due(now) {
            return false;
        }
        let mut known = BTreeSet::new();
        if let Some(counts) = kernel.counts() {
            counts.slots(&mut |slot| {
                known.insert(slot.owner);
            });
        }
        self.earlier.check(&known, now);
        self.metrics.count(vec![("entry_missed", self.earlier.take_missed())]);
        true
    }

    fn discovery(&self) -> Discovery {
        match &self.kernel {
            Some(kernel)
                if kernel
                    .report()
                    .drivers
                    .iter()
                    .all(|driver| driver.hook != HookKind::Scan) =>
            {
                Discovery::Events
            }
            _ => Discovery::Walks,
        }
    }

    fn batch(&mut self, now: Moment) -> Batch {
        let (table, attributes) = (&self.table, &mut self.attributes);
        let mut points = points::points(&self.drain, attributes, table, now.wall);
        points.extend(holder_points::points(
            self.devices.all(),
            table,
            attributes,
            &self.holders,
            now.wall,
        ));
        points.extend(self.earlier.points(attributes, table, now));
        points.extend(self.owners.points(attributes, table, now.wall));
        if let Some(kernel) = &self.kernel {
            points.extend(SelfMetrics::points(kernel, self.drain.records(), now.wall));
        }
        Batch {
            part: Part::whole(NAME),
            points,
        }
    }

    fn wait_for_events(&mut self, until: Instant) {
        if let Some(next) = self.last_event.map(|last| last + DEBOUNCE) {
            std::thread::sleep(next.min(until).saturating_duration_since(Instant::now()));
        }
        let programs = self.kernel.as_mut().and_then(LiveKernel::counts);
        let sources = programs.and_then(|counts| counts.ready()).into_iter();
        let mut sources: Vec<_> = sources
            .chain(self.devices.event_source())
            .map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN))
            .collect();
        if poll::wait(&mut sources, Some(until)).is_err() {
            std::thread::sleep(RETRY.min(until.saturating_duration_since(Instant::now())));
        }
    }
}

impl accelscope_core::sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.longest_period(),
            deadline: DEADLINE + self.window.unwrap_or_default(),
        }
    }

    fn new_findings(&mut self) -> Option<Vec<Finding>> {
        self.findings.take()
    }

    fn wait(&mut self, until: Instant) {
        let drain = self.drain_due().unwrap_or(until);
        let devices = self.devices.due(Instant::now());
        self.wait_for_events(until.min(drain).min(devices));
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        self.run(out)
    }
}
