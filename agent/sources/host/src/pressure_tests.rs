use super::*;
use crate::testing::{Host, read, shown};

const TEXT: &str = "some avg10=72.50 avg60=67.06 avg300=46.14 total=225647118\n\
    full avg10=1.00 avg60=0.00 avg300=0.00 total=3000000\n";

#[test]
fn each_resource_has_a_share_and_a_total() {
    let host = Host::new();
    for name in ["cpu", "memory", "io"] {
        host.write(&format!("proc/pressure/{name}"), TEXT);
    }
    let mut pressure = Pressure::new(&host.roots());
    let (points, reasons) = read(|out| pressure.read(out));
    assert_eq!(reasons, []);
    let [some, full] = [
        [
            "system.linux.pressure.ratio {},some 0.725",
            "system.linux.pressure.time {},some 225.647118",
        ],
        [
            "system.linux.pressure.ratio {},full 0.01",
            "system.linux.pressure.time {},full 3",
        ],
    ];
    // A whole machine's CPUs are never all kept from working by one another.
    let expected = [
        ("cpu", some),
        ("memory", some),
        ("memory", full),
        ("io", some),
        ("io", full),
    ];
    let expected: Vec<_> = expected
        .iter()
        .flat_map(|(name, lines)| lines.map(|line| line.replace("{}", name)))
        .collect();
    assert_eq!(shown(&points), expected);
}

#[test]
fn a_kernel_without_it_has_none_and_it_is_not_counted() {
    let host = Host::new();
    let mut pressure = Pressure::new(&host.roots());
    let (points, reasons) = read(|out| pressure.read(out));
    assert_eq!((points.len(), reasons.len()), (0, 0));
    // Before Linux 5.13 the CPU's file has one line.
    host.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    let (points, reasons) = read(|out| pressure.read(out));
    assert_eq!((points.len(), reasons.len()), (2, 0));
}

#[test]
fn bad_values_lose_themselves() {
    let host = Host::new();
    for (text, left, expected) in [
        ("some avg10=101.00 total=1\n", 1, vec![Reason::OutOfRange]),
        ("some avg10=nan total=1\n", 1, vec![Reason::Malformed]),
        (
            "some avg10=-1 total=-1\n",
            0,
            vec![Reason::Malformed, Reason::Malformed],
        ),
        (
            "some avg10=1.0 total=18446744073709551615\n",
            1,
            vec![Reason::OutOfRange],
        ),
        ("some\n", 0, vec![Reason::Malformed, Reason::Malformed]),
        ("other avg10=1 total=1\n\0\n", 0, vec![]),
    ] {
        host.write("proc/pressure/io", text);
        let mut pressure = Pressure::new(&host.roots());
        let (points, reasons) = read(|out| pressure.read(out));
        assert_eq!(points.len(), left, "{text}");
        assert_eq!(reasons, expected, "{text}");
    }
}
