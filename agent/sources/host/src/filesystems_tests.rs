use super::*;
use crate::testing::{Host, read, shown, value};
use accelscope_core::metric::Point;

/// A host on which the file system of a directory of the test is mounted, as `kind`.
fn host(points: &[(&str, &str)]) -> Host {
    let host = Host::new();
    let mut lines = String::new();
    for (point, kind) in points {
        let path = host.root().join(point.trim_start_matches('/'));
        std::fs::create_dir_all(&path).unwrap();
        let device = rustix::fs::stat(&path).unwrap().st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        lines += &format!("30 1 {major}:{minor} / {point} rw,relatime - {kind} /dev/x rw\n");
    }
    host.write("proc/1/mountinfo", lines);
    host
}

fn points(host: &Host) -> (Vec<Point>, Vec<Reason>) {
    let mut filesystems = Filesystems::new(&host.roots());
    read(|out| {
        filesystems.update(out);
        filesystems.read(out);
    })
}

#[test]
fn the_space_is_what_df_says() {
    let host = host(&[("/data", "ext4")]);
    let (points, reasons) = points(&host);
    assert_eq!(reasons, []);
    let of = |state: &str| {
        value(
            &points,
            "system.filesystem.usage",
            &format!("/dev/x,rw,/data,{state},ext4"),
        )
    };
    let [used, free, reserved] = ["used", "free", "reserved"].map(|state| of(state).unwrap());
    let limit = value(&points, "system.filesystem.limit", "/dev/x,rw,/data,ext4").unwrap();
    assert!((used + free + reserved - limit).abs() < 1.0);
    let df = std::process::Command::new("df")
        .args(["-B1", "--output=size"])
        .arg(host.root().join("data"))
        .output()
        .unwrap();
    let df = String::from_utf8(df.stdout).unwrap();
    let size: f64 = df.lines().last().unwrap().trim().parse().unwrap();
    assert!((size - limit).abs() < 1.0, "{size} {limit}");
    assert!(
        shown(&points)
            .iter()
            .any(|line| line.starts_with("system.filesystem.utilization "))
    );
}

#[test]
fn what_is_not_mounted_where_the_agent_looks_is_not_taken_for_what_is() {
    let host = host(&[("/data", "ext4")]);
    host.write(
        "proc/1/mountinfo",
        "30 1 250:77 / /data rw - ext4 /dev/y rw\n31 1 250:78 / /gone rw - xfs /dev/z rw\n",
    );
    let (points, reasons) = points(&host);
    assert_eq!((points.len(), reasons.len()), (0, 0));
}

#[test]
fn one_that_does_not_answer_costs_its_own_points_and_is_not_asked_again() {
    let host = host(&[("/data", "ext4")]);
    let mut filesystems = Filesystems::new(&host.roots());
    read(|out| filesystems.update(out));
    // As a call that has not returned in its time.
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let call = filesystems.local.start(move || {
        ends.recv().ok();
        Ok(None)
    });
    filesystems.hung.insert("/data".into(), call.unwrap());
    for _ in 0..2 {
        let (points, reasons) = read(|out| filesystems.read(out));
        assert_eq!((points.len(), reasons), (0, vec![Reason::NoAnswer]));
    }
    end.send(()).unwrap();
    let begun = Instant::now();
    while read(|out| filesystems.read(out)).0.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(120));
        std::thread::yield_now();
    }
}

#[test]
fn numbers_that_contradict_each_other_are_no_space() {
    assert_eq!(by_state(4096, 100, 60, 50), Some([40 * 4096, 50 * 4096, 10 * 4096]));
    assert_eq!(
        by_state(4096, 100, 60, 0_u64.wrapping_sub(5)),
        Some([40 * 4096, 0, 60 * 4096])
    );
    for (size, blocks, free, available) in [
        (4096, 100, 101, 50),
        (4096, 100, 60, 61),
        (u64::MAX, 100, 60, 50),
        (1, u64::MAX, 0, 0),
    ] {
        assert_eq!(by_state(size, blocks, free, available), None);
    }
}

#[test]
fn a_mount_point_that_is_not_utf_8_is_shown_and_never_as_another_s() {
    use std::os::unix::ffi::OsStrExt;
    let host = Host::new();
    let mut lines = Vec::new();
    for (nth, name) in [b"data-\xfe", b"data-\xff"].into_iter().enumerate() {
        let path = host.root().join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(&path).unwrap();
        let device = rustix::fs::stat(&path).unwrap().st_dev;
        // The second is another file system.
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device) + nth as u32);
        lines.extend_from_slice(format!("30 1 {major}:{minor} / /").as_bytes());
        lines.extend_from_slice(name);
        lines.extend_from_slice(b" rw,relatime - ext4 /dev/x rw\n");
    }
    host.write("proc/1/mountinfo", lines);
    let (points, reasons) = points(&host);
    assert_eq!(reasons, [Reason::Ambiguous]);
    assert!(value(&points, "system.filesystem.limit", "/dev/x,rw,/data-\u{fffd},ext4").is_some());
}
