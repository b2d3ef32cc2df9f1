use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use prost::Message;

use super::super::decode;
use super::super::files::MAX_ELEMENTS;
use super::super::state::File;
use super::super::watch::Watch;
use super::*;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::Timestamp;
use accelscope_proto::hailo::{ProtoMon, ProtoMonInfo};

fn message(fps: f64) -> Vec<u8> {
    let network = ProtoMonInfo {
        network_name: "n".into(),
        fps,
        utilization: 50.0,
    };
    ProtoMon {
        pid: "7".into(),
        networks_infos: vec![network],
        ..ProtoMon::default()
    }
    .encode_to_vec()
}

fn monitored(path: &Path, watch: Option<&Watch>) -> Monitored {
    let directory = Directory::configured(&HostRoots::new("/"), path).unwrap();
    let mut monitored = Monitored::new(directory, path.to_owned(), true, Arc::default());
    if let Some(watch) = watch {
        monitored.watch_with(&watch.watches(), Instant::now());
    }
    monitored
}

/// As if all that was written so far lay that far in the past.
fn later(ms: u64) -> Moment {
    let wall = Timestamp::now().unix_nanos() + ms * 1_000_000;
    Moment {
        instant: Instant::now() + Duration::from_millis(ms),
        wall: Timestamp::from_unix_nanos(wall),
    }
}

fn living() -> Living {
    Living::new(&HostRoots::new("/"))
}

/// Returns whether any value changed. What is left out is not counted.
fn update(monitored: &mut Monitored, now: Moment) -> bool {
    monitored.update(now, &mut living(), &mut Skipped::default()).unwrap()
}

fn rate(monitored: &Monitored, name: &str) -> Option<f64> {
    monitored.files.all().get(OsStr::new(name))?.latest()?.reading.networks["n"].frame_rate
}

#[test]
fn without_events_a_change_is_found_by_looking() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    let mut skipped = Skipped::default();
    std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
    let first = later(100);
    assert!(monitored.update(first, &mut living(), &mut skipped).unwrap());
    assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
    std::fs::write(dir.path().join("7abcdef"), message(22.0)).unwrap();
    let soon = Moment {
        instant: first.instant + Duration::from_millis(100),
        ..first
    };
    assert!(!monitored.update(soon, &mut living(), &mut skipped).unwrap(), "not yet");
    assert!(monitored.update(later(1200), &mut living(), &mut skipped).unwrap());
    assert_eq!(rate(&monitored, "7abcdef"), Some(22.0));
    std::fs::remove_file(dir.path().join("7abcdef")).unwrap();
    assert!(monitored.update(later(2300), &mut living(), &mut skipped).unwrap());
    assert!(monitored.files.all().is_empty());
}

#[test]
fn a_file_that_is_just_being_written_is_looked_at_again_soon() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    let path = dir.path().join("7abcdef");
    std::fs::write(&path, &message(1.0)[..5]).unwrap();
    let written = rustix::fs::stat(&path).unwrap();
    let wall = Timestamp::from_unix_nanos(written.st_mtime as u64 * 1_000_000_000 + written.st_mtime_nsec);
    let now = Moment {
        instant: Instant::now(),
        wall,
    };
    assert!(!update(&mut monitored, now));
    assert!(monitored.due().unwrap() - now.instant < Duration::from_millis(100));
}

#[test]
fn a_file_that_was_written_since_the_run_has_begun_is_looked_at_again_soon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("7abcdef");
    std::fs::write(&path, message(22.0)).unwrap();
    let written = rustix::fs::stat(&path).unwrap();
    let written = written.st_mtime as u64 * 1_000_000_000 + written.st_mtime_nsec;
    let now = Moment {
        instant: Instant::now(),
        wall: Timestamp::from_unix_nanos(written - 1),
    };
    let mut young = monitored(dir.path(), None);
    update(&mut young, now);
    assert!(young.is_incomplete() && rate(&young, "7abcdef").is_none());
    // A clock that was set back makes none young.
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::now() + Duration::from_hours(1))
        .unwrap();
    let mut ahead = monitored(dir.path(), None);
    assert!(update(&mut ahead, now));
    assert_eq!(rate(&ahead, "7abcdef"), Some(22.0));
}

#[test]
fn a_file_that_is_just_being_written_in_a_crowd_is_looked_at_again_soon() {
    for watched in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        for nth in 0..MAX_FILES + 50 {
            std::fs::write(dir.path().join(format!("{}abcdef", 4_194_400 + nth)), message(1.0)).unwrap();
        }
        let live = format!("{}abcdef", std::process::id());
        std::fs::write(dir.path().join(&live), message(22.0)).unwrap();
        let written = rustix::fs::stat(dir.path().join(&live)).unwrap();
        let wall = written.st_mtime as u64 * 1_000_000_000 + written.st_mtime_nsec;
        let begun = Instant::now();
        let at = |ms: u64| Moment {
            instant: begun + Duration::from_millis(ms),
            wall: Timestamp::from_unix_nanos(wall + ms * 1_000_000),
        };
        let watch = Watch::new().unwrap();
        let mut monitored = monitored(dir.path(), watched.then_some(&watch));
        update(&mut monitored, at(1));
        assert_eq!(rate(&monitored, &live), None);
        assert!(monitored.due().unwrap() <= begun + Duration::from_millis(100));
        assert!(update(&mut monitored, at(60)));
        assert_eq!(rate(&monitored, &live), Some(22.0));
        assert!(!monitored.lacks_events() && !monitored.is_incomplete());
        assert!(
            monitored.due().unwrap() >= begun + UNWATCHED,
            "the crowd is not looked at again"
        );
    }
}

#[test]
fn a_file_that_is_always_just_being_written_is_read_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    let path = dir.path().join("7abcdef");
    std::fs::write(&path, message(22.0)).unwrap();
    let (begun, wall) = (Instant::now(), Timestamp::now().unix_nanos());
    for ms in (0..=u64::from(ATTEMPTS)).map(|nth| nth * 50) {
        assert_eq!(rate(&monitored, "7abcdef"), None, "{ms}");
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        let written = std::time::UNIX_EPOCH + Duration::from_nanos(wall + ms * 1_000_000);
        file.set_modified(written).unwrap();
        let now = Moment {
            instant: begun + Duration::from_millis(ms),
            wall: Timestamp::from_unix_nanos(wall + ms * 1_000_000 + 1),
        };
        update(&mut monitored, now);
    }
    assert_eq!(rate(&monitored, "7abcdef"), Some(22.0));
}

#[test]
fn a_file_system_without_events_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let watch = Watch::new().unwrap();
    let mut monitored = monitored(dir.path(), Some(&watch));
    monitored.watch = Some(watch::add(&watch.watches(), elsewhere.path()).unwrap());
    update(&mut monitored, later(0));
    std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
    update(&mut monitored, later(5_100));
    assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
    assert!(!monitored.lacks_events(), "its event may be on its way");
    update(&mut monitored, later(6_200));
    assert!(monitored.lacks_events());
}

#[test]
fn a_file_written_just_before_its_directory_was_watched_is_no_lack_of_events() {
    for others in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        for name in ["7abcdef", "8abcdef"].iter().take(1 + others) {
            std::fs::write(dir.path().join(name), message(1.0)).unwrap();
        }
        let watch = Watch::new().unwrap();
        let mut monitored = monitored(dir.path(), Some(&watch));
        let written = rustix::fs::stat(dir.path().join("7abcdef")).unwrap();
        let wall = written.st_mtime as u64 * 1_000_000_000 + written.st_mtime_nsec;
        let begun = Instant::now();
        let at = |ms: u64| Moment {
            instant: begun + Duration::from_millis(ms),
            wall: Timestamp::from_unix_nanos(wall + ms * 1_000_000),
        };
        for ms in [1, 10, 60, 1_100, 2_200, 5_000] {
            update(&mut monitored, at(ms));
        }
        assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
        assert!(!monitored.lacks_events());
        assert!(monitored.due().unwrap() >= begun + Duration::from_secs(5), "not polled");
    }
}

#[test]
fn files_that_take_the_place_of_others_are_no_lack_of_events() {
    let dir = tempfile::tempdir().unwrap();
    let name = |nth: usize| dir.path().join(format!("{}abcdef", 4_194_400 + nth));
    for nth in 0..MAX_FILES + 50 {
        std::fs::write(name(nth), message(1.0)).unwrap();
    }
    let watch = Watch::new().unwrap();
    let mut monitored = monitored(dir.path(), Some(&watch));
    update(&mut monitored, later(100));
    for nth in 0..100 {
        std::fs::remove_file(name(nth)).unwrap();
    }
    for at in [16_000, 17_500, 40_000] {
        update(&mut monitored, later(at));
    }
    assert_eq!(monitored.files.all().len(), MAX_FILES - 50);
    assert!(!monitored.lacks_events());
}

#[test]
fn a_directory_that_gives_an_event_after_all_is_not_polled_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let watch = Watch::new().unwrap();
    let mut monitored = monitored(dir.path(), Some(&watch));
    update(&mut monitored, later(0));
    // As a tool does that sets the time of a file that it has copied: there is no event for that.
    std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
    update(&mut monitored, later(5_100));
    update(&mut monitored, later(6_200));
    assert!(monitored.lacks_events());
    std::fs::write(dir.path().join("7abcdef"), message(2.0)).unwrap();
    monitored.on_event("7abcdef".into());
    update(&mut monitored, later(7_300));
    assert!(!monitored.lacks_events());
}

#[test]
fn a_file_that_cannot_be_read_or_a_late_event_does_not_mean_that_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let watch = Watch::new().unwrap();
    let mut monitored = monitored(dir.path(), Some(&watch));
    update(&mut monitored, later(0));
    let huge = std::fs::File::create(dir.path().join("8abcdef")).unwrap();
    huge.set_len(1 << 40).unwrap();
    std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
    monitored.on_event("8abcdef".into());
    let mut at = 5_100;
    for _ in 0..4 {
        update(&mut monitored, later(at));
        monitored.on_event("7abcdef".into());
        at += 5_100;
    }
    assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
    assert!(!monitored.lacks_events());
}

#[test]
fn a_cut_off_write_keeps_the_last_values_and_a_temporary_file_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    let mut skipped = Skipped::default();
    std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
    std::fs::write(dir.path().join("8abcdef.tmp"), message(1.0)).unwrap();
    monitored.update(later(100), &mut living(), &mut skipped).unwrap();
    for half in [0, 1, 4, 9] {
        std::fs::write(dir.path().join("7abcdef"), &message(9.0)[..half]).unwrap();
        monitored.on_event("7abcdef".into());
        monitored.on_event("8abcdef.tmp".into());
        monitored.update(later(200), &mut living(), &mut skipped).unwrap();
        assert_eq!(rate(&monitored, "7abcdef"), Some(1.0), "{half}");
    }
    assert_eq!(monitored.files.all().len(), 1);
    assert_eq!(skipped, Skipped::default(), "a write under way is no fault");
}

#[test]
fn files_that_grow_together_are_bounded_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    let mut skipped = Skipped::default();
    let large = |pid: usize| {
        let network = |n| ProtoMonInfo {
            network_name: format!("{n}"),
            ..ProtoMonInfo::default()
        };
        ProtoMon {
            pid: pid.to_string(),
            // The process id counts as one.
            networks_infos: (1..decode::MAX_ELEMENTS).map(network).collect(),
            ..ProtoMon::default()
        }
        .encode_to_vec()
    };
    let files = MAX_ELEMENTS / decode::MAX_ELEMENTS + 3;
    for small in [true, false] {
        for pid in 1..=files {
            let bytes = if small { message(1.0) } else { large(pid) };
            let name = format!("{pid}abcdef");
            std::fs::write(dir.path().join(&name), bytes).unwrap();
            monitored.on_event(name.into());
        }
        monitored.update(later(100), &mut living(), &mut skipped).unwrap();
    }
    assert_eq!(monitored.files.all().len(), files);
    assert!(monitored.files.all().values().map(File::elements).sum::<usize>() <= MAX_ELEMENTS);
    let left_out = skipped.0.get("too_many_new").copied().unwrap_or_default();
    assert!(left_out > 2 * decode::MAX_ELEMENTS as u64, "{left_out}");
}

#[test]
fn files_left_behind_make_room_for_one_that_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    for pid in 1..=MAX_FILES {
        std::fs::write(dir.path().join(format!("{pid}abcdef")), message(1.0)).unwrap();
    }
    update(&mut monitored, later(60_000));
    assert_eq!(monitored.files.all().len(), MAX_FILES);
    let live = dir.path().join("live");
    std::fs::write(&live, message(22.0)).unwrap();
    let now = later(60_100);
    let written = std::time::UNIX_EPOCH + Duration::from_nanos(now.wall.unix_nanos() - 50_000_000);
    let file = std::fs::File::options().append(true).open(&live).unwrap();
    file.set_modified(written).unwrap();
    monitored.on_event("live".into());
    let mut skipped = Skipped::default();
    assert!(monitored.update(now, &mut living(), &mut skipped).unwrap());
    assert_eq!(rate(&monitored, "live"), Some(22.0));
    assert_eq!(skipped, Skipped::default());
    assert!(monitored.files.all().len() <= MAX_FILES);
}

#[test]
fn what_is_no_monitor_file_is_counted_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    let mut skipped = Skipped::default();
    std::fs::write(dir.path().join("x"), b"\x0a\x01x\x12\x00").unwrap();
    std::fs::write(dir.path().join("y"), b"\x08\x01").unwrap();
    monitored.update(later(100), &mut living(), &mut skipped).unwrap();
    assert_eq!(skipped.0, BTreeMap::from([("malformed", 1), ("no_pid", 1)]));
    assert!(monitored.files.all().values().all(|file| file.latest().is_none()));
}

#[test]
fn a_file_that_becomes_unreadable_is_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    let path = dir.path().join(format!("{}abcdef", std::process::id()));
    let ours = ProtoMon {
        pid: std::process::id().to_string(),
        ..ProtoMon::default()
    };
    std::fs::write(&path, ours.encode_to_vec()).unwrap();
    update(&mut monitored, later(100));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(decode::MAX_BYTES + 1).unwrap();
    let now = later(60_000);
    update(&mut monitored, now);
    let words = monitored.unshown_in_words(None, now.instant, &mut living());
    assert!(words.len() == 1 && words[0].contains("more than the"), "{words:?}");
}

#[test]
fn a_storm_of_events_ends_the_watch_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let watch = Watch::new().unwrap();
    let mut monitored = monitored(dir.path(), Some(&watch));
    let now = Instant::now();
    update(&mut monitored, later(0));
    // Often, and no storm.
    for second in 0..3 {
        let at = now + Duration::from_secs(second);
        assert!((0..STORM).all(|_| !monitored.is_storm(at)), "{second}");
    }
    assert!(monitored.is_storm(now + Duration::from_secs(2)));
    monitored.watch = None;
    let (soon, calm) = (now + Duration::from_secs(4), now + CALM + Duration::from_secs(3));
    assert!(monitored.has_work(soon, true), "it is looked at");
    monitored.watch_with(&watch.watches(), soon);
    assert!(monitored.watch.is_none());
    monitored.watch_with(&watch.watches(), calm);
    assert!(monitored.watch.is_some());
}

#[test]
fn a_directory_gives_up_what_another_one_needs() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    for pid in 1..=100 {
        std::fs::write(dir.path().join(format!("{pid}abcdef")), message(1.0)).unwrap();
    }
    update(&mut monitored, later(100));
    assert_eq!(monitored.files.used(), (100, 100));
    monitored.files.limit(240, MAX_ELEMENTS - 50, 4);
    update(&mut monitored, later(200));
    assert_eq!(
        monitored.files.used(),
        (MAX_FILES / 4, MAX_FILES / 4),
        "its equal part of the files"
    );
    monitored.files.limit(0, MAX_ELEMENTS - 50, MAX_ELEMENTS / 40);
    update(&mut monitored, later(300));
    assert_eq!(monitored.files.used().1, 50, "and what is left of the elements");
}

#[test]
fn a_file_that_is_read_later_is_read_when_its_user_may() {
    let dir = tempfile::tempdir().unwrap();
    let mut monitored = monitored(dir.path(), None);
    let mut skipped = Skipped::default();
    let size = 3 << 20;
    for nth in 0..5 {
        let file = std::fs::File::create(dir.path().join(format!("{}abcdef", 4_194_400 + nth))).unwrap();
        file.set_len(size).unwrap();
    }
    let live = format!("{}abcdef", 4_194_410);
    std::fs::write(dir.path().join(&live), message(22.0)).unwrap();
    monitored.update(later(100), &mut living(), &mut skipped).unwrap();
    assert_eq!(skipped.0.get("deferred"), Some(&3), "two fit at once");
    assert_eq!(rate(&monitored, &live), Some(22.0), "and a small one");
    assert!(!monitored.lacks_events());
    for second in 1..8 {
        monitored
            .update(later(100 + second * 1_000), &mut living(), &mut skipped)
            .unwrap();
    }
    assert_eq!(monitored.files.all().len(), 6);
    assert!(!monitored.files.has_deferred());
}
