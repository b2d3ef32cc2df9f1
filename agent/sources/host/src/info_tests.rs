use super::*;
use crate::testing::{Host, read};

fn texts(host: &Host) -> Vec<(&'static str, String)> {
    let mut info = Info::new(&host.context());
    info.update();
    let (points, _) = read(|out| info.point(out));
    let attributes = points.iter().flat_map(|point| point.attributes.iter());
    attributes.map(|(key, value)| (*key, value.to_string())).collect()
}

fn text(host: &Host, key: &str) -> Option<String> {
    texts(host)
        .into_iter()
        .find(|(known, _)| *known == key)
        .map(|(_, text)| text)
}

#[test]
fn a_host_is_described_by_its_files() {
    let host = Host::with(&[
        ("etc/hostname", "gpu-node-01\n"),
        ("etc/os-release", "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n"),
        ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
        ("proc/sys/kernel/hostname", "pod-xyz\n"),
        (
            "proc/cpuinfo",
            "processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC 9B14\n",
        ),
    ]);
    let expected = [
        ("accel.host.kernel_version", "6.1.0-18-amd64"),
        ("host.cpu.model.name", "AMD EPYC 9B14"),
        ("host.name", "gpu-node-01"),
        ("os.name", "Debian GNU/Linux"),
        ("os.version", "12"),
    ];
    assert_eq!(texts(&host), expected.map(|(key, text)| (key, text.to_owned())));
}

#[test]
fn the_second_os_release_counts_where_there_is_no_first_one() {
    let host = Host::with(&[("usr/lib/os-release", "NAME=Talos\n")]);
    assert_eq!(text(&host, "os.name").as_deref(), Some("Talos"));
    // Within the host's root.
    std::fs::create_dir(host.root().join("etc")).unwrap();
    std::os::unix::fs::symlink("/usr/lib/os-release", host.root().join("etc/os-release")).unwrap();
    assert_eq!(text(&host, "os.name").as_deref(), Some("Talos"));
    host.write("usr/lib/os-release", [0xff; 100]);
    assert_eq!(text(&host, "os.name"), None);
}

#[test]
fn without_a_file_the_node_s_name_is_the_host_s() {
    let host = Host::with(&[("proc/sys/kernel/hostname", "pod-xyz\n"), ("etc/hostname", "\n")]);
    assert_eq!(text(&host, "host.name").as_deref(), Some("node-7"));
}

#[test]
fn a_cpu_is_named_as_its_architecture_does_or_by_its_board() {
    for (cpuinfo, expected) in [
        (
            "processor\t: 0\ncpu\t\t: POWER9, altivec supported\n",
            Some("POWER9, altivec supported"),
        ),
        (
            "processor\t: 0\nmodel name\t: ARMv7 Processor rev 3 (v7l)\n",
            Some("ARMv7 Processor rev 3 (v7l)"),
        ),
        (
            "processor\t: 0\nCPU part\t: 0xd0b\n",
            Some("Raspberry Pi 5 Model B Rev 1.0"),
        ),
        (
            "processor\t: 0\nmodel name\t:\n",
            Some("Raspberry Pi 5 Model B Rev 1.0"),
        ),
    ] {
        let host = Host::with(&[
            ("proc/cpuinfo", cpuinfo),
            ("sys/firmware/devicetree/base/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
        ]);
        assert_eq!(text(&host, "host.cpu.model.name").as_deref(), expected, "{cpuinfo}");
    }
    let host = Host::with(&[("proc/cpuinfo", "processor\t: 0\nCPU part\t: 0xd0b\n")]);
    assert_eq!(text(&host, "host.cpu.model.name"), None);
}

#[test]
fn a_host_of_which_nothing_is_known_has_no_point() {
    let host = Host::new();
    let mut context = host.context();
    context.node_name.clear();
    let mut info = Info::new(&context);
    info.update();
    assert!(read(|out| info.point(out)).0.is_empty());
}
