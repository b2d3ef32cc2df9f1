//! The sampler reads a log, of a directory that stands for the host, where a FIFO gives a record a read as the device does; and
//! the machine's own.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use accelscope_core::faults::Faults;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Point, Value, key};
use accelscope_core::sampler::{Outcome, Sampler as _};
use accelscope_kmsg::{BATCH, MAX_RECORD_BYTES, Sampler, Settings};
use rustix::fs::{CWD, Mode, OFlags};
use tempfile::TempDir;

const UUID: &str = "GPU-6b7c0000-1111-2222-3333-444455556666";
const GPU: &str = "0000:3b:00.0";

/// A host with PCI functions and a log.
struct Host {
    root: TempDir,
    log: Option<File>,
    next: AtomicUsize,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dev")).unwrap();
        Self {
            root,
            log: None,
            next: AtomicUsize::new(1),
        }
    }

    /// One with an NVIDIA GPU.
    fn with_gpu() -> Self {
        let mut host = Self::new();
        host.function(GPU, "0x10de", "0x030200", Some("nvidia"));
        host.file(
            "proc/driver/nvidia/gpus/0000:3b:00.0/information",
            &format!("Model: \t\t NVIDIA H100\nGPU UUID: \t {UUID}\nGPU Excluded:\t No\n"),
        );
        host.open_log();
        host
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn function(&self, address: &str, vendor: &str, class: &str, driver: Option<&str>) {
        let directory = format!("sys/bus/pci/devices/{address}");
        self.file(&format!("{directory}/vendor"), &format!("{vendor}\n"));
        self.file(&format!("{directory}/class"), &format!("{class}\n"));
        if let Some(driver) = driver {
            let link = self.root.path().join(directory).join("driver");
            std::os::unix::fs::symlink(Path::new("/sys/bus/pci/drivers").join(driver), link).unwrap();
        }
    }

    fn open_log(&mut self) {
        let path = self.root.path().join("dev/kmsg");
        rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let flags = OFlags::RDWR | OFlags::NONBLOCK;
        let log = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        // Each write is one read (pipe(2)).
        rustix::fs::fcntl_setfl(&log, flags | OFlags::DIRECT).unwrap();
        // A page for each of those that wait.
        rustix::pipe::fcntl_setpipe_size(&log, 1 << 20).unwrap();
        self.log = Some(log.into());
    }

    fn write(&self, bytes: &[u8]) {
        self.log.as_ref().unwrap().write_all(bytes).unwrap();
    }

    /// A record of that priority and flags, with the next number and of now.
    fn record(&self, priority: u32, flags: &str, text: &str) {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let micros = (seconds * 1e6) as u64;
        self.record_at(micros, priority, flags, text);
    }

    fn record_at(&self, micros: u64, priority: u32, flags: &str, text: &str) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(format!("{priority},{number},{micros},{flags};{text}\n").as_bytes());
    }

    /// A message of the kernel.
    fn kernel(&self, text: &str) {
        self.record(3, "-", text);
    }

    fn sampler(&self) -> Sampler {
        self.sampler_with(Faults::default())
    }

    fn sampler_with(&self, faults: Faults) -> Sampler {
        let roots = HostRoots::new(self.root.path());
        Sampler::new(&Settings::default(), roots, "node".to_owned(), faults, false)
    }
}

fn sample(sampler: &mut Sampler) -> Vec<Point> {
    let mut out = Vec::new();
    let outcome = sampler.sample(&mut out);
    assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
    out.pop().unwrap().points
}

/// The readings after the sampler has woken for what was written.
fn woken(sampler: &mut Sampler) -> Vec<Point> {
    let begun = Instant::now();
    let longest = Duration::from_secs(120);
    sampler.wait(begun + longest);
    assert!(begun.elapsed() < longest, "it did not wake");
    sample(sampler)
}

/// Values of the series of that name with these attributes.
fn values(points: &[Point], name: &str, with: &[(&str, &str)]) -> Vec<f64> {
    let has = |point: &Point, (key, value): &(&str, &str)| {
        point.attributes.get(key).map(ToString::to_string).as_deref() == Some(*value)
    };
    let fits = |point: &&Point| point.instrument.name == name && with.iter().all(|one| has(point, one));
    points
        .iter()
        .filter(fits)
        .map(|point| point.value.as_f64().unwrap())
        .collect()
}

fn errors(points: &[Point], kind: &str) -> Vec<f64> {
    values(points, "hw.errors", &[("error.type", kind)])
}

fn xid(points: &[Point], code: &str) -> Vec<f64> {
    values(points, "hw.errors", &[("error.type", "xid"), ("nvidia.xid", code)])
}

#[test]
fn counts_are_0_before_the_first_fault_and_the_first_fault_is_1() {
    let host = Host::with_gpu();
    let mut sampler = host.sampler();
    let before = sample(&mut sampler);
    assert_eq!(
        (xid(&before, "79"), errors(&before, "aer_fatal")),
        (vec![0.0], vec![0.0])
    );
    assert!(values(&before, "accel.fault.last_seen", &[]).is_empty());
    let starts: Vec<_> = before.iter().map(|point| (point.start, point.time)).collect();
    assert!(starts.iter().all(|(start, time)| start.unwrap() <= *time));
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.unwrap().as_secs_f64()
    };
    let before = now();
    host.kernel("NVRM: Xid (PCI:0000:3b:00): 79, pid=0, GPU has fallen off the bus.");
    let after = now();
    let points = woken(&mut sampler);
    assert_eq!(xid(&points, "79"), [1.0]);
    assert_eq!(xid(&points, "48"), [0.0]);
    let of = [
        ("hw.id", UUID),
        ("error.type", "xid"),
        ("nvidia.xid", "79"),
        ("hw.type", "gpu"),
    ];
    let [last] = values(&points, "accel.fault.last_seen", &of)[..] else {
        panic!("{points:?}")
    };
    assert!(
        (before - 2.0..=after + 2.0).contains(&last),
        "{last} is not between {before} and {after}"
    );
    assert_eq!(values(&points, "accel.fault.last_seen", &[]).len(), 1);
    assert!(
        points
            .iter()
            .all(|point| point.attributes.text(key::HW_ID) == Some(UUID))
    );
}

#[test]
fn what_processes_write_and_pieces_of_messages_do_not_count() {
    let host = Host::with_gpu();
    let mut sampler = host.sampler();
    sample(&mut sampler);
    let text = "NVRM: Xid (PCI:0000:3b:00): 79, pid=0, GPU has fallen off the bus.";
    for (priority, flags) in [(11, "-"), (12, "-"), (30, "-"), (191, "-"), (3, "c"), (3, "+")] {
        host.record(priority, flags, text);
    }
    host.kernel("usb 1-3: Product: NVRM: Xid (PCI:0000:3b:00): 79, x");
    host.kernel("NVRM: Xid (PCI:0000:3b:00): 31, pid=1");
    let points = woken(&mut sampler);
    assert_eq!((xid(&points, "79"), xid(&points, "31")), (vec![0.0], vec![1.0]));
}

#[test]
fn hostile_records_cost_only_themselves() {
    let host = Host::with_gpu();
    let mut sampler = host.sampler();
    sample(&mut sampler);
    host.write(b"\xff\xfe\x00\n");
    host.write(b"3,1,2,-;NVRM: Xid (PCI:0000:3b:00): 79\xff\n");
    host.write(&[b';'; 100]);
    host.write(&[b'3'; MAX_RECORD_BYTES]);
    host.write(b"3,18446744073709551615,18446744073709551615,-;x\n");
    host.write(b"3,0,0,-;x\n");
    let long = format!("NVRM: Xid (PCI:0000:3b:00): 13, {}", r"\x1b[2J".repeat(600));
    host.kernel(&long);
    host.kernel("NVRM: Xid (PCI:0000:3b:00): 99999999999999999999, x");
    host.kernel("NVRM: Xid (PCI:0000:99:00): 79, of a GPU that is not there");
    let points = woken(&mut sampler);
    assert_eq!((xid(&points, "79"), xid(&points, "13")), (vec![0.0], vec![1.0]));
    assert_eq!(xid(&points, "_OTHER"), [1.0]);
}

#[test]
fn thousands_of_codes_are_one_series_beyond_a_number() {
    let host = Host::with_gpu();
    let mut sampler = host.sampler();
    let before = sample(&mut sampler).len();
    let mut points = Vec::new();
    for round in 0..3 {
        for code in 0..200 {
            host.kernel(&format!("NVRM: Xid (PCI:0000:3b:00): {}, x", 1000 + round * 200 + code));
        }
        points = woken(&mut sampler);
    }
    let all: f64 = errors(&points, "xid").iter().sum();
    assert!((all - 600.0).abs() < 0.5, "{all}");
    assert!(points.len() < before + 150, "{}", points.len());
    assert!(xid(&points, "_OTHER")[0] > 500.0);
}

#[test]
fn every_vendor_s_fault_is_its_device_s() {
    let mut host = Host::new();
    host.function("0000:03:00.0", "0x1002", "0x030000", Some("amdgpu"));
    host.function("0000:00:02.0", "0x8086", "0x030000", Some("i915"));
    host.function("0000:04:00.0", "0x1e60", "0x0b4000", Some("hailo"));
    host.function("0000:05:00.0", "0x1da3", "0x120000", Some("habanalabs"));
    host.function("0000:06:00.0", "0x1e52", "0x120000", Some("tenstorrent"));
    host.function("0000:07:00.0", "0x19e5", "0x120000", Some("devdrv_device_driver"));
    host.function("0000:08:00.0", "0x10de", "0x068000", Some("nvidia-nvswitch"));
    // A network adapter and a server's management controller.
    host.function("0000:09:00.0", "0x15b3", "0x020000", Some("mlx5_core"));
    host.function("0000:0a:00.0", "0x1a03", "0x030000", Some("ast"));
    let class = host.root.path().join("sys/class/accel/accel0");
    std::fs::create_dir_all(&class).unwrap();
    std::os::unix::fs::symlink("../../../bus/pci/devices/0000:05:00.0", class.join("device")).unwrap();
    host.open_log();
    let mut sampler = host.sampler();
    let before = sample(&mut sampler);
    let ids: std::collections::BTreeSet<_> = before
        .iter()
        .filter_map(|point| point.attributes.text(key::HW_ID))
        .collect();
    assert_eq!(ids.len(), 7);
    assert!(before.iter().all(|point| point.value == Value::Int(0)));
    for text in [
        "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring sdma0 timeout, signaled seq=121570, emitted seq=121572",
        "amdgpu 0000:03:00.0: amdgpu: GPU reset begin!",
        "i915 0000:00:02.0: [drm] GPU HANG: ecode 12:1:85dffffb, in Xorg [1]",
        "hailo 0000:04:00.0: hailo_fw_control, timeout waiting for control (timeout_ms=1000)",
        "accel accel0: Device heartbeat failed! PCI link is broken",
        "tenstorrent 0000:06:00.0: Device is unresponsive, cannot reset.",
        "devdrv_device_driver 0000:07:00.0: AER: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer, (Receiver ID)",
        "nvidia-nvswitch3: SXid (PCI:0000:08:00.0): 20034, Fatal, Link 28 LTSSM Fault Up",
        "mlx5_core 0000:09:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
        "ast 0000:0a:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
    ] {
        host.kernel(text);
    }
    let points = woken(&mut sampler);
    let counted = |kind: &str, hw_type: &str| {
        let all = values(&points, "hw.errors", &[("error.type", kind), ("hw.type", hw_type)]);
        all.iter().sum::<f64>() as u64
    };
    let found = [
        counted("timeout", "gpu"),
        counted("reset", "gpu"),
        counted("hang", "gpu"),
        counted("firmware", "npu"),
        counted("heartbeat_lost", "npu"),
        counted("device_lost", "npu"),
        counted("aer_fatal", "npu"),
        counted("sxid", "network"),
    ];
    assert_eq!(found, [1; 8]);
    assert!((errors(&points, "aer_corrected").iter().sum::<f64>()).abs() < 0.5);
    let sum: f64 = values(&points, "hw.errors", &[]).iter().sum();
    assert!((sum - 8.0).abs() < 0.5, "{sum}");
    assert_eq!(values(&points, "accel.fault.last_seen", &[]).len(), 8);
}

#[test]
fn a_flood_is_read_in_bounded_pieces_and_what_was_overwritten_is_a_gap() {
    let host = Host::with_gpu();
    let mut sampler = host.sampler();
    sample(&mut sampler);
    // The kernel goes on with the oldest record that it still has.
    host.kernel("NVRM: Xid (PCI:0000:3b:00): 31, pid=1, a");
    host.next.store(5000, Ordering::Relaxed);
    host.kernel("NVRM: Xid (PCI:0000:3b:00): 31, pid=2, b");
    let points = woken(&mut sampler);
    assert_eq!(xid(&points, "31"), [2.0]);
    const { assert!(BATCH <= 10_000) }
}

#[test]
fn a_report_of_the_firmware_is_one_error_however_its_lines_arrive() {
    let host = Host::with_gpu();
    let mut sampler = host.sampler();
    sample(&mut sampler);
    let line = |text: &str| host.kernel(&format!("nvidia 0000:3b:00.0: AER: {text}"));
    line("aer_status: 0x00001000, aer_mask: 0x00002000");
    line("aer_layer=Data Link Layer, aer_agent=Transmitter ID");
    let counts = |points: &[Point]| {
        ["aer_corrected", "aer_nonfatal", "aer_fatal"].map(|kind| errors(points, kind).iter().sum::<f64>() as u64)
    };
    // No line says that it is over.
    assert_eq!(counts(&woken(&mut sampler)), [1, 0, 0]);
    line("aer_status: 0x00040000, aer_mask: 0x00000000");
    line("aer_layer=Transaction Layer, aer_agent=Receiver ID");
    line("aer_uncor_severity: 0x00062010");
    assert_eq!(counts(&woken(&mut sampler)), [1, 0, 1]);
}

#[test]
fn what_the_driver_tells_in_several_lines_is_one_fault() {
    let mut host = Host::new();
    host.function(GPU, "0x10de", "0x030200", Some("nvidia"));
    host.function("0000:c1:00.0", "0x10de", "0x068000", Some("nvidia-nvswitch"));
    host.function("0000:03:00.0", "0x1002", "0x038000", Some("amdgpu"));
    host.function("0000:04:00.0", "0x8086", "0x030000", Some("xe"));
    host.open_log();
    let mut sampler = host.sampler();
    let before = sample(&mut sampler);
    // Of the NVIDIA GPU; of all three GPUs.
    assert_eq!(errors(&before, "init_failed"), [0.0]);
    assert_eq!(errors(&before, "device_lost"), [0.0; 3]);
    let line = |begin: &str, text: &str| host.record_at(1_000_000, 3, "-", &format!("{begin}{text}"));
    for process in ["pid='<unknown>', name=<unknown>", "pid=7, name=x", "pid=8, name=x"] {
        let xid = format!("NVRM: Xid (PCI:0000:3b:00): 13, {process}, ");
        line(
            &xid,
            "Graphics SM Warp Exception on (GPC 0, TPC 0, SM 0): Out Of Range Address",
        );
        line(
            &xid,
            "Graphics SM Global Exception on (GPC 0, TPC 0, SM 0): Multiple Warp Errors",
        );
        line(&xid, "Graphics Exception: ESR 0x505730=0xc02000e 0x505734=0x24");
    }
    let sxid = "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 28006, ";
    line(sxid, "Non-fatal, Link 44 MC TS crumbstore MCTO (First)");
    line(sxid, "Severity 0 Engine instance 44 Sub-engine instance 00");
    line(
        sxid,
        "Data {0x0000002b, 0x0000002b, 0x00000000, 0x0000002b, 0x80005302}",
    );
    for ring in ["gfx_0.0.0", "sdma0"] {
        let amdgpu = "amdgpu 0000:03:00.0: amdgpu: ";
        line(amdgpu, &format!("ring {ring} timeout, signaled seq=1, emitted seq=3"));
        line(amdgpu, "GPU reset begin!");
        line(amdgpu, "ASIC reset failed with error, -62 for drm dev, 0000:03:00.0");
        line(amdgpu, "GPU reset(1) failed");
        line(amdgpu, "GPU reset end with ret = -62");
    }
    let xe = "xe 0000:04:00.0: [drm] ";
    line(xe, "*ERROR* CRITICAL: Xe has declared device 0000:04:00.0 as wedged.");
    line(xe, "device wedged, needs recovery");
    line(xe, "device wedged, needs recovery");
    let points = woken(&mut sampler);
    let sum = |all: Vec<f64>| all.iter().sum::<f64>() as u64;
    // The line that tells no process is that of the first one that is told.
    assert_eq!(sum(xid(&points, "13")), 2);
    let counted = ["sxid", "timeout", "reset", "reset_failed", "device_lost"].map(|kind| sum(errors(&points, kind)));
    assert_eq!(counted, [1, 2, 2, 2, 1]);
}

#[test]
fn lines_that_are_no_faults_wake_nobody() {
    let host = Host::with_gpu();
    let mut sampler = host.sampler();
    sample(&mut sampler);
    host.kernel("usb 1-3: new high-speed USB device number 5 using xhci_hcd");
    let begun = Instant::now();
    sampler.wait(begun + Duration::from_millis(1500));
    assert!(begun.elapsed() >= Duration::from_millis(1500));
}

#[test]
fn a_gpu_whose_uuid_is_not_known_yet_has_another_id_until_then() {
    let mut host = Host::new();
    host.function(GPU, "0x10de", "0x030200", Some("nvidia"));
    let path = "proc/driver/nvidia/gpus/0000:3b:00.0/information";
    host.file(path, "GPU UUID: \t GPU-????????-????-????-????-????????????\n");
    host.open_log();
    let mut sampler = host.sampler();
    let before = sample(&mut sampler);
    let id = before[0].attributes.text(key::HW_ID).unwrap();
    assert!(!id.contains('?') && id.len() == 36, "{id}");
    host.kernel("NVRM: Xid (PCI:0000:3b:00): 31, a");
    assert_eq!(xid(&woken(&mut sampler), "31"), [1.0]);
}

#[test]
fn without_an_accelerator_or_a_log_nothing_is_read() {
    let mut host = Host::new();
    host.function("0000:09:00.0", "0x15b3", "0x020000", Some("mlx5_core"));
    let nothing = |sampler: &mut Sampler| match sampler.sample(&mut Vec::new()) {
        Outcome::NothingHere(why) => why,
        outcome => panic!("{outcome:?}"),
    };
    let mut sampler = host.sampler();
    assert_eq!(nothing(&mut sampler), "no accelerator on the PCI bus");
    host.function(GPU, "0x10de", "0x030200", Some("nvidia"));
    let mut sampler = host.sampler();
    assert!(nothing(&mut sampler).ends_with("/dev/kmsg: there is none"));
    std::fs::write(host.root.path().join("dev/kmsg"), "3,1,2,-;x\n").unwrap();
    assert!(nothing(&mut sampler).ends_with("/dev/kmsg: not a device"));
    std::fs::remove_file(host.root.path().join("dev/kmsg")).unwrap();
    host.open_log();
    assert_eq!(xid(&sample(&mut sampler), "79"), [0.0], "it is there now");
}

/// The machine's own log, below a directory with a GPU that it does not have.
fn own_log() -> Option<Host> {
    let host = Host::with_gpu();
    let device = host.root.path().join("dev/kmsg");
    std::fs::remove_file(&device).unwrap();
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, Mode::RUSR | Mode::WUSR);
    let made = rustix::fs::mknodat(CWD, &device, kind, mode, rustix::fs::makedev(1, 11));
    let opened = made.is_ok() && File::options().read(true).write(true).open(&device).is_ok();
    if !opened {
        skip_test::skip("root", "/dev/kmsg cannot be opened");
        return None;
    }
    Some(Host {
        log: Some(File::options().write(true).open(&device).unwrap()),
        ..host
    })
}

#[test]
fn nobody_can_forge_a_line_of_the_kernel_s_in_the_machine_s_own_log() {
    let Some(host) = own_log() else { return };
    let mut sampler = host.sampler();
    sample(&mut sampler);
    for prefix in ["", "<3>", "<0>", "<6>"] {
        host.write(format!("{prefix}NVRM: Xid (PCI:0000:3b:00): 79, forged by a test of accelscope\n").as_bytes());
    }
    // They are read by now, or are when it wakes.
    sampler.wait(Instant::now() + Duration::from_millis(1500));
    let points = sample(&mut sampler);
    assert_eq!(xid(&points, "79"), [0.0]);
    assert!(values(&points, "accel.fault.last_seen", &[]).is_empty());
}
