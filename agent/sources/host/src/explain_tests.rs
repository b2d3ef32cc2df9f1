use super::*;
use crate::testing::Host;
use accelscope_core::sampler::Level;

#[test]
fn doctor_has_one_line_and_says_what_to_do() {
    let host = Host::new();
    let found = explain(&Settings::default(), &host.roots());
    assert_eq!(found.level, Level::Nothing);
    assert!(found.remedy.unwrap().contains("host.root"));

    host.write("proc/stat", "cpu 1 2 3 4\n");
    host.write("proc/meminfo", "MemTotal: 1 kB\n");
    host.write("proc/sys/kernel/osrelease", "6.1.0\n");
    let found = explain(&Settings::default(), &host.roots());
    assert_eq!(found.level, Level::Ok);
    assert!(found.what.contains("Linux 6.1.0; no pressure"), "{}", found.what);
    assert!(found.remedy.unwrap().contains("psi=1"));

    host.write("proc/pressure/cpu", "");
    let settings = Settings {
        network: true,
        ..Settings::default()
    };
    let found = explain(&settings, &host.roots());
    assert_eq!(
        found.what,
        "reads CPU, load, memory, uptime, network of Linux 6.1.0, and pressure"
    );
    assert_eq!(found.remedy, None);
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_a_warning() {
    let host = Host::with(&[("proc/meminfo", "MemTotal: 1 kB\n")]);
    std::fs::create_dir(host.root().join("proc/stat")).unwrap();
    let found = explain(&Settings::default(), &host.roots());
    assert_eq!(found.level, Level::Warn);
    assert!(found.what.contains("proc/stat"), "{}", found.what);
}
