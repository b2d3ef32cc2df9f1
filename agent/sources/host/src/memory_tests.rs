use super::*;
use crate::testing::{Host, read, shown, value};
use accelscope_core::metric::Point;

/// Linux 6.1, without the lines that are not read.
const MEMINFO: &str = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     700 kB\nBuffers:           50 kB\n\
    Cached:           500 kB\nSwapCached:         1 kB\nSwapTotal:        400 kB\nSwapFree:         100 kB\nDirty: 0 kB\n";

fn points(text: &str) -> (Vec<Point>, Vec<Reason>) {
    let host = Host::with(&[("proc/meminfo", text)]);
    let mut memory = Memory::new(&host.roots());
    read(|out| memory.read(out))
}

#[test]
fn memory_and_swap_are_shown_in_bytes_and_shares() {
    let (points, reasons) = points(MEMINFO);
    assert_eq!(reasons, []);
    let kib = |size: u32| format!("{}", size * 1024);
    let expected = [
        format!("system.memory.limit  {}", kib(1000)),
        format!("system.memory.linux.available  {}", kib(700)),
        format!("system.memory.usage used {}", kib(300)),
        "system.memory.utilization used 0.3".to_owned(),
        format!("system.memory.usage free {}", kib(100)),
        "system.memory.utilization free 0.1".to_owned(),
        format!("system.memory.usage buffers {}", kib(50)),
        "system.memory.utilization buffers 0.05".to_owned(),
        format!("system.memory.usage cached {}", kib(500)),
        "system.memory.utilization cached 0.5".to_owned(),
        format!("system.paging.usage used {}", kib(300)),
        "system.paging.utilization used 0.75".to_owned(),
        format!("system.paging.usage free {}", kib(100)),
        "system.paging.utilization free 0.25".to_owned(),
    ];
    assert_eq!(shown(&points), expected);
}

#[test]
fn without_an_estimate_what_is_used_follows_from_the_rest() {
    let text = MEMINFO.replace("MemAvailable:     700 kB\n", "");
    let (points, reasons) = points(&text);
    assert_eq!(value(&points, "system.memory.usage", "used"), Some(350.0 * 1024.0));
    assert_eq!(value(&points, "system.memory.linux.available", ""), None);
    assert_eq!(reasons, []);
}

#[test]
fn without_swap_there_is_none() {
    let text = MEMINFO
        .replace("400 kB", "0 kB")
        .replace("SwapFree:         100", "SwapFree:         0");
    let (points, reasons) = points(&text);
    assert!(
        points
            .iter()
            .all(|point| !point.instrument.name.starts_with("system.paging"))
    );
    assert_eq!(reasons, []);
}

#[test]
fn a_part_larger_than_the_whole_is_left_out() {
    // As in containers, for which some of the lines are rewritten.
    let (points, reasons) = points(
        &MEMINFO
            .replace("700 kB", "9000 kB")
            .replace("100 kB\nDirty", "900 kB\nDirty"),
    );
    assert_eq!(value(&points, "system.memory.linux.available", ""), None);
    assert_eq!(value(&points, "system.memory.usage", "used"), Some(350.0 * 1024.0));
    assert_eq!(value(&points, "system.paging.usage", "used"), None);
    assert_eq!(reasons, [Reason::OutOfRange, Reason::OutOfRange]);
}

#[test]
fn a_bad_line_loses_itself() {
    for (bad, reason) in [
        ("MemFree:  x kB", Reason::Malformed),
        ("MemFree:  100", Reason::Malformed),
        ("MemFree:", Reason::Malformed),
        ("MemFree:  100 MB", Reason::Malformed),
        ("MemFree:  18446744073709551615 kB", Reason::OutOfRange),
    ] {
        let (points, reasons) = points(&MEMINFO.replace("MemFree:          100 kB", bad));
        assert_eq!(value(&points, "system.memory.usage", "free"), None, "{bad}");
        assert_eq!(
            value(&points, "system.memory.usage", "used"),
            Some(300.0 * 1024.0),
            "{bad}"
        );
        assert_eq!(reasons, [reason], "{bad}");
    }
    for none in ["", "MemTotal: 0 kB\n", "MemTotal: 1000 kB", "\n\n\0\n"] {
        let (points, reasons) = points(none);
        assert_eq!(shown(&points), [""; 0], "{none:?}");
        assert_eq!(reasons, [Reason::Malformed], "{none:?}");
    }
}
