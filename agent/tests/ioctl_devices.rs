//! Discovery of device nodes, in trees like those that the vendors' drivers create.

#![cfg(feature = "ioctl")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set its scene has failed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use accelscope_core::holders::Holders;
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::sampler::Level;
use accelscope_core::source::Context;
use accelscope_ioctl::{Configuration, Device, Devices, ExtraDevice, Families, Family, explain_devices};
use inotify::{EventMask, Inotify, WatchMask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

fn families() -> Families {
    Families::of(accelscope::SOURCES)
}

fn family(name: &str) -> Family {
    families().named(name).unwrap_or_else(|| panic!("no family {name}"))
}

fn context(root: &Path) -> Context {
    let roots = HostRoots::new(root);
    Context {
        cgroups: Cgroups::new(&roots),
        holders: Holders::default(),
        roots,
        node_name: "node".to_owned(),
        once: false,
        per_process: false,
        sources: accelscope::SOURCES,
        faults: accelscope_core::faults::Faults::default(),
    }
}

fn configuration(extra_devices: Vec<ExtraDevice>) -> Configuration {
    Configuration {
        extra_devices,
        ..Configuration::default()
    }
}

/// A host's root, filled by the test.
struct Host(tempfile::TempDir);

impl Host {
    fn new(char_devices: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.file(
            "proc/devices",
            &format!("Character devices:\n{char_devices}\nBlock devices:\n"),
        );
        fs::create_dir(host.path("dev")).unwrap();
        host
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Creates a character device's node; false if that is not permitted.
    fn node(&self, path: &str, (major, minor): (u32, u32)) -> bool {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(major, minor)).is_ok()
    }

    fn devices(&self, extra: Vec<ExtraDevice>) -> Devices {
        Devices::new(&configuration(extra), &context(self.0.path()))
    }

    fn found(&self) -> BTreeMap<String, Device> {
        self.found_with(Vec::new())
    }

    fn found_with(&self, extra: Vec<ExtraDevice>) -> BTreeMap<String, Device> {
        let mut devices = self.devices(extra);
        devices.update(Instant::now());
        by_name(&devices)
    }
}

fn by_name(devices: &Devices) -> BTreeMap<String, Device> {
    let all = devices.all().values();
    all.map(|device| (device.name.clone(), device.clone())).collect()
}

fn names(found: &BTreeMap<String, Device>) -> Vec<&str> {
    found.keys().map(String::as_str).collect()
}

fn extra(path: impl AsRef<Path>, family: Option<Family>, abi: Option<&str>) -> ExtraDevice {
    ExtraDevice {
        path: path.as_ref().to_owned(),
        family: family.map(|family| family.name.to_owned()),
        abi: abi.map(ToOwned::to_owned),
    }
}

/// Whether nodes can be created here (`CAP_MKNOD`).
fn can_make_nodes(test: &str) -> bool {
    let possible = Host::new("").node("dev/x", (1, 7));
    if !possible {
        skip_test::skip("mknod", &format!("{test}: device nodes cannot be made here"));
    }
    possible
}

#[test]
fn hailo_is_found_by_its_class_with_the_version_that_its_calls_depend_on() {
    let host = Host::new("511 hailo\n510 hailo1x\n509 hailo_integrated_nnc\n");
    host.file("sys/class/hailo_chardev/hailo0/dev", "511:0\n");
    host.file("sys/class/hailo_chardev/hailo0/board_location", "0001:01:00.0");
    host.file("sys/class/hailo_chardev/hailo0/device_id", "1e60:2864");
    host.link(
        "sys/bus/pci/devices/0001:01:00.0/driver/module",
        "../../../../module/hailo_pci",
    );
    host.file("sys/module/hailo_pci/version", "4.20.0\n");
    host.file("sys/class/hailo1x/h1x-0/dev", "510:0\n");
    host.file("sys/class/hailo1x/h1x-0/device_id", "0002:01:00.0");
    host.link(
        "sys/bus/pci/devices/0002:01:00.0/driver/module",
        "../../../../module/hailo1x_pci",
    );
    host.file("sys/module/hailo1x_pci/version", "5.3.0\n");
    host.file("sys/class/hailo1x_integrated/h1x/dev", "509:0\n");
    host.file("sys/class/hailo1x_integrated/h1x/device_id", "[integrated]");
    host.file("sys/module/hailo_integrated_nnc/version", "5.3.0\n");

    let found = host.found();
    assert_eq!(names(&found), ["h1x", "h1x-0", "hailo0"]);
    let hailo = &found["hailo0"];
    assert_eq!((hailo.family, hailo.number), (family("hailo"), makedev(511, 0)));
    assert_eq!(hailo.kernel_number(), 511 << 20);
    assert_eq!(hailo.module.as_deref(), Some("hailo_pci"));
    assert_eq!(hailo.abi.as_deref(), Some("4.20.0"));
    assert_eq!(hailo.address.as_deref(), Some("0001:01:00.0"));
    assert_eq!(hailo.describe(0xc041_760f).name, "VDMA_LAUNCH_TRANSFER");
    assert_eq!(found["h1x-0"].abi.as_deref(), Some("5.3.0"));
    assert_eq!(found["h1x-0"].describe(0x808d_760c).name, "VDMA_LAUNCH_TRANSFER");
    assert_eq!(found["h1x"].module.as_deref(), Some("hailo_integrated_nnc"));
    assert_eq!(
        found["h1x"].hooks()[0].symbol,
        "hailo_integrated_nnc_fops_unlockedioctl"
    );
    // The id that the monitor files' readings have too.
    assert_eq!(hailo.hw_id, Some(accelscope_hailo::hw_id("0001:01:00.0", "", "node")));
}

#[test]
fn nvidia_is_found_by_its_nodes_because_sysfs_shows_none() {
    if !can_make_nodes("nvidia_is_found_by_its_nodes") {
        return;
    }
    let host = Host::new("195 nvidia\n195 nvidiactl\n195 nvidia-modeset\n235 nvidia-caps\n508 nvidia-uvm\n");
    host.node("dev/nvidia0", (195, 0));
    host.node("dev/nvidiactl", (195, 255));
    host.node("dev/nvidia-uvm", (508, 0));
    host.node("dev/nvidia-uvm-tools", (508, 1));
    host.node("dev/nvidia-caps/nvidia-cap1", (235, 1));
    host.node("dev/unrelated/nvidia1", (195, 1));
    host.file("sys/module/nvidia/version", "595.45.04\n");
    host.file("sys/module/nvidia_uvm/version", "595.45.04\n");

    let found = host.found();
    assert_eq!(
        names(&found),
        ["nvidia-cap1", "nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidiactl"]
    );
    assert!(found.values().all(|device| device.family == family("nvidia")));
    assert_eq!(found["nvidia0"].module.as_deref(), Some("nvidia"));
    assert_eq!(found["nvidia0"].driver_version.as_deref(), Some("595.45.04"));
    assert_eq!(found["nvidia-uvm"].module.as_deref(), Some("nvidia_uvm"));
    assert_eq!(found["nvidia-uvm"].node.as_deref(), Some(Path::new("/dev/nvidia-uvm")));
    assert_eq!(found["nvidia-uvm"].describe(51).name, "UVM_MIGRATE");
}

#[test]
fn a_gpu_is_read_by_its_driver_and_a_servers_display_chip_is_left_out() {
    let host = Host::new("226 drm\n234 kfd\n261 accel\n");
    for (name, number, gpu) in [
        ("card0", "226:0", "0000:01:00.0"),
        ("card1", "226:1", "0000:05:00.0"),
        ("renderD128", "226:128", "0000:01:00.0"),
    ] {
        host.file(&format!("sys/class/drm/{name}/dev"), number);
        host.link(
            &format!("sys/class/drm/{name}/device"),
            &format!("../../../devices/{gpu}"),
        );
    }
    host.file("sys/class/drm/card0-HDMI-A-1/status", "connected");
    host.file("sys/devices/0000:01:00.0/drm/renderD128/dev", "226:128");
    host.link("sys/devices/0000:01:00.0/driver", "../../bus/pci/drivers/amdgpu");
    host.file("sys/devices/0000:05:00.0/drm/card1/dev", "226:1");
    host.link("sys/devices/0000:05:00.0/driver", "../../bus/pci/drivers/ast");
    host.file("sys/class/kfd/kfd/dev", "234:0");
    host.file("sys/module/amdgpu/version", "6.12.12\n");
    for (name, number, vendor, driver) in [
        ("accel0", "261:0", "0x8086", "intel_vpu"),
        ("accel1", "261:1", "0x1da3", "habanalabs"),
        ("accel2", "261:2", "0x1ae0", "gasket"),
    ] {
        host.file(&format!("sys/class/accel/{name}/dev"), number);
        host.file(&format!("sys/class/accel/{name}/device/vendor"), vendor);
        host.link(
            &format!("sys/class/accel/{name}/device/driver"),
            &format!("../../../drivers/{driver}"),
        );
    }

    let found = host.found();
    assert_eq!(
        names(&found),
        ["accel0", "accel1", "accel2", "card0", "kfd", "renderD128"]
    );
    let render = &found["renderD128"];
    assert_eq!((render.family, render.abi.as_deref()), (family("drm"), Some("amdgpu")));
    assert_eq!(render.address.as_deref(), Some("0000:01:00.0"));
    assert_eq!(render.hooks()[0].symbol, "amdgpu_drm_ioctl");
    assert_eq!(render.describe(0xc018_6444).name, "AMDGPU_CS");
    assert_eq!(found["kfd"].family, family("amd_kfd"));
    assert_eq!(found["kfd"].module.as_deref(), Some("amdgpu"));
    assert_eq!(found["accel0"].family, family("accel"));
    assert_eq!(found["accel0"].describe(0xc018_6446).name, "IVPU_BO_WAIT");
    assert_eq!(found["accel1"].family, family("habana"));
    assert_eq!(found["accel2"].family, family("tpu"));
}

#[test]
fn a_tpu_handed_to_user_space_is_known_by_its_pci_vendor() {
    if !can_make_nodes("a_tpu_handed_to_user_space") {
        return;
    }
    let host = Host::new("243 vfio\n");
    host.node("dev/vfio/12", (243, 0));
    host.node("dev/vfio/13", (243, 1));
    host.file("sys/kernel/iommu_groups/12/devices/0000:00:05.0/vendor", "0x1ae0\n");
    host.file("sys/kernel/iommu_groups/13/devices/0000:00:06.0/vendor", "0x8086\n");
    let found = host.found();
    assert_eq!(names(&found), ["vfio/12"]);
    assert_eq!(found["vfio/12"].family, family("tpu"));
}

#[test]
fn a_name_alone_does_not_make_a_device() {
    if !can_make_nodes("a_name_alone_does_not_make_a_device") {
        return;
    }
    let host = Host::new("1 mem\n511 hailo\n240 rebellions\n");
    // Left over from a removed driver; hidden by /dev/null; a link to one that is found itself; no device at all.
    host.node("dev/davinci0", (300, 0));
    host.node("dev/nvidia0", (1, 3));
    host.node("dev/hailo0", (511, 0));
    host.link("dev/hailo1", "hailo0");
    host.file("dev/hailo2", "");
    // Another node of the same device, and one with a name chosen by the user.
    host.node("dev/aaa", (511, 0));
    host.node("dev/my-npu", (511, 1));
    // A driver of unknown name.
    host.node("dev/rbln0", (240, 0));
    let found = host.found();
    assert_eq!(names(&found), ["hailo0", "my-npu", "rbln0"]);
    assert_eq!(found["my-npu"].family, family("hailo"));
    assert_eq!(found["rbln0"].family, family("rebellions"));
}

#[test]
fn a_configured_device_is_watched_as_what_the_user_says() {
    if !can_make_nodes("a_configured_device_is_watched") {
        return;
    }
    let host = Host::new("1 mem\n511 hailo\n");
    host.node("dev/full", (1, 7));
    host.node("dev/zero", (1, 5));
    host.node("dev/hailo0", (511, 0));
    host.link("dev/by-name", "/dev/zero");
    host.file("dev/file", "");
    let found = host.found_with(vec![
        extra("/dev/full", None, None),
        extra("/dev/by-name", Some(family("hailo")), Some("4.20.0")),
        extra("/dev/hailo0", None, None),
        extra("/dev/file", None, None),
        extra("/dev/later", None, None),
    ]);
    assert_eq!(names(&found), ["by-name", "full", "hailo0"]);
    assert_eq!((found["full"].family, found["full"].extra), (family("other"), true));
    let disguised = &found["by-name"];
    assert_eq!((disguised.family, disguised.number), (family("hailo"), makedev(1, 5)));
    assert_eq!(disguised.describe(0xc041_760f).name, "VDMA_LAUNCH_TRANSFER");
    assert!(disguised.hooks().is_empty(), "its real driver is not Hailo's");
    assert_eq!(
        (found["hailo0"].family, found["hailo0"].extra),
        (family("hailo"), false)
    );
    assert!(!found["hailo0"].hooks().is_empty());

    // A missing node and a file that is no node are reported with a remedy.
    let extra = vec![extra("/dev/file", None, None), extra("/dev/later", None, None)];
    let said = explain_devices(&configuration(extra), &context(host.0.path()));
    let warned = |text: &str| {
        let finding = said.iter().find(|finding| finding.what.contains(text)).unwrap();
        (finding.level, finding.remedy.clone().unwrap())
    };
    assert_eq!(warned("/dev/file: not a character device").0, Level::Warn);
    assert!(warned("/dev/later: No such file").1.contains("from when it appears"));
}

#[test]
fn two_devices_never_share_a_name() {
    if !can_make_nodes("two_devices_never_share_a_name") {
        return;
    }
    let host = Host::new("1 mem\n");
    host.node("dev/a/npu", (1, 7));
    host.node("dev/b/npu", (1, 5));
    let found = host.found_with(vec![extra("/dev/a/npu", None, None), extra("/dev/b/npu", None, None)]);
    assert_eq!(names(&found), ["b/npu", "npu"]);
}

#[test]
fn an_unknown_driver_version_is_told_and_not_guessed_silently() {
    let host = Host::new("511 hailo\n");
    host.file("sys/class/hailo_chardev/hailo0/dev", "511:0\n");
    host.file("sys/module/hailo_pci/version", "4.99.0\n");
    host.file("sys/module/hailo_pci/refcnt", "2\n");
    let said = explain_devices(&Configuration::default(), &context(host.0.path()));
    assert_eq!(said[0].level, Level::Warn);
    assert!(
        said[0].what.contains("hailo0 (hailo_pci 4.99.0)") && said[0].what.contains("4.23.0"),
        "{said:?}"
    );
    host.file("sys/module/hailo_pci/version", "4.20.0\n");
    let said = explain_devices(&Configuration::default(), &context(host.0.path()));
    assert_eq!(
        (said[0].level, &*said[0].what),
        (Level::Ok, "hailo: hailo0 (hailo_pci 4.20.0)")
    );
    let mut devices = host.devices(Vec::new());
    devices.update(Instant::now());
    assert_eq!(devices.references(), Some(2));
}

fn wait_for(devices: &mut Devices, wanted: impl Fn(&Devices) -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !wanted(devices) {
        let now = Instant::now();
        assert!(now < deadline, "it did not come: {:?}", devices.all());
        let left = devices
            .due(now)
            .saturating_duration_since(now)
            .min(Duration::from_secs(1));
        let left = Timespec::try_from(left + Duration::from_millis(1)).unwrap();
        let source = devices.event_source().expect("inotify");
        poll(&mut [PollFd::from_borrowed_fd(source, PollFlags::IN)], Some(&left)).unwrap();
        devices.update(Instant::now());
    }
}

#[test]
fn a_driver_that_is_loaded_or_unloaded_is_noticed() {
    if !can_make_nodes("a_driver_that_is_loaded_or_unloaded") {
        return;
    }
    let host = Host::new("240 tenstorrent\n");
    let mut devices = host.devices(vec![extra("/dev/later", None, None)]);
    assert!(!devices.update(Instant::now()));
    // In a directory that did not exist.
    host.node("dev/tenstorrent/0", (240, 0));
    wait_for(&mut devices, |devices| by_name(devices).contains_key("tenstorrent/0"));
    host.node("dev/tenstorrent/1", (240, 1));
    wait_for(&mut devices, |devices| by_name(devices).contains_key("tenstorrent/1"));
    host.node("dev/later", (1, 7));
    wait_for(&mut devices, |devices| by_name(devices).contains_key("later"));
    fs::remove_dir_all(host.path("dev/tenstorrent")).unwrap();
    wait_for(&mut devices, |devices| names(&by_name(devices)) == ["later"]);
}

/// The first open of a Hailo device wakes it. inotify reports here whether a node was opened.
#[test]
fn no_node_is_opened() {
    if !can_make_nodes("no_node_is_opened") {
        return;
    }
    let host = Host::new("1 hailo\n");
    for (name, minor) in [("hailo0", 7), ("h1x", 5)] {
        host.node(&format!("dev/{name}"), (1, minor));
    }
    let mut inotify = Inotify::init().unwrap();
    for name in ["hailo0", "h1x"] {
        inotify
            .watches()
            .add(host.path("dev").join(name), WatchMask::OPEN)
            .unwrap();
    }
    let mut buffer = [0; 4096];
    let found = host.found_with(vec![extra("/dev/hailo0", None, None)]);
    assert_eq!(names(&found), ["h1x", "hailo0"]);
    let error = inotify.read_events(&mut buffer).map(Iterator::count).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "a node was opened");
    // Control: inotify would have reported an open.
    drop(fs::File::open(host.path("dev/hailo0")).expect("the real driver of 1:7 is /dev/full's"));
    let events = inotify.read_events(&mut buffer).unwrap();
    assert!(events.into_iter().any(|event| event.mask.contains(EventMask::OPEN)));
}

#[test]
fn a_host_without_any_of_it_has_no_devices() {
    let root = tempfile::tempdir().unwrap();
    let mut devices = Devices::new(&Configuration::default(), &context(root.path()));
    assert!(!devices.update(Instant::now()));
    assert!(devices.all().is_empty());
    let said = explain_devices(&Configuration::default(), &context(root.path()));
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].level, Level::Nothing);
}
