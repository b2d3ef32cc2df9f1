use super::*;
use crate::testing::{Host, read, shown, value};

const DEV: &str = "Inter-|   Receive                                                |  Transmit\n \
    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier \
    compressed\n\
    \x20   lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0\n\
    \x20 eth0: 643706518   41190    1    2    0     0          0         0  3218011   29711    3    4    0     0       0          0\n";

fn host(dev: &str) -> Host {
    let host = Host::with(&[("proc/1/net/dev", dev)]);
    host.write("sys/class/net/lo/mtu", "");
    host.write("sys/class/net/eth0/device/vendor", "");
    host
}

#[test]
fn interfaces_of_hardware_are_shown() {
    let host = host(DEV);
    // Of the reader's own namespace.
    host.write("proc/net/dev", DEV.replace("eth0", "cni0"));
    let mut network = Network::new(&host.roots());
    let (points, reasons) = read(|out| network.read(out));
    let expected = [
        "system.network.io eth0,receive 643706518",
        "system.network.packet.count receive,eth0 41190",
        "system.network.errors eth0,receive 1",
        "system.network.packet.dropped eth0,receive 2",
        "system.network.io eth0,transmit 3218011",
        "system.network.packet.count transmit,eth0 29711",
        "system.network.errors eth0,transmit 3",
        "system.network.packet.dropped eth0,transmit 4",
    ];
    assert_eq!(shown(&points), expected);
    assert_eq!(reasons, []);
}

#[test]
fn without_the_first_process_the_own_interfaces_are_read() {
    let host = host("");
    host.remove("proc/1/net/dev");
    host.write("proc/net/dev", DEV);
    let mut network = Network::new(&host.roots());
    let (points, _) = read(|out| network.read(out));
    assert_eq!(value(&points, "system.network.io", "eth0,receive"), Some(643_706_518.0));
}

#[test]
fn a_name_is_no_path_and_bad_lines_lose_themselves() {
    for (from, to) in [
        ("eth0", ".."),
        ("eth0", "../x"),
        ("eth0", ""),
        ("41190", "x"),
        ("643706518", "-1"),
    ] {
        let host = host(&DEV.replace(from, to));
        let mut network = Network::new(&host.roots());
        let (points, reasons) = read(|out| network.read(out));
        assert_eq!(points.len(), 0, "{to}");
        assert_eq!(reasons, [Reason::Malformed], "{to}");
    }
    // One that nothing is known of, with a colon in its name.
    let host = host(&DEV.replace("eth0", "eth0:1"));
    let mut network = Network::new(&host.roots());
    let (points, _) = read(|out| network.read(out));
    assert_eq!(
        value(&points, "system.network.io", "eth0:1,receive"),
        Some(643_706_518.0)
    );
}

#[test]
fn where_no_interface_is_hardware_all_but_the_loopback_are_shown() {
    let host = host(DEV);
    std::fs::remove_dir_all(host.root().join("sys/class/net/eth0/device")).unwrap();
    let mut network = Network::new(&host.roots());
    let (points, reasons) = read(|out| network.read(out));
    assert_eq!((points.len(), reasons.len()), (8, 0));
    assert_eq!(value(&points, "system.network.io", "eth0,receive"), Some(643_706_518.0));
    // A card is passed on to the container: what stands for no hardware is left out from then on.
    let more = DEV.lines().last().unwrap().replace("eth0", "card");
    host.write("sys/class/net/card/device/vendor", "");
    host.write("proc/1/net/dev", format!("{DEV}{more}\n"));
    let (points, _) = read(|out| network.read(out));
    assert_eq!(points.len(), 8);
    assert_eq!(value(&points, "system.network.io", "card,receive"), Some(643_706_518.0));
}

#[test]
fn a_name_that_is_not_utf_8_is_shown_and_never_as_another_s() {
    let host = host(DEV);
    let line = |name: &[u8]| [name, b": 7 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"].concat();
    let odd = [line(b"eth\xff"), line(b"eth\xfe"), line("eth\u{fffd}".as_bytes())].concat();
    host.write("proc/1/net/dev", [DEV.as_bytes(), &odd].concat());
    let mut network = Network::new(&host.roots());
    for _ in 0..2 {
        let (points, reasons) = read(|out| network.read(out));
        assert_eq!(value(&points, "system.network.io", "eth\u{fffd},receive"), Some(7.0));
        assert_eq!(points.len(), 16);
        assert_eq!(reasons, [Reason::Ambiguous; 2]);
    }
}
