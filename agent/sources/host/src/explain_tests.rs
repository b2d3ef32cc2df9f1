use super::*;
use crate::testing::Host;
use accelscope_core::sampler::Level;

const DEV: &str = "Inter-| Receive | Transmit\n face |bytes packets\n";

/// A host whose files are as the kernel writes them.
fn host() -> Host {
    Host::with(&[
        ("proc/stat", "cpu 1 2 3 4\n"),
        ("proc/meminfo", "MemTotal: 1 kB\n"),
        ("proc/loadavg", "0.10 0.20 0.30 1/2 3\n"),
        ("proc/uptime", "5.00 4.00\n"),
        ("proc/sys/kernel/osrelease", "6.1.0\n"),
    ])
}

fn only(found: Vec<Finding>) -> Finding {
    let [found] = <[Finding; 1]>::try_from(found).unwrap();
    found
}

#[test]
fn doctor_has_one_line_and_says_what_to_do() {
    let found = only(explain(&Settings::default(), &Host::new().roots()));
    assert_eq!(found.level, Level::Nothing);
    assert!(found.remedy.unwrap().contains("host.root"));

    let host = host();
    let found = only(explain(&Settings::default(), &host.roots()));
    assert_eq!(found.level, Level::Ok);
    assert!(found.what.contains("Linux 6.1.0; no pressure"), "{}", found.what);
    assert!(found.remedy.unwrap().contains("psi=1"));

    host.write(
        "proc/pressure/io",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
    );
    let found = only(explain(&Settings::default(), &host.roots()));
    assert_eq!(
        found.what,
        "reads CPU, load, memory, uptime of Linux 6.1.0, and pressure"
    );
    assert_eq!((found.level, found.remedy), (Level::Ok, None));
}

#[test]
fn a_file_that_is_there_and_cannot_be_used_is_a_warning_that_names_it() {
    for (file, text) in [
        ("stat", "cpu  a b c\n"),
        ("stat", ""),
        ("meminfo", "MemTotal: -5 kB\n"),
        ("meminfo", "MemTotal: 1 kB\nMemAvailable: 2 kB\n"),
        ("loadavg", "nan inf -1\n"),
        ("uptime", "x\n"),
        ("uptime", "99999999999999 1\n"),
        ("pressure/cpu", "garbage\n"),
        ("pressure/memory", "some avg10=-1 total=x\n"),
    ] {
        let host = host();
        host.write(&format!("proc/{file}"), text);
        let found = only(explain(&Settings::default(), &host.roots()));
        assert_eq!(found.level, Level::Warn, "{file}: {text}");
        assert!(found.what.contains(&format!("proc/{file}: ")), "{}", found.what);
        assert!(found.remedy.is_some());
    }
    let host = host();
    host.remove("proc/stat");
    std::fs::create_dir(host.root().join("proc/stat")).unwrap();
    let found = only(explain(&Settings::default(), &host.roots()));
    assert_eq!(found.level, Level::Warn);
    assert!(found.what.starts_with("reads load, memory, uptime"), "{}", found.what);
    assert!(found.what.contains("proc/stat"), "{}", found.what);
}

/// The three that are off by default.
fn groups(host: &Host) -> Vec<Finding> {
    let settings = Settings {
        disks: true,
        filesystems: true,
        network: true,
        ..Settings::default()
    };
    explain(&settings, &host.roots()).split_off(1)
}

#[test]
fn what_is_read_of_disks_file_systems_and_network_is_named() {
    let host = host();
    host.write(
        "proc/diskstats",
        " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n",
    );
    host.write("proc/1/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda1 rw\n");
    let lines: String = (0..10)
        .map(|nth| format!("  eth{nth}: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"))
        .collect();
    host.write("proc/1/net/dev", format!("{DEV}{lines}"));
    let shown: Vec<_> = groups(&host).iter().map(|one| (one.level, one.what.clone())).collect();
    let expected = [
        "disks: sda",
        "file systems: /",
        "network interfaces: eth0, eth1, eth2, eth3, eth4, eth5, eth6, eth7 and 2 more",
    ];
    assert_eq!(shown, expected.map(|what| (Level::Ok, what.to_owned())));
}

#[test]
fn where_none_is_shown_it_is_said() {
    let host = host();
    host.write(
        "proc/diskstats",
        " 7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n 252 0 zram0 1 2 3 4 5 6 7 8 9 10 11\n",
    );
    host.write("proc/1/mountinfo", "27 1 0:30 / / rw - overlay overlay rw\n");
    host.write(
        "proc/1/net/dev",
        format!("{DEV}    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"),
    );
    for (found, setting) in groups(&host).iter().zip(["disks", "filesystems", "network"]) {
        assert_eq!(found.level, Level::Warn);
        assert!(
            found.what.starts_with(&format!("host.{setting} shows nothing: ")),
            "{}",
            found.what
        );
    }
    for file in ["diskstats", "1/mountinfo", "1/net/dev"] {
        host.remove(&format!("proc/{file}"));
    }
    for (found, file) in groups(&host).iter().zip(["diskstats", "mountinfo", "net/dev"]) {
        assert_eq!(found.level, Level::Warn);
        assert!(found.what.contains(file), "{}", found.what);
    }
}
