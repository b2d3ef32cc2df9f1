use super::*;
use crate::testing::{Host, read, shown};

fn counts(host: &Host) -> (Option<u64>, Option<u64>, Vec<Reason>) {
    let mut topology = Topology::new(&host.roots());
    let (_, reasons) = read(|out| topology.update(true, out));
    (topology.logical, topology.physical, reasons)
}

/// CPUs with their package, core and siblings; without the last where these are empty.
fn host(online: &str, cpus: &[(u32, u32, u32, &str)]) -> Host {
    let host = Host::with(&[("sys/devices/system/cpu/online", online)]);
    for (cpu, package, core, siblings) in cpus {
        let file = |name: &str, text: String| {
            host.write(&format!("sys/devices/system/cpu/cpu{cpu}/topology/{name}"), text + "\n");
        };
        file("physical_package_id", package.to_string());
        file("core_id", core.to_string());
        if !siblings.is_empty() {
            file("thread_siblings_list", (*siblings).to_owned());
        }
    }
    host
}

#[test]
fn the_same_core_id_in_two_packages_is_two_cores() {
    let cpus = [(0, 0, 0, ""), (1, 1, 0, ""), (2, 0, 0, ""), (3, 1, 0, "")];
    assert_eq!(counts(&host("0-3\n", &cpus)), (Some(4), Some(2), vec![]));
}

#[test]
fn siblings_are_one_core_whatever_the_ids_are() {
    // Two dies of a package that count from 0 each.
    let cpus = [(0, 0, 0, "0-1"), (1, 0, 0, "0-1"), (2, 0, 0, "2-3"), (3, 0, 0, "2-3")];
    assert_eq!(counts(&host("0-3", &cpus)), (Some(4), Some(2), vec![]));
}

#[test]
fn what_is_offline_does_not_count() {
    // An offline CPU has no topology.
    let cpus = [(0, 0, 0, "0,4"), (2, 0, 2, "2"), (4, 0, 0, "0,4")];
    let host = host("0,2,4\n", &cpus);
    let mut topology = Topology::new(&host.roots());
    read(|out| topology.update(true, out));
    assert_eq!((topology.logical, topology.physical), (Some(3), Some(2)));
    host.write("sys/devices/system/cpu/online", "0\n");
    host.write("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0\n");
    let (points, _) = read(|out| {
        topology.update(true, out);
        topology.points(out);
    });
    assert_eq!(
        shown(&points),
        ["system.cpu.logical.count  1", "system.cpu.physical.count  1"]
    );
}

#[test]
fn without_sysfs_cpuinfo_counts() {
    let cpu = |cpu: u32, package: u32, core: u32| {
        format!("processor\t: {cpu}\nmodel name\t: x: y\nphysical id\t: {package}\ncore id\t\t: {core}\n\n")
    };
    let text = [cpu(0, 0, 0), cpu(1, 0, 1), cpu(2, 1, 0), cpu(3, 1, 0)].concat();
    assert_eq!(
        counts(&Host::with(&[("proc/cpuinfo", &text)])),
        (Some(4), Some(3), vec![])
    );
    // ARM's says nothing of cores.
    let text = "processor\t: 0\nCPU part\t: 0xd0b\n\nprocessor\t: 1\nCPU part\t: 0xd0b\n";
    assert_eq!(counts(&Host::with(&[("proc/cpuinfo", text)])), (Some(2), None, vec![]));
    assert_eq!(counts(&Host::new()), (None, None, vec![]));
}

#[test]
fn a_list_that_is_none_is_not_believed() {
    for bad in [
        "3-1",
        "0-8192",
        "0-18446744073709551615",
        "1,0",
        "0-3,2",
        "x",
        "0,",
        "-1",
        "0-1-2",
    ] {
        let host = Host::with(&[
            ("sys/devices/system/cpu/online", bad),
            ("proc/cpuinfo", "processor : 0\n"),
        ]);
        assert_eq!(counts(&host), (Some(1), None, vec![Reason::Malformed]), "{bad}");
    }
}

/// By the system's own tools, where this machine shows all of its CPUs.
#[test]
fn this_machine_has_as_many_as_others_count() {
    let mut topology = Topology::new(&HostRoots::new("/"));
    read(|out| topology.update(true, out));
    let command = std::process::Command::new("getconf").arg("_NPROCESSORS_ONLN").output();
    let counted = String::from_utf8(command.unwrap().stdout).unwrap();
    assert_eq!(topology.logical, counted.trim().parse().ok());
    let command = std::process::Command::new("lscpu").arg("-p=CORE,SOCKET").output();
    let listed = String::from_utf8(command.unwrap().stdout).unwrap();
    let cores: HashSet<&str> = listed.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(topology.physical, Some(cores.len() as u64));
}
