//! What stays of devices that are gone and of owners that are too many, and for how long.

use super::super::activities::MAX_GROUPS;
use super::*;

fn device(name: &str, number: u64) -> Device {
    let mut device = devices(&crate::families::OTHER, None).device(0).unwrap().clone();
    (device.name, device.number) = (name.to_owned(), number);
    device
}

fn by_number(devices: &[&Device]) -> BTreeMap<u64, Device> {
    devices
        .iter()
        .map(|device| (device.number, (*device).clone()))
        .collect()
}

/// Calls of two groups, to a device each.
fn two_devices() -> (Scene, [Device; 2]) {
    let both = [device("a", 1), device("b", 2)];
    let mut table = DeviceTable::default();
    assert_eq!(table.add(&by_number(&[&both[0], &both[1]])), [0, 1]);
    let mut scene = Scene::new(table);
    let mut second = ident(8, 1, "infer", PLAIN);
    second.key.device = 1;
    scene
        .inside()
        .records
        .insert(0, (ident(9, 1, "infer", PLAIN), calls(5, 5, 0)));
    scene.inside().records.insert(1, (second, calls(7, 7, 0)));
    scene.read();
    (scene, both)
}

fn pass(scene: &mut Scene, seconds: u64) {
    for _ in 0..seconds {
        scene.read();
        let now = scene.now;
        scene
            .drain
            .retire(&mut scene.maps, &scene.devices, &|_| OwnerState::Alive, now);
    }
}

#[test]
fn totals_of_the_first_of_two_devices_linger_when_it_is_gone_and_then_end() {
    let (mut scene, both) = two_devices();
    let now = scene.now;
    scene.devices.note_gone(&by_number(&[&both[1]]), now);
    pass(&mut scene, LINGER.as_secs() - 1);
    assert_eq!(scene.totals(), (12, 0, 12));
    pass(&mut scene, 2);
    assert_eq!(scene.totals(), (7, 0, 7));
}

#[test]
fn totals_of_all_devices_that_are_gone_end_at_a_time() {
    let (mut scene, _) = two_devices();
    let now = scene.now;
    scene.devices.note_gone(&BTreeMap::new(), now);
    pass(&mut scene, LINGER.as_secs() - 1);
    assert_eq!(scene.totals(), (12, 0, 12));
    assert!(scene.drain.is_idle(), "their keys were given up");
    pass(&mut scene, 1);
    assert_eq!(scene.drain.activities().count(), 0);
}

#[test]
fn a_device_that_comes_back_under_another_number_goes_on_from_its_total() {
    let (mut scene, both) = two_devices();
    let now = scene.now;
    scene.devices.note_gone(&BTreeMap::new(), now);
    pass(&mut scene, LINGER.as_secs() / 2);
    let again = device("a", 3);
    let present = by_number(&[&again, &both[1]]);
    assert_eq!(scene.devices.add(&present), [1, 2]);
    let now = scene.now;
    scene.devices.note_gone(&present, now);
    let mut key = ident(9, 1, "infer", PLAIN);
    key.key.device = 2;
    scene.inside().records.insert(7, (key, calls(3, 3, 0)));
    pass(&mut scene, LINGER.as_secs());
    assert_eq!(scene.totals(), (15, 0, 15));
    assert_eq!(scene.drain.activities().count(), 2);
}

/// Owners up to this number are alive.
const LASTING: u64 = 10;

fn state(owner: &CgroupOwner) -> OwnerState {
    match owner.unified {
        0 => OwnerState::Unknown,
        1..=LASTING => OwnerState::Alive,
        _ => OwnerState::Ended,
    }
}

/// Passes a second. Returns the number of calls for which there was no activity of their own.
fn second(scene: &mut Scene) -> u64 {
    scene.read();
    let now = scene.now;
    scene.drain.retire(&mut scene.maps, &scene.devices, &state, now);
    let losses = scene.drain.losses(&scene.maps);
    losses
        .iter()
        .filter(|(reason, _)| *reason == OWNER_FOLDED)
        .map(|(_, count)| *count)
        .sum()
}

fn of_group(scene: &Scene, group: u64) -> Option<u64> {
    let mut all = scene.drain.activities();
    let (_, activity) = all.find(|(key, _)| key.owner.unified == group)?;
    Some(activity.commands.values().map(|calls| calls.succeeded).sum())
}

#[test]
fn a_flood_of_containers_takes_no_series_of_those_that_live_and_none_is_lost() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    // One that calls once in two minutes, so that its key is given up in between.
    let rare = |count| (ident(1, 1, "rare", PLAIN), calls(count, count, 0));
    scene.inside().records.insert(0, rare(4));
    second(&mut scene);
    let (mut made, mut folded, mut group) = (4, 0, 1_000);
    let mut seen = 0;
    for passed in 1..=240_u64 {
        for number in 0..25 {
            group += 1;
            let record = (ident(group, 1, "brief", PLAIN), calls(3, 3, 0));
            let place = 1_000 + (passed as u32 % 20) * 25 + number;
            scene.inside().records.insert(place, record);
            made += 3;
        }
        if passed == 120 {
            assert!(!scene.inside().records.contains_key(&0), "its key was given up");
            scene.inside().records.insert(1, rare(4));
            made += 4;
        }
        folded += second(&mut scene);
        assert_eq!(scene.totals().0, made, "nothing has ended five minutes ago");
        let own = of_group(&scene, 1).expect("it lives");
        assert!(own >= seen, "{own} after {seen}");
        seen = own;
        assert!(scene.drain.activities().count() <= MAX_GROUPS + 1);
    }
    assert_eq!(of_group(&scene, 1), Some(8));
    assert_eq!(
        of_group(&scene, 0).unwrap_or(0),
        folded,
        "what has no series is counted"
    );
}

#[test]
fn an_owner_without_room_has_its_own_totals_once_there_is_some() {
    let mut scene = Scene::new(devices(&crate::families::OTHER, None));
    for number in 0..MAX_GROUPS as u32 {
        let group = 1_000 + u64::from(number);
        let record = (ident(group, 1, "brief", PLAIN), calls(1, 1, 0));
        scene.inside().records.insert(number, record);
    }
    second(&mut scene);
    let late = |count| (ident(2, 1, "late", PLAIN), calls(count, count, 0));
    scene.inside().records.insert(9_999, late(5));
    assert_eq!(second(&mut scene), 5);
    assert_eq!((of_group(&scene, 2), of_group(&scene, 0)), (None, Some(5)));
    let mut count = 5;
    let before = scene.totals().0;
    while of_group(&scene, 2).is_none() {
        count += 1;
        scene.inside().records.insert(9_999, late(count));
        second(&mut scene);
        assert!(count < 500, "the others have ended long ago");
    }
    scene.inside().records.insert(9_999, late(count + 10));
    assert_eq!(second(&mut scene), 0);
    let own = of_group(&scene, 2).unwrap();
    assert!((10..=11).contains(&own), "what it has done since: {own}");
    assert_eq!(of_group(&scene, 0).unwrap() + own, count + 10, "and what it had done");
    assert_eq!(before, MAX_GROUPS as u64 + 5);
}
