mod lasting;
mod maps;
mod overlap;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Instant;

use agent_ebpf::{BUCKETS, ChannelKey, ErrorKey, Key, NAME, Slot};

use self::maps::{Inside, Maps};
use super::*;
use crate::device::Device;
use crate::families::Family;
use accelscope_core::metric::CgroupOwner;

const PLAIN: u32 = 0x1234;

fn devices(family: Family, abi: Option<&str>) -> DeviceTable {
    let device = Device {
        number: 1,
        name: "dev0".to_owned(),
        family,
        module: None,
        abi: abi.map(ToOwned::to_owned),
        driver_version: None,
        address: None,
        hw_id: None,
        node: Some(PathBuf::from("/dev/dev0")),
        extra: false,
    };
    let mut devices = DeviceTable::default();
    assert_eq!(devices.add(&BTreeMap::from([(1, device)])), [0]);
    devices
}

fn ident(cgroup: u64, inode: u64, name: &str, command: u32) -> Ident {
    let mut bytes = [0; NAME];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Ident {
        key: Key {
            cgroup_v2: cgroup,
            cgroup_v1: 0,
            executable: inode,
            variant: 0,
            pid: 0,
            device: 0,
            command,
        },
        pid: 42,
        valid: 1,
        started: 0,
        shared: 0,
        name: bytes,
    }
}

fn calls(entered: u64, returned: u64, failed: u64) -> Record {
    let mut buckets = [0; BUCKETS];
    buckets[2] = returned;
    Record {
        entered,
        failed,
        buckets,
        duration: returned * 10_000,
        ..Record::default()
    }
}

fn slot(thread: u32, record: u32, command: u32, began: Duration) -> Slot {
    Slot {
        owner: (42 << 32) | u64::from(thread),
        began: began.as_nanos() as u64,
        record,
        device: 0,
        command,
        ..Slot::default()
    }
}

struct Scene {
    drain: Drain,
    maps: Maps,
    devices: DeviceTable,
    now: Instant,
    /// Threads that have ended.
    gone: &'static [u32],
}

impl Scene {
    fn new(devices: DeviceTable) -> Self {
        Self {
            drain: Drain::new(false),
            maps: Maps::default(),
            devices,
            now: Instant::now(),
            gone: &[],
        }
    }

    fn inside(&mut self) -> &mut Inside {
        self.maps.inside.get_mut()
    }

    fn read(&mut self) -> bool {
        self.now += Duration::from_secs(1);
        self.inside().now += Duration::from_secs(1);
        let now = Moment {
            instant: self.now,
            wall: Timestamp::now(),
        };
        let gone = self.gone;
        let exists = |_, thread| !gone.contains(&thread);
        self.drain.read(&mut self.maps, &self.devices, &exists, now)
    }

    /// Successes and failures by command, and the histogram's count, of all together.
    fn totals(&self) -> (u64, u64, u64) {
        let (mut succeeded, mut failed, mut durations) = (0, 0, 0);
        for (_, activity) in self.drain.activities() {
            for calls in activity.commands.values() {
                succeeded += calls.succeeded;
                failed += calls.failed.values().sum::<u64>();
            }
            durations += activity.durations.histogram().map_or(0, |shown| shown.count);
        }
        (succeeded, failed, durations)
    }

    fn only(&self) -> &Activity {
        let mut all = self.drain.activities();
        let (_, activity) = all.next().unwrap();
        assert!(all.next().is_none(), "several activities");
        activity
    }
}

#[test]
fn successes_and_failures_are_told_apart_and_counted_once() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    scene
        .inside()
        .records
        .insert(3, (ident(9, 1, "infer", PLAIN), calls(10, 10, 4)));
    scene.inside().errors.insert((3, 25), 3);
    scene.inside().errors.insert((3, 22), 1);
    assert!(scene.read());
    assert_eq!(scene.totals(), (6, 4, 10));
    let failed = &scene.only().commands.values().next().unwrap().failed;
    assert_eq!(failed, &BTreeMap::from([(22, 1), (25, 3)]));
    assert!(!scene.read(), "nothing has happened since");
    assert_eq!(scene.totals(), (6, 4, 10));
    let shown = scene.only().durations.histogram().unwrap();
    assert!((shown.sum - 1e-4).abs() < 1e-12 && shown.buckets[2] == 10);
}

#[test]
fn executables_of_one_name_are_one_and_those_of_two_groups_are_two() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(1, 1, 0)));
    scene
        .inside()
        .records
        .insert(1, (ident(9, 2, "infer", PLAIN), calls(2, 2, 0)));
    scene
        .inside()
        .records
        .insert(2, (ident(8, 2, "infer", PLAIN), calls(4, 4, 0)));
    scene.read();
    let mut totals: Vec<u64> = scene
        .drain
        .activities()
        .map(|(_, activity)| activity.commands.values().map(|calls| calls.succeeded).sum())
        .collect();
    totals.sort_unstable();
    assert_eq!(totals, [3, 4]);
}

#[test]
fn a_call_with_an_unknown_end_is_never_a_success() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    // 9,000 calls wait, and there is room for 8,192 of them.
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(9_000, 0, 0)));
    for thread in 0..8_192 {
        let parked = slot(thread, 0, PLAIN, Duration::from_millis(1));
        scene.inside().slots.push(parked);
    }
    scene.inside().counters[counter::SLOT_FULL as usize] = 808;
    let mut lost = 0;
    for _ in 0..20 {
        scene.read();
        lost += lost_as(&mut scene, "slot_full");
        assert_eq!(scene.totals(), (0, 0, 0));
        assert_eq!(scene.only().in_flight, 8_192);
    }
    assert_eq!(lost, 808);
    // Half of them fail; the threads of others begin anew, their returns unseen.
    scene.inside().slots.clear();
    let failed = calls(9_000, 4_096, 4_096);
    scene.inside().records.insert(0, (ident(9, 1, "infer", PLAIN), failed));
    scene.inside().errors.insert((0, 25), 4_096);
    scene.inside().counters[counter::RETURN_MISSED as usize] = 4_096;
    let mut lost = 0;
    for _ in 0..20 {
        scene.read();
        lost += lost_as(&mut scene, "return_missed");
    }
    assert_eq!(scene.totals(), (0, 4_096, 4_096), "and no duration is invented");
    assert_eq!(lost, 4_096);
}

fn lost_as(scene: &mut Scene, reason: &str) -> u64 {
    let losses = scene.drain.losses(&scene.maps);
    losses
        .iter()
        .filter(|(of, _)| *of == reason)
        .map(|(_, count)| *count)
        .sum()
}

#[test]
fn a_call_in_flight_grows_older_and_is_counted_when_it_returns() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(10_064, 10_000, 0)));
    for thread in 0..64 {
        let parked = slot(thread, 0, PLAIN, Duration::from_millis(100));
        scene.inside().slots.push(parked);
    }
    for second in 1..20 {
        assert!(scene.read(), "its age has changed");
        assert_eq!(scene.totals(), (10_000, 0, 10_000));
        assert_eq!(scene.only().in_flight, 64);
        assert_eq!(scene.only().oldest, Duration::from_millis(second * 1000 - 100));
    }
    scene.inside().slots.clear();
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(10_064, 10_064, 0)));
    scene.read();
    assert_eq!(scene.totals(), (10_064, 0, 10_064));
    assert_eq!((scene.only().in_flight, scene.only().oldest), (0, Duration::ZERO));
}

#[test]
fn a_thread_that_is_gone_is_in_flight_no_longer() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(2, 0, 0)));
    scene.inside().slots.push(slot(1, 0, PLAIN, Duration::from_millis(1)));
    scene.inside().slots.push(slot(2, 0, PLAIN, Duration::from_millis(1)));
    scene.gone = &[2];
    let mut gone = 0;
    for _ in 0..10 {
        scene.read();
        let losses = scene.drain.losses(&scene.maps);
        gone += losses
            .iter()
            .find(|(reason, _)| *reason == "thread_gone")
            .map_or(0, |(_, count)| *count);
    }
    assert_eq!((gone, scene.only().in_flight), (1, 1));
    assert_eq!(scene.inside().released, [(42 << 32) | 2]);
    assert_eq!(scene.totals(), (0, 0, 0), "nobody knows how it ended");
}

#[test]
fn commands_that_wait_by_design_are_counted_but_neither_slow_nor_hung() {
    let devices = devices(&accelscope_hailo::FAMILY, Some("4.20.0"));
    let (wait, notification) = (0xc2ad_7602, 0x45e4_6e01);
    let mut scene = Scene::new(devices);
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", wait), calls(3, 2, 0)));
    scene
        .inside()
        .records
        .insert(1, (ident(9, 1, "infer", notification), calls(2, 1, 0)));
    scene.inside().slots.push(slot(1, 0, wait, Duration::from_millis(1)));
    scene
        .inside()
        .slots
        .push(slot(2, 1, notification, Duration::from_millis(1)));
    scene.read();
    let activity = scene.only();
    assert_eq!((activity.in_flight, activity.oldest), (0, Duration::ZERO));
    assert!(activity.durations.histogram().is_none());
    let own: Vec<_> = activity
        .own_durations
        .iter()
        .map(|(name, own)| (&**name, own.histogram().unwrap().count))
        .collect();
    assert_eq!(own, [("VDMA_INTERRUPTS_WAIT", 2)]);
    assert_eq!(scene.totals().0, 3);
}

#[test]
fn frames_are_the_busiest_input_channels_launches_model_by_model() {
    let (launch, control) = (0xc041_760f, 0xc5f8_6e00);
    let mut scene = Scene::new(devices(&accelscope_hailo::FAMILY, Some("4.20.0")));
    let launched = |count| Record {
        transfers: [count, count],
        bytes: [count * 1000, count * 10],
        ..calls(2 * count, 2 * count, 0)
    };
    let switched = |count| Record {
        switches: count,
        ..calls(count, count, 0)
    };
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", launch), launched(100)));
    scene
        .inside()
        .records
        .insert(1, (ident(9, 1, "infer", control), switched(1)));
    // Two inputs of which one lags behind, and an output.
    scene.inside().channels = BTreeMap::from([((0, 1), 100), ((0, 2), 99), ((0, 17), 101)]);
    scene.read();
    assert_eq!(scene.only().frames(), 100);
    // Another model on another channel.
    scene
        .inside()
        .records
        .insert(1, (ident(9, 1, "infer", control), switched(2)));
    scene.read();
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", launch), launched(130)));
    scene.inside().channels.insert((0, 5), 30);
    scene.read();
    assert_eq!(scene.only().frames(), 130);
    assert_eq!((scene.only().switches, scene.only().transfers), (2, [130, 130]));
    assert_eq!(scene.only().bytes, [130_000, 1300]);
}

#[test]
fn a_key_goes_with_its_group_and_its_counts_stay_for_a_while() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(5, 5, 0)));
    scene
        .inside()
        .records
        .insert(1, (ident(8, 1, "infer", PLAIN), calls(7, 7, 0)));
    let state = |owner: &CgroupOwner| {
        if owner.unified == 9 {
            OwnerState::Ended
        } else {
            OwnerState::Alive
        }
    };
    let mut seconds = 0;
    scene.read();
    assert_eq!(scene.drain.records(), 2);
    while scene.drain.records() > 1 {
        scene.read();
        let now = scene.now;
        scene.drain.retire(&mut scene.maps, &scene.devices, &state, now);
        seconds += 1;
        assert!(seconds < 60, "the key stays");
    }
    assert!(seconds >= 2, "it was not given up before it stood still");
    assert_eq!(scene.totals(), (12, 0, 12), "what it did stays");
    scene.now += LINGER;
    scene.read();
    let now = scene.now;
    assert!(scene.drain.retire(&mut scene.maps, &scene.devices, &state, now));
    assert_eq!(scene.totals(), (7, 0, 7));
}

#[test]
fn a_number_that_is_given_to_another_key_counts_from_zero() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(5, 5, 0)));
    scene.read();
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN + 1), calls(2, 2, 0)));
    scene.read();
    assert_eq!(scene.totals(), (7, 0, 7));
}

#[test]
fn errors_that_found_no_room_have_no_name_and_are_counted() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(5, 5, 3)));
    scene.inside().errors.insert((0, 25), 1);
    scene.inside().counters[counter::ERROR_FULL as usize] = 2;
    scene.read();
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(6, 6, 3)));
    scene.read();
    scene.read();
    let failed = &scene.only().commands.values().next().unwrap().failed;
    assert_eq!(failed, &BTreeMap::from([(25, 1), (0, 2)]));
    assert_eq!(scene.totals().0, 3);
}

#[test]
fn a_key_that_is_not_used_goes_and_its_next_call_adds_to_the_same_total() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(5, 5, 0)));
    scene.inside().slots.push(slot(1, 0, PLAIN, Duration::from_millis(1)));
    scene.inside().records.get_mut(&0).unwrap().1.entered = 6;
    let pass = |scene: &mut Scene, seconds: u32| {
        for _ in 0..seconds {
            scene.read();
            let now = scene.now;
            scene
                .drain
                .retire(&mut scene.maps, &scene.devices, &|_| OwnerState::Alive, now);
        }
    };
    pass(&mut scene, 100);
    assert!(!scene.drain.is_idle(), "a call is in flight");
    scene.inside().slots.clear();
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(6, 6, 0)));
    pass(&mut scene, 20);
    assert!(!scene.drain.is_idle(), "it made a call lately");
    pass(&mut scene, 20);
    assert!(scene.drain.is_idle());
    scene
        .inside()
        .records
        .insert(7, (ident(9, 1, "infer", PLAIN), calls(2, 2, 0)));
    assert!(scene.read());
    assert_eq!(scene.totals(), (8, 0, 8));
    assert_eq!(scene.drain.activities().count(), 1);
}
