//! The Hailo sampler on a real kernel: monitor files that applications write, leave behind and damage.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

mod hailo_support;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant, SystemTime};

use accelscope_core::sampler::{Outcome, Sampler as _};
use accelscope_hailo::Settings;
use hailo_support::{Host, PATIENCE, Process, is, monitor, pids, value, write_and_rename, write_in_place};

const RATE: &str = "hailo.network.frame_rate";
const FRAMES: &str = "hailo.network.frames";
const PROCESS: &str = "hailo.process.utilization";
const DEVICE: &str = "hw.npu.utilization";
const ACTIVE: &str = "hailo.monitor.active";
/// A watched directory is scanned 5 s after the last change that was found: one that is seen well before came from an event.
const LOOK: Duration = Duration::from_secs(4);

#[test]
fn both_ways_of_writing_are_shown_as_they_happen() {
    for write in [write_in_place, write_and_rename] {
        let host = Host::new().with_device().with_dir();
        let writer = Process::new();
        let name = format!("{}abcdef", writer.pid());
        let mut run = host.run(host.settings());
        run.until("the idle device", |points| is(points, ACTIVE, 0.0));
        let took = (1..=5).map(|step| {
            write(&host.dir(), &name, &monitor(writer.pid(), f64::from(step), 50.0));
            run.until("a write", |points| is(points, RATE, f64::from(step)))
        });
        assert!(took.min() < Some(LOOK), "woken by none of the writes");
        assert_eq!(pids(run.points(), PROCESS), [writer.pid()]);
        assert!(is(run.points(), DEVICE, 0.5) && is(run.points(), ACTIVE, 1.0));
        fs::remove_file(host.dir().join(&name)).unwrap();
        run.until("the end of the file", |points| {
            value(points, PROCESS).is_none() && is(points, ACTIVE, 0.0)
        });
    }
}

#[test]
fn a_file_that_waits_for_a_search_is_not_overtaken_by_new_ones_of_its_user() {
    let host = Host::new().with_device().with_dir();
    let writer = Process::new();
    let mut run = host.run(host.settings());
    run.once();
    // Of processes that have ended. Their names come first, and they are too many for one run.
    let name = |nth: u32, round: u32| host.dir().join(format!("{}a{round:05}", 4_194_400 + nth));
    for nth in 0..64 {
        fs::write(name(nth, 0), monitor(4_194_400 + nth, 1.0, 1.0)).unwrap();
    }
    write_in_place(&host.dir(), "zzabcdef", &monitor(writer.pid(), 30.0, 50.0));
    let begun = Instant::now();
    let mut rounds = 0;
    loop {
        run.once();
        if is(run.points(), RATE, 30.0) {
            break;
        }
        for nth in 0..64 {
            fs::rename(name(nth, rounds), name(nth, rounds + 1)).unwrap();
        }
        rounds += 1;
        assert!(begun.elapsed() < PATIENCE, "not in {rounds} rounds");
        run.sampler.wait(Instant::now() + Duration::from_millis(200));
    }
    assert_eq!(pids(run.points(), PROCESS), [writer.pid()]);
}

/// With `relatime` the first reading of each new version would be written to the disk (or card).
#[test]
fn no_time_of_access_is_written_for_a_reading() {
    let host = Host::new().with_dir();
    let writer = Process::new();
    let path = host.dir().join(format!("{}abcdef", writer.pid()));
    let begin = || {
        write_in_place(
            &host.dir(),
            path.file_name().unwrap().to_str().unwrap(),
            &monitor(writer.pid(), 30.0, 50.0),
        );
        let long_ago = fs::FileTimes::new().set_accessed(SystemTime::now() - Duration::from_hours(1));
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_times(long_ago)
            .unwrap();
        fs::metadata(&path).unwrap().accessed().unwrap()
    };
    let accessed = || fs::metadata(&path).unwrap().accessed().unwrap();
    let before = begin();
    fs::read(&path).unwrap();
    assert_ne!(accessed(), before, "this file system is mounted with noatime");
    let before = begin();
    let mut run = host.run(host.settings());
    run.until("the file", |points| is(points, RATE, 30.0));
    assert_eq!(accessed(), before);
}

#[test]
fn a_truncated_file_keeps_the_last_values_until_their_age_limit() {
    let host = Host::new().with_dir();
    let writer = Process::new();
    let name = format!("{}abcdef", writer.pid());
    let limit = Duration::from_secs(2);
    let mut settings = host.settings();
    settings.max_age = Some(limit);
    let mut run = host.run(settings);
    run.once();
    let begun = Instant::now();
    // Where the machine stands still meanwhile, the limit has passed, and it shows nothing.
    let written = loop {
        let written = Instant::now();
        write_in_place(&host.dir(), &name, &monitor(writer.pid(), 30.0, 50.0));
        run.once();
        let was_shown = is(run.points(), RATE, 30.0);
        write_in_place(&host.dir(), &name, &[]);
        run.once();
        let is_kept = is(run.points(), RATE, 30.0);
        if written.elapsed() < limit {
            assert!(was_shown && is_kept, "{was_shown} {is_kept}");
            break written;
        }
        assert!(begun.elapsed() < PATIENCE, "two looks take more than {limit:?}");
    };
    run.until("the age limit", <[_]>::is_empty);
    assert!(written.elapsed() > limit, "not before it");
    let Outcome::NothingHere(reason) = run.once() else {
        panic!("there is nothing")
    };
    let file = host.dir().join(&name);
    assert!(reason.contains(&format!("{} is empty", file.display())), "{reason}");
}

#[test]
fn a_stopped_writers_values_end_by_age_though_it_lives() {
    let host = Host::new().with_dir();
    let writer = Process::new();
    let mut settings = host.settings();
    settings.max_age = Some(Duration::from_secs(1));
    let mut run = host.run(settings);
    let begun = Instant::now();
    while !is(run.points(), RATE, 30.0) {
        assert!(begun.elapsed() < PATIENCE, "the file is never shown");
        write_in_place(&host.dir(), "1", &monitor(writer.pid(), 30.0, 50.0));
        run.once();
    }
    run.until("the age limit", <[_]>::is_empty);
}

#[test]
fn a_killed_writers_file_never_shows_as_live() {
    let host = Host::new().with_device().with_dir();
    let mut writer = Process::new();
    let name = format!("{}abcdef", writer.pid());
    let mut run = host.run(host.settings());
    write_in_place(&host.dir(), &name, &monitor(writer.pid(), 30.0, 50.0));
    run.until("the file", |points| is(points, DEVICE, 0.5));
    writer.kill();
    run.until("its end", |points| {
        value(points, DEVICE).is_none() && is(points, ACTIVE, 0.0)
    });
    let mut later = host.run(host.settings());
    for _ in 0..3 {
        later.once();
        assert_eq!(
            value(later.points(), DEVICE),
            None,
            "nor to an agent that starts after it"
        );
    }
    assert!(host.dir().join(name).exists());
}

#[test]
fn two_files_that_fit_one_process_are_shown_without_it_until_one_is_left() {
    let host = Host::new().with_device().with_dir();
    let writer = Process::new();
    let mut run = host.run(host.settings());
    // Two containers with the same id inside write into one directory; one of them was killed.
    write_in_place(&host.dir(), "deadaaaaaa", &monitor(writer.pid(), 30.0, 30.0));
    write_in_place(&host.dir(), "alivebbbbbb", &monitor(writer.pid(), 15.0, 20.0));
    run.until("both files", |points| is(points, DEVICE, 0.5));
    assert!(is(run.points(), PROCESS, 0.5), "shown");
    assert!(pids(run.points(), PROCESS).is_empty(), "without a process");
    fs::remove_file(host.dir().join("deadaaaaaa")).unwrap();
    run.until("the one that is left", |points| {
        is(points, DEVICE, 0.2) && pids(points, PROCESS) == [writer.pid()]
    });
}

#[test]
fn a_file_that_is_older_than_its_process_is_of_another_one() {
    let host = Host::new().with_dir();
    let process = Process::new();
    let name = format!("{}abcdef", process.pid());
    write_in_place(&host.dir(), &name, &monitor(process.pid(), 30.0, 50.0));
    let file = File::options().write(true).open(host.dir().join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_mins(30)).unwrap();
    let mut run = host.run(Settings {
        max_age: Some(Duration::from_hours(1)),
        ..host.settings()
    });
    run.once();
    assert!(
        run.points().is_empty(),
        "the pid was given to a new process: {:?}",
        run.points()
    );
}

#[test]
fn the_directory_may_come_late_go_and_come_again() {
    let host = Host::new();
    let writer = Process::new();
    let mut run = host.run(host.settings());
    assert!(matches!(run.once(), Outcome::NothingHere(_)));
    let took = (1..=3).map(f64::from).map(|step| {
        fs::create_dir(host.dir()).unwrap();
        write_in_place(&host.dir(), "1", &monitor(writer.pid(), step, 50.0));
        let found = run.until("the directory", |points| is(points, RATE, step));
        write_in_place(&host.dir(), "1", &monitor(writer.pid(), step + 0.5, 50.0));
        let seen = run.until("a write in it", |points| is(points, RATE, step + 0.5));
        fs::remove_dir_all(host.dir()).unwrap();
        run.until("its end", <[_]>::is_empty);
        (found, seen)
    });
    let (found, seen): (Vec<_>, Vec<_>) = took.unzip();
    assert!(found[1..].iter().min() < Some(&LOOK), "its end is noticed: {found:?}");
    assert!(seen.iter().min() < Some(&LOOK), "it is watched: {seen:?}");
    fs::create_dir(host.dir()).unwrap();
    write_in_place(&host.dir(), "1", &monitor(writer.pid(), 7.0, 50.0));
    run.until("the directory", |points| is(points, RATE, 7.0));
    let elsewhere = host.tmp.path().join("elsewhere");
    fs::rename(host.dir(), &elsewhere).unwrap();
    fs::create_dir(host.dir()).unwrap();
    write_in_place(&host.dir(), "2", &monitor(writer.pid(), 8.0, 50.0));
    run.until("the directory that took its place", |points| is(points, RATE, 8.0));
}

#[test]
fn what_strangers_plant_neither_shows_nor_stops_anything() {
    let host = Host::new().with_dir();
    let writer = Process::new();
    let secret = host.tmp.path().join("secret");
    fs::write(&secret, monitor(writer.pid(), 99.0, 99.0)).unwrap();
    symlink(&secret, host.dir().join("1")).unwrap();
    let fifo = host.dir().join("2");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
    fs::create_dir(host.dir().join("3")).unwrap();
    File::create(host.dir().join("4")).unwrap().set_len(1 << 40).unwrap();
    fs::write(host.dir().join("5"), [0xff; 4096]).unwrap();
    fs::write(
        host.dir().join("6"),
        [b"\x0a\x011".to_vec(), [0x12, 0].repeat(1 << 20)].concat(),
    )
    .unwrap();
    let mut run = host.run(host.settings());
    run.once();
    assert!(run.points().is_empty());
    write_in_place(&host.dir(), "7", &monitor(writer.pid(), 30.0, 50.0));
    run.until("the one real file", |points| is(points, RATE, 30.0));
    fs::remove_file(host.dir().join("7")).unwrap();
    symlink(&secret, host.dir().join("7")).unwrap();
    run.until("its end", <[_]>::is_empty);
}

#[test]
fn a_directory_that_is_a_link_is_refused_with_a_remedy() {
    let host = Host::new();
    symlink("/etc", host.dir()).unwrap();
    let mut run = host.run(host.settings());
    let Outcome::Retry(error) = run.once() else {
        panic!("a link is no directory of monitor files")
    };
    assert!(error.to_string().contains("set hailo.dir to its target"), "{error}");
}

#[test]
fn what_was_lost_with_an_overflow_is_found_by_looking() {
    let bound: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let host = Host::new().with_dir();
    let writer = Process::new();
    let mut run = host.run(host.settings());
    run.once();
    let mut took = (1..=3).map(f64::from).map(|round| {
        // Neighbours differ: the kernel merges an event with an equal one before it.
        for step in 0..=bound {
            write_in_place(&host.dir(), if step % 2 == 0 { "1" } else { "2" }, &[]);
        }
        write_in_place(&host.dir(), "3", &monitor(writer.pid(), round, 50.0));
        run.until("the file whose event was lost", |points| is(points, RATE, round))
    });
    assert!(took.any(|took| took < LOOK), "found by none of the overflows");
}

#[test]
fn every_write_counts_however_seldom_readings_are_handed_on() {
    // Where the machine stands still between two writes, their times are not believed, and more may be handed on.
    let is_quick = (0..20).any(|_| is_counted_unless_slow());
    assert!(is_quick, "the writes are never made within two seconds");
}

/// Fails if a write is not counted; `false` where the writes took too long for that.
fn is_counted_unless_slow() -> bool {
    let host = Host::new().with_dir();
    let writer = Process::new();
    let name = format!("{}abcdef", writer.pid());
    let mut settings = host.settings();
    settings.min_interval = Duration::from_secs(2);
    let mut run = host.run(settings);
    run.once();
    let (begun, quick) = (SystemTime::now(), Instant::now());
    // Writes of 30 frames a second, a second apart by their times, made in quick succession.
    for step in 0..=10 {
        write_and_rename(&host.dir(), &name, &monitor(writer.pid(), 30.0, 50.0));
        let file = File::options().append(true).open(host.dir().join(&name)).unwrap();
        file.set_modified(begun + Duration::from_secs(step)).unwrap();
        drop(file);
        run.once();
    }
    if quick.elapsed() >= Duration::from_secs(2) {
        return false;
    }
    let quick = run.batches.len();
    assert!(quick <= 2, "{quick} batches within a moment");
    run.until("the frames of every write", |points| {
        value(points, FRAMES).is_some_and(|frames| frames >= 300.0)
    });
    let frames = run
        .points()
        .iter()
        .find(|point| point.instrument.name == FRAMES)
        .unwrap();
    assert!(is(run.points(), FRAMES, 300.0), "{frames:?}");
    assert!(frames.start.is_some_and(|start| start <= frames.time));
    true
}

#[test]
fn several_writers_on_one_device_add_up() {
    let host = Host::new().with_device().with_dir();
    let writers = [Process::new(), Process::new()];
    for writer in &writers {
        write_in_place(
            &host.dir(),
            &format!("{}abcdef", writer.pid()),
            &monitor(writer.pid(), 30.0, 30.0),
        );
    }
    let mut run = host.run(host.settings());
    run.until("both", |points| is(points, DEVICE, 0.6));
    let mut expected = writers.each_ref().map(Process::pid);
    expected.sort_unstable();
    assert_eq!(pids(run.points(), PROCESS), expected);
}

#[test]
fn many_new_writers_are_all_shown_before_one_of_them_would_write_again() {
    const WRITERS: usize = 64;
    let host = Host::new().with_device().with_dir();
    let mut run = host.run(Settings {
        min_interval: Duration::from_secs(1),
        ..host.settings()
    });
    run.until("the idle device", |points| is(points, ACTIVE, 0.0));
    let writers: Vec<_> = (0..WRITERS).map(|_| Process::new()).collect();
    for writer in &writers {
        let name = format!("{}abcdef", writer.pid());
        write_in_place(&host.dir(), &name, &monitor(writer.pid(), 30.0, 1.0));
    }
    let runs = (1..=2 * WRITERS).find(|_| {
        run.sampler.wait(Instant::now() + Duration::from_secs(60));
        run.once();
        pids(run.points(), PROCESS).len() == WRITERS
    });
    // Eight are searched for in one run; a run a second would be 60 s apart here.
    assert!(runs.is_some_and(|runs| runs <= WRITERS / 8 + 8), "{runs:?} runs");
}

#[test]
fn without_proc_files_are_shown_without_their_process() {
    let host = Host::new().with_device().with_dir();
    fs::remove_file(host.root().join("proc")).unwrap();
    write_in_place(&host.dir(), "7abcdef", &monitor(7, 30.0, 30.0));
    let mut run = host.run(host.settings());
    run.until("the file", |points| is(points, DEVICE, 0.3));
    assert!(is(run.points(), PROCESS, 0.3));
    assert!(pids(run.points(), PROCESS).is_empty());
}
