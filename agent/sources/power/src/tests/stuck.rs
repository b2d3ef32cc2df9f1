//! Sensors that do not answer.

use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode};

use super::host::{Host, at, values};

/// A FIFO without a writer stands for a driver that does not return: its opening waits.
#[test]
fn a_chip_that_hangs_stops_neither_rapl_nor_the_other_chips() {
    let host = Host::new();
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 1_000_000);
    for (number, name) in ["first", "hung", "last"].into_iter().enumerate() {
        let device = format!("platform/{name}");
        host.chip(&device, number as u32, name, &[("temp1_input", "20000")]);
    }
    let fifo = host.path("sys/devices/platform/hung/hwmon/hwmon1/temp1_input");
    std::fs::remove_file(&fifo).unwrap();
    rustix::fs::mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let mut sampler = host.sampler().hung_after(Duration::from_secs(1));
    let begun = Instant::now();
    let mut seconds = 0;
    let found = loop {
        let mut out = Vec::new();
        sampler.run(|| at(seconds), &mut out);
        assert!(!values(&out, "rapl").is_empty(), "RAPL is read in each run");
        let found = values(&out, "hwmon");
        if !found.is_empty() {
            break found;
        }
        seconds += 1;
        assert!(begun.elapsed() < Duration::from_mins(2));
    };
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["hw.temperature first/temp1", "hw.temperature last/temp1"]);
    // The thread ends with the test.
    let _writer = std::fs::File::options().write(true).open(&fifo).unwrap();
}
