use super::*;
use crate::testing::{Host, context, value};
use accelscope_core::metric::Point;
use accelscope_core::sampler::Sampler as _;

fn sample(sampler: &mut Sampler) -> (Vec<Point>, Outcome) {
    let mut out = Vec::new();
    let outcome = sampler.sample(&mut out);
    (out.pop().map(|batch| batch.points).unwrap_or_default(), outcome)
}

fn host() -> Host {
    Host::with(&[
        ("proc/stat", "cpu 10 20 30 40 50 60 70 80 0 0\n"),
        (
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 300 kB\n",
        ),
        ("proc/loadavg", "4.60 3.14 1.44 7/113 25796\n"),
        ("proc/uptime", "456.22 181.71\n"),
        ("sys/devices/system/cpu/online", "0-1\n"),
        ("etc/hostname", "board\n"),
    ])
}

#[test]
fn a_host_without_proc_is_no_error_and_one_that_cannot_be_read_is() {
    let empty = Host::with(&[("etc/hostname", "board\n"), ("sys/devices/system/cpu/online", "0")]);
    let mut sampler = Sampler::new(&Settings::default(), &empty.context());
    let (points, outcome) = sample(&mut sampler);
    assert!(points.is_empty());
    assert!(matches!(outcome, Outcome::NothingHere(reason) if reason.contains("host.root")));
    std::fs::create_dir_all(empty.root().join("proc/uptime")).unwrap();
    assert!(matches!(sample(&mut sampler).1, Outcome::Retry(_)));
}

#[test]
fn what_is_missing_takes_nothing_else_along() {
    for missing in ["proc/stat", "proc/meminfo", "proc/loadavg", "proc/uptime"] {
        let host = host();
        host.remove(missing);
        let mut sampler = Sampler::new(&Settings::default(), &host.context());
        let (points, outcome) = sample(&mut sampler);
        assert!(matches!(outcome, Outcome::Sampled), "{missing}");
        for (file, name, attributes) in [
            ("proc/stat", "system.cpu.time", "user"),
            ("proc/meminfo", "system.memory.limit", ""),
            ("proc/loadavg", "system.cpu.load_average.15m", ""),
            ("proc/uptime", "system.uptime", ""),
            ("", "accel.host.info", "board"),
            ("", "system.cpu.logical.count", ""),
        ] {
            assert_eq!(
                value(&points, name, attributes).is_some(),
                file != missing,
                "{missing} {name}"
            );
        }
    }
}

#[test]
fn counters_begin_when_the_uptime_says_and_stay_there() {
    let host = host();
    let mut sampler = Sampler::new(&Settings::default(), &host.context());
    let begin = |points: &[Point]| {
        let time = points
            .iter()
            .find(|point| point.instrument.name == "system.cpu.time")
            .unwrap();
        (time.start.unwrap(), time.time)
    };
    let (start, time) = begin(&sample(&mut sampler).0);
    let age = time.since(start).as_secs_f64();
    assert!((age - 456.22).abs() < 60.0, "{age}");
    // As after the clock was set, or after the machine slept.
    host.write("proc/uptime", "9000.00 181.71\n");
    let (points, _) = sample(&mut sampler);
    assert_eq!(begin(&points).0, start);
    assert_eq!(value(&points, "system.uptime", ""), Some(9000.0));
}

#[test]
fn what_is_off_by_default_is_not_read() {
    let host = host();
    host.write("proc/diskstats", " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
    host.write(
        "proc/1/net/dev",
        "title\ntitle\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
    );
    let names = |settings: &Settings| {
        let (points, _) = sample(&mut Sampler::new(settings, &host.context()));
        let more = points.iter().map(|point| point.instrument.name);
        let more = more.filter(|name| name.contains(".disk.") || name.contains(".network."));
        more.count()
    };
    assert_eq!(names(&Settings::default()), 0);
    let settings = Settings {
        disks: true,
        network: true,
        ..Settings::default()
    };
    assert_eq!(names(&settings), 9 + 8);
}

/// Compared with another reader of the same files.
#[test]
fn this_machine_s_values_are_those_that_others_read() {
    use procfs::{Current, CurrentSI};
    let mut context = context(std::path::Path::new("/"));
    context.once = true;
    let mut sampler = Sampler::new(&Settings::default(), &context);
    let stat = || procfs::KernelStats::current();
    let ticks = |stat: &procfs::KernelStats| stat.total.user;
    let before = (stat(), procfs::Uptime::current().unwrap().uptime);
    let (points, _) = sample(&mut sampler);
    let after = (stat(), procfs::Uptime::current().unwrap().uptime);
    let value = |name, attributes| value(&points, name, attributes).unwrap_or_else(|| panic!("{name} {attributes}"));

    let uptime = value("system.uptime", "");
    assert!(
        before.1 <= uptime && uptime <= after.1,
        "{} {uptime} {}",
        before.1,
        after.1
    );
    if let (Ok(before), Ok(after)) = (before.0, after.0) {
        let user = value("system.cpu.time", "user") * 100.0;
        assert!(ticks(&before) as f64 <= user + 0.5 && user <= ticks(&after) as f64 + 0.5);
    }
    let memory = procfs::Meminfo::current().unwrap();
    assert!((value("system.memory.limit", "") - memory.mem_total as f64).abs() < 1.0);
    let available = memory.mem_available.unwrap() as f64;
    let ours = value("system.memory.linux.available", "");
    assert!(
        (ours - available).abs() < 0.2 * memory.mem_total as f64,
        "{ours} {available}"
    );
    let load = procfs::LoadAverage::current().unwrap();
    assert!((value("system.cpu.load_average.15m", "") - f64::from(load.fifteen)).abs() < 1.0);

    // A single reading has a utilization, whose modes are all of the time.
    let modes = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];
    let sum: f64 = modes.map(|mode| value("system.cpu.utilization", mode)).iter().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    let info = points
        .iter()
        .find(|point| point.instrument.name == "accel.host.info")
        .unwrap();
    let kernel = rustix::system::uname().release().to_str().unwrap().to_owned();
    assert_eq!(info.attributes.text("accel.host.kernel_version"), Some(kernel.as_str()));
}

/// Texts of the kernel, each of which a case damages.
const TEXTS: [(&str, &str); 12] = [
    ("proc/stat", "cpu  10 20 30 40 50 60 70 80 0 0\ncpu0 10 20 30 40\n"),
    (
        "proc/meminfo",
        "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 300 kB\nSwapTotal: 8 kB\nSwapFree: 8 kB\n",
    ),
    ("proc/loadavg", "4.60 3.14 1.44 7/113 25796\n"),
    ("proc/uptime", "456.22 181.71\n"),
    (
        "proc/pressure/cpu",
        "some avg10=72.50 avg60=67.06 avg300=46.14 total=225647118\n",
    ),
    (
        "proc/diskstats",
        " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\n",
    ),
    (
        "proc/1/net/dev",
        "title\ntitle\n eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
    ),
    (
        "proc/1/mountinfo",
        "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda\\040x rw\n",
    ),
    (
        "proc/cpuinfo",
        "processor : 0\nphysical id : 0\ncore id : 0\nmodel name : x\n",
    ),
    ("sys/devices/system/cpu/online", "0-3,8\n"),
    ("etc/os-release", "NAME=\"a \\\"b\\\" c\"\nVERSION_ID='12'\n"),
    ("etc/hostname", "board\n"),
];

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    #[test]
    fn no_text_makes_it_fail_or_show_what_is_no_number(
        damaged in 0..TEXTS.len(),
        at in 0..80_usize,
        length in 0..20_usize,
        by in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
    ) {
        let host = Host::with(&TEXTS);
        let settings = Settings { disks: true, filesystems: true, network: true, ..Settings::default() };
        let mut sampler = Sampler::new(&settings, &host.context());
        let before = sample(&mut sampler).0;
        let (path, text) = TEXTS[damaged];
        let mut text = text.as_bytes().to_vec();
        let at = at.min(text.len());
        text.splice(at..(at + length).min(text.len()), by);
        host.write(path, text);
        sampler.looked = None;
        let (points, outcome) = sample(&mut sampler);
        proptest::prop_assert!(matches!(outcome, Outcome::Sampled));
        for point in &points {
            let value = point.value.as_f64().unwrap();
            proptest::prop_assert!(value.is_finite() && value >= 0.0, "{point:?}");
            proptest::prop_assert!(point.start.is_none_or(|start| start <= point.time));
            proptest::prop_assert!(point.value.is_valid_for(point.instrument));
        }
        // The others lose nothing.
        let of_cpu = |points: &[Point]| points.iter().filter(|point| point.instrument.name == "system.cpu.time").count();
        proptest::prop_assert!(path == "proc/stat" || of_cpu(&points) == of_cpu(&before));
    }
}
