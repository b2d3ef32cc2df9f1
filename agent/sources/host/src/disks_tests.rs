use super::*;
use crate::testing::{Host, read, shown, value};

/// Linux 6.18.
const SDA: &str = "   8       0 sda 108964 24319 4851162 26207 32346 256076 44206880 185445 0 17204 213543 12958 54 2405984 \
    1881 308 9\n";

#[test]
fn a_disk_is_shown_in_bytes_and_seconds_and_its_partitions_are_not() {
    let partition = SDA.replace("sda", "sda1");
    let host = Host::with(&[
        (
            "proc/diskstats",
            &format!("{SDA}{partition}   7 0 loop0 1 1 1 1 1 1 1 1 0 1 1\n   1 0 ram0 1 1 1 1 1 1 1 1 0 1 1\n"),
        ),
        ("sys/class/block/sda1/partition", "1\n"),
    ]);
    let mut disks = Disks::new(&host.roots());
    let (points, reasons) = read(|out| disks.read(out));
    let expected = [
        "system.disk.operations read,sda 108964".to_owned(),
        "system.disk.merged read,sda 24319".to_owned(),
        format!("system.disk.io read,sda {}", 4_851_162_u64 * 512),
        "system.disk.operation_time read,sda 26.207".to_owned(),
        "system.disk.operations write,sda 32346".to_owned(),
        "system.disk.merged write,sda 256076".to_owned(),
        format!("system.disk.io write,sda {}", 44_206_880_u64 * 512),
        "system.disk.operation_time write,sda 185.445".to_owned(),
        "system.disk.io_time sda 17.204".to_owned(),
    ];
    assert_eq!(shown(&points), expected);
    assert_eq!(reasons, []);
}

#[test]
fn hidden_paths_are_not_shown_and_a_disk_that_comes_back_is_looked_at_anew() {
    let host = Host::with(&[
        ("proc/diskstats", &SDA.replace("sda", "nvme0c0n1")),
        ("sys/class/block/nvme0c0n1/hidden", "1\n"),
    ]);
    let mut disks = Disks::new(&host.roots());
    assert!(read(|out| disks.read(out)).0.is_empty());
    host.write("sys/class/block/nvme0c0n1/hidden", "0\n");
    assert!(read(|out| disks.read(out)).0.is_empty(), "it is known");
    host.write("proc/diskstats", "");
    read(|out| disks.read(out));
    host.write("proc/diskstats", SDA.replace("sda", "nvme0c0n1"));
    assert_eq!(read(|out| disks.read(out)).0.len(), 9);
}

#[test]
fn a_counter_that_falls_begins_anew() {
    let host = Host::with(&[("proc/diskstats", SDA)]);
    let mut disks = Disks::new(&host.roots());
    let start = |points: &[accelscope_core::metric::Point]| points[0].start.unwrap();
    let (first, _) = read(|out| disks.read(out));
    host.write("proc/diskstats", SDA.replace("108964", "5"));
    let (second, _) = read(|out| disks.read(out));
    assert_eq!(value(&second, "system.disk.operations", "read,sda"), Some(5.0));
    assert!(start(&second) > start(&first));
    assert_eq!(start(&second), first[0].time);
}

#[test]
fn bad_lines_and_numbers_lose_themselves() {
    for (text, left, reason) in [
        (format!("garbage\n{SDA}"), 9, Reason::Malformed),
        (format!("   8 0 sdb 1 2 3\n{SDA}"), 9, Reason::Malformed),
        (SDA.replace("4851162", "-1"), 0, Reason::Malformed),
        (SDA.replace("4851162", "18446744073709551615"), 8, Reason::OutOfRange),
    ] {
        let host = Host::with(&[("proc/diskstats", &text)]);
        let mut disks = Disks::new(&host.roots());
        let (points, reasons) = read(|out| disks.read(out));
        assert_eq!(points.len(), left, "{text}");
        assert_eq!(reasons, [reason], "{text}");
    }
}

#[test]
fn so_many_are_shown_and_the_others_counted() {
    let lines: String = (0..300).map(|nth| SDA.replace("sda", &format!("dm-{nth}"))).collect();
    let host = Host::with(&[("proc/diskstats", &lines)]);
    let mut disks = Disks::new(&host.roots());
    let (points, reasons) = read(|out| disks.read(out));
    assert_eq!(points.len(), MAX_DISKS * 9);
    assert_eq!(reasons.len(), 300 - MAX_DISKS);
}

#[test]
fn a_name_that_is_not_utf_8_is_shown_and_never_as_another_s() {
    let host = Host::new();
    let line = |name: &[u8]| [b" 8 0 ", name, b" 1 2 3 4 5 6 7 8 9 10 11\n"].concat();
    host.write(
        "proc/diskstats",
        [line(b"sd\xc3"), line(b"sd\xff"), line(b"sda")].concat(),
    );
    let mut disks = Disks::new(&host.roots());
    let (points, reasons) = read(|out| disks.read(out));
    assert_eq!(value(&points, "system.disk.operations", "read,sd\u{fffd}"), Some(1.0));
    assert_eq!((points.len(), reasons), (18, vec![Reason::Ambiguous]));
}
