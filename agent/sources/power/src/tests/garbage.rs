//! Whatever a file has in it, the run ends and its values are finite.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::fs::{CWD, Mode};

use super::host::{Host, run, values};
use crate::explain::explain;
use crate::settings::Settings;

const FILES: [(&str, &str, &[&str]); 4] = [
    (
        "powercap",
        "virtual/powercap/intel-rapl/intel-rapl:0",
        &["name", "energy_uj", "max_energy_range_uj"],
    ),
    (
        "hwmon",
        "platform/x/hwmon/hwmon0",
        &[
            "name",
            "temp1_input",
            "temp1_crit",
            "temp1_label",
            "temp1_fault",
            "temp2_alarm",
            "in0_input",
            "fan1_input",
            "power1_average",
            "power2_input",
            "energy1_input",
            "curr1_input",
        ],
    ),
    (
        "thermal",
        "virtual/thermal/thermal_zone0",
        &["type", "temp", "trip_point_0_type", "trip_point_0_temp"],
    ),
    (
        "power_supply",
        "platform/power_supply/BAT0",
        &[
            "type",
            "scope",
            "present",
            "status",
            "health",
            "capacity",
            "energy_now",
            "energy_full",
            "voltage_now",
            "current_now",
            "power_now",
            "time_to_empty_now",
            "energy_full_design",
            "serial_number",
        ],
    ),
];

#[test]
fn no_content_of_a_file_ends_a_run_or_becomes_a_value_that_is_none() {
    let long = "9".repeat(300);
    let contents: [&[u8]; 14] = [
        b"",
        b"\0\0\0\0",
        b"-",
        b"NaN",
        b"inf",
        b"1e999",
        b"0x7f",
        b"-9223372036854775808",
        b"18446744073709551615",
        b"170141183460469231731687303715884105727",
        b"-170141183460469231731687303715884105728",
        b"\xff\xfe\xfd",
        b"1 2 3\n4",
        long.as_bytes(),
    ];
    let host = Host::new();
    let mut files = Vec::new();
    for (class, device, names) in FILES {
        host.register(class, device, &[]);
        let path = |name: &&str| (host.path("sys/devices").join(device).join(name), good(device, name));
        files.extend(names.iter().map(path));
    }
    let mut sampler = host.sampler();
    let mut seconds = 0;
    let mut check = |content: &[u8]| {
        seconds += 10;
        let batches = run(&mut sampler, seconds);
        for part in ["rapl", "hwmon", "thermal", "power_supply"] {
            for (series, value) in values(&batches, part) {
                assert!(
                    value.is_finite() && value.abs() < 1e12,
                    "{series} {value} of {content:?}"
                );
            }
        }
    };
    for content in contents {
        for (path, _) in &files {
            fs::write(path, content).unwrap();
        }
        check(content);
    }
    for (path, good) in &files {
        fs::write(path, good).unwrap();
    }
    // Each file by itself among good ones.
    for (path, good) in &files {
        for content in contents {
            fs::write(path, content).unwrap();
            check(content);
        }
        fs::write(path, good).unwrap();
    }
}

#[test]
fn pipes_in_place_of_files_are_not_waited_for() {
    let host = Arc::new(Host::new());
    for (class, device, names) in FILES {
        host.register(class, device, &[]);
        for name in names {
            let path = host.path("sys/devices").join(device).join(name);
            rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
        }
    }
    fs::create_dir(host.path("proc")).unwrap();
    rustix::fs::mkfifoat(CWD, host.path("proc/cpuinfo"), Mode::RUSR).unwrap();
    let has_ended = |check: fn(&Host)| {
        let (host, (end, ends)) = (host.clone(), channel());
        std::thread::spawn(move || {
            check(&host);
            end.send(()).unwrap();
        });
        ends.recv_timeout(Duration::from_mins(1)).is_ok()
    };
    let doctor = |host: &Host| drop(explain(&host.roots(), &Settings::default()));
    assert!(has_ended(doctor), "a name that is a pipe");
    for (_, device, _) in FILES {
        for (name, text) in [("name", "package-0"), ("type", "Battery")] {
            let file = format!("sys/devices/{device}/{name}");
            if host.path(&file).exists() {
                fs::remove_file(host.path(&file)).unwrap();
                host.write(&file, text);
            }
        }
    }
    assert!(has_ended(doctor), "a value that is a pipe");
    assert!(has_ended(|host| drop(run(&mut host.sampler(), 0))));
}

fn good(device: &str, file: &str) -> &'static str {
    match file {
        "type" if device.ends_with("BAT0") => "Battery",
        "status" => "Discharging",
        "name" => "package-0",
        _ => "20000",
    }
}
