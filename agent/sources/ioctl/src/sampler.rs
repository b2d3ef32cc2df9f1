//! The sampler: devices found, watched, and what was counted of them handed on.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use agent_ebpf::Ident;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::device::Device;
use super::devices::Devices;
use super::drain::{Drain, Fate, Moment, ROOT};
use super::holder_points::{DeviceLabels, points as holder_points};
use super::holders::{Holders, Told};
use super::kernel::{Event, HookKind, Kernel, Watch};
use super::labels::Labels;
use super::own::{Own, Users};
use super::places::Places;
use super::points::points;
use super::settings::Settings;
use super::threads::HostThreads;
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::{CgroupId, Cgroups, Hierarchy};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::{agent, calls, ioctl};
use accelscope_core::metric::{Batch, Instrument, Part};
use accelscope_core::sampler::{Descriptor, Outcome};

pub(super) const NAME: &str = "ioctl";

/// Time between two batches while nothing changes, and between two drains while no call is made.
const IDLE_PERIOD: Duration = Duration::from_secs(5);
/// Time from the last change to the first drain that is put off.
const IDLE_AFTER: Duration = Duration::from_secs(30);
/// Shortest time between two looks at events: the first is heeded at once, and then many of them come.
const GATHER: Duration = Duration::from_millis(20);
/// Longest run: the first one has the kernel check the programs, which takes seconds on a small board.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often drivers are looked at that came or went while their devices stayed the same.
const DRIVERS: Duration = Duration::from_secs(30);

static INSTRUMENTS: [&Instrument; 13] = [
    &calls::CALLS,
    &calls::DURATION,
    &calls::INFLIGHT,
    &calls::INFLIGHT_AGE,
    &calls::HAILO_TRANSFERS,
    &calls::HAILO_IO,
    &calls::HAILO_FRAMES,
    &calls::HAILO_SWITCHES,
    &calls::HAILO_OWNER,
    &ioctl::DEVICE_PROCESSES,
    &agent::IOCTL_DEVICES,
    &agent::IOCTL_MEMORY,
    &agent::IOCTL_RECORDS,
];

/// Opens the way into the kernel; called when there is a device to watch.
pub type Open = Box<dyn FnMut() -> Box<dyn Kernel> + Send>;

/// The sampler `ioctl`.
pub struct Sampler {
    settings: Settings,
    roots: HostRoots,
    processes: Processes,
    threads: HostThreads,
    cgroups: Cgroups,
    open: Open,
    kernel: Option<Box<dyn Kernel>>,
    devices: Devices,
    places: Places,
    drain: Drain,
    labels: Labels,
    holders: Holders,
    holder_labels: DeviceLabels,
    users: Users,
    own: Own,
    /// How long the first run watches before it hands on anything.
    window: Option<Duration>,
    watched_at: Option<Instant>,
    drained_at: Option<Instant>,
    handed_at: Option<Instant>,
    changed_at: Option<Instant>,
    events_at: Option<Instant>,
    /// Something is to be read before the period's end.
    urgent: bool,
}

impl Sampler {
    /// `node_name` becomes part of ids; `cgroups` learns of new control groups. With a `window`, the first run watches for
    /// so long before it hands on anything, for a caller that wants but one.
    pub fn new(
        settings: Settings,
        roots: HostRoots,
        node_name: String,
        cgroups: Cgroups,
        window: Option<Duration>,
        open: Open,
    ) -> Self {
        Self {
            processes: Processes::new(&roots),
            threads: HostThreads::new(&roots),
            devices: Devices::new(
                roots.clone(),
                settings.families.clone(),
                settings.extra.clone(),
                node_name,
            ),
            places: Places::default(),
            drain: Drain::new(settings.per_process),
            labels: Labels::default(),
            holders: Holders::new(&roots),
            holder_labels: DeviceLabels::default(),
            users: Users::default(),
            own: Own::default(),
            kernel: None,
            watched_at: None,
            drained_at: None,
            handed_at: None,
            changed_at: None,
            events_at: None,
            urgent: false,
            settings,
            roots,
            cgroups,
            window,
            open,
        }
    }

    fn run(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let now = Instant::now();
        let others = self.devices.update(now);
        if others || self.watched_at.is_none_or(|last| now >= last + DRIVERS) {
            self.watch(now, others);
        }
        if let Some(window) = self.window.take().filter(|_| self.kernel.is_some()) {
            self.watch_for(window);
        }
        self.take_events();
        let due = others || self.urgent || self.drain_due().is_none_or(|due| Instant::now() >= due);
        if let Some(error) = due.then(|| self.drain(others, out).err()).flatten() {
            return Outcome::Retry(error.into());
        }
        if self.devices.all().is_empty() {
            return Outcome::NothingHere(
                "no accelerator's device node is in /dev; name others in ioctl.extra_devices".to_owned(),
            );
        }
        Outcome::Sampled
    }

    /// When to drain next, without an event; none before the first drain.
    ///
    /// Where every call to come is an event, or no program is attached, the period is only kept for a while after a change.
    fn drain_due(&self) -> Option<Instant> {
        let last = self.drained_at?;
        let changed = self.changed_at.is_some_and(|changed| last < changed + IDLE_AFTER);
        let idle = self.drain.is_idle() && !changed;
        Some(
            last + if idle {
                self.longest_period()
            } else {
                self.settings.period
            },
        )
    }

    fn longest_period(&self) -> Duration {
        self.settings.period.max(IDLE_PERIOD)
    }

    fn watch(&mut self, now: Instant, others: bool) {
        let devices = self.devices.all();
        if devices.is_empty() && self.kernel.is_none() {
            return;
        }
        self.watched_at = Some(now);
        if others {
            self.holders.watch(devices.keys().copied());
            self.holder_labels = DeviceLabels::new(devices.values());
            self.labels.forget();
        }
        let first = self.kernel.is_none();
        let kernel = self.kernel.get_or_insert_with(&mut self.open);
        let places = self.places.take(devices);
        let watches: Vec<Watch<'_>> = places
            .into_iter()
            .zip(devices.values())
            .map(|(place, device)| Watch { place, device })
            .collect();
        self.drain.begin(Moment::now());
        kernel.watch(&watches);
        self.own.tell(kernel.report());
        if first {
            // After the programs tell of new groups, so that none is missed in between.
            self.cgroups.scan();
        }
    }

    /// Lets calls be counted for a while, and looks at what is told meanwhile.
    fn watch_for(&mut self, window: Duration) {
        let until = Instant::now() + window;
        while Instant::now() < until {
            self.rest(until);
            self.take_events();
        }
    }

    fn take_events(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        let (mut keys, mut owners) = (Vec::new(), Vec::new());
        let (cgroups, events_at) = (&self.cgroups, &mut self.events_at);
        kernel.events(&mut |event| {
            *events_at = Some(Instant::now());
            match event {
                Event::Key { record, pid } => keys.push((record, pid)),
                Event::Cgroup { id, hierarchy, path } => {
                    cgroups.made(hierarchy, id, &String::from_utf8_lossy(path));
                }
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
            self.changed_at = Some(Instant::now());
            keys.sort_unstable();
            let mut made: Vec<(Ident, u32)> = Vec::new();
            kernel.records(&mut |number, ident, _| {
                if let Ok(at) = keys.binary_search_by_key(&number, |(record, _)| *record) {
                    made.push((*ident, keys[at].1));
                }
            });
            for (ident, pid) in made {
                self.begins(&ident, pid);
            }
        }
        for (place, pid) in owners {
            if let (Some(label), Ok(process)) = (self.places.label(place), self.processes.key(pid)) {
                self.users.is_now(label, process);
                self.urgent = true;
            }
        }
    }

    /// Somebody made a call that was not made before.
    fn begins(&mut self, ident: &Ident, pid: u32) {
        let key = &ident.key;
        let ids = [(Hierarchy::Unified, key.cgroup_v2), (Hierarchy::Legacy, key.cgroup_v1)];
        let mut says_nothing = true;
        for (hierarchy, id) in ids.into_iter().filter(|(_, id)| *id > ROOT) {
            self.cgroups.named(CgroupId { hierarchy, id });
            says_nothing = false;
        }
        if let Some(device) = self.places.device(key.device) {
            self.holders.opened_by(pid, device.number);
        }
        // Whose it is can be told only while the process lives.
        self.urgent |= says_nothing;
    }

    fn drain(&mut self, others: bool, out: &mut Vec<Batch>) -> std::io::Result<()> {
        let now = Moment::now();
        self.drained_at = Some(now.instant);
        self.urgent = false;
        let mut changed = others;
        if let Some(kernel) = &mut self.kernel {
            changed |= self.drain.read(&mut **kernel, &self.places, &self.threads, now);
            let (cgroups, processes) = (&self.cgroups, &self.processes);
            changed |= self
                .drain
                .retire(&mut **kernel, &|owner| Fate::of(owner, cgroups, processes), now.instant);
            self.own.count(self.drain.losses(&**kernel));
        }
        let told = match &self.kernel {
            Some(kernel)
                if kernel
                    .report()
                    .drivers
                    .iter()
                    .all(|driver| driver.hook != HookKind::Scan) =>
            {
                Told::ByEvents
            }
            _ => Told::ByNothing,
        };
        let references = references(&self.roots, self.devices.all());
        let held = self.holders.update(told, references, now.instant);
        changed |= self.users.look(&self.processes, &self.holders, &self.places);
        let holders = holder_points(&self.holder_labels, &self.holders, now.wall);
        changed |= self.own.holders_are(&holders);
        if changed {
            self.changed_at = Some(now.instant);
        }
        if changed || self.handed_at.is_none_or(|last| now.instant >= last + IDLE_PERIOD) {
            self.handed_at = Some(now.instant);
            let mut all = points(&self.drain, &mut self.labels, &self.places, now.wall);
            all.extend(holders);
            all.extend(self.users.points(&mut self.labels, &self.places, now.wall));
            if let Some(kernel) = &self.kernel {
                all.extend(Own::points(&**kernel, self.drain.records(), now.wall));
            }
            out.push(Batch {
                part: Part::whole(NAME),
                points: all,
            });
        }
        held
    }

    /// Until something is told, at most until then.
    fn rest(&mut self, until: Instant) {
        // What comes at once is looked at at once.
        if let Some(next) = self.events_at.map(|last| last + GATHER) {
            std::thread::sleep(next.min(until).saturating_duration_since(Instant::now()));
        }
        let left = until.saturating_duration_since(Instant::now());
        let sources = [
            self.kernel.as_ref().and_then(|kernel| kernel.ready()),
            self.devices.event_source(),
        ];
        let mut sources: Vec<PollFd<'_>> = sources.iter().flatten().map(watched).collect();
        if sources.is_empty() {
            std::thread::sleep(left);
            return;
        }
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        // A signal ends it early, which does no harm.
        if poll(&mut sources, Some(&timeout)).is_err() {
            std::thread::sleep(left.min(GATHER));
        }
    }
}

fn watched<'a>(source: &'a BorrowedFd<'a>) -> PollFd<'a> {
    PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN)
}

/// How many users the kernel counts for the devices' drivers, where all of them tell that.
fn references(roots: &HostRoots, devices: &BTreeMap<u64, Device>) -> Option<u64> {
    let mut modules: Vec<&str> = devices
        .values()
        .map(|device| device.module.as_deref())
        .collect::<Option<_>>()?;
    modules.sort_unstable();
    modules.dedup();
    let count = |module: &str| {
        let text = roots.read(format!("/sys/module/{module}/refcnt"), 64).ok()?;
        String::from_utf8_lossy(&text).trim().parse::<u64>().ok()
    };
    modules.into_iter().map(count).sum()
}

impl accelscope_core::sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.longest_period(),
            deadline: DEADLINE + self.window.unwrap_or_default(),
            instruments: &INSTRUMENTS,
        }
    }

    fn wait(&mut self, until: Instant) {
        let drain = self.drain_due().unwrap_or(until);
        let devices = self.devices.due(Instant::now());
        self.rest(until.min(drain).min(devices));
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        self.run(out)
    }
}
