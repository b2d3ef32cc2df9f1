use super::*;

fn families() -> Families {
    let vendors = [
        &accelscope_hailo::FAMILY,
        &accelscope_nvidia::FAMILY,
        &accelscope_ascend::FAMILY,
    ];
    Families::new(vendors.into_iter().chain(OWN.iter().copied()))
}

fn family(class: Option<&str>, drivers: &[&str], node: &str) -> Option<Family> {
    let drivers: Vec<String> = drivers.iter().map(ToString::to_string).collect();
    let signs = Signs {
        class,
        drivers: Some(&drivers),
        node: Some(node),
        vendor: None,
        driver: None,
    };
    families().family(&signs)
}

#[test]
fn nodes_are_known_by_their_names() {
    for (node, expected) in [
        ("hailo0", Some(&accelscope_hailo::FAMILY)),
        ("h1x-12", Some(&accelscope_hailo::FAMILY)),
        ("h1x", Some(&accelscope_hailo::FAMILY)),
        ("nvidia255", Some(&accelscope_nvidia::FAMILY)),
        ("nvidia-caps/nvidia-cap17", Some(&accelscope_nvidia::FAMILY)),
        ("davinci_manager", Some(&accelscope_ascend::FAMILY)),
        ("rngd/npu0pe0-3", Some(&FURIOSA)),
        ("npu0pe0-3", Some(&FURIOSA)),
        ("rbln3", Some(&REBELLIONS)),
        ("tenstorrent/0", Some(&TENSTORRENT)),
        ("hl_controlD0", Some(&HABANA)),
        ("dri/renderD128", Some(&DRM)),
        ("dri/by-path", None),
        ("hailo", None),
        ("nvidia", None),
        ("nvidia0x", None),
        ("npu", None),
        ("tenstorrent/by-id", None),
        ("accel0", None),
        ("vfio/12", None),
        ("tty0", None),
    ] {
        assert_eq!(family(None, &["somebody"], node), expected, "{node}");
    }
}

#[test]
fn a_number_that_somebody_else_has_now_is_not_taken_by_the_nodes_name() {
    assert_eq!(family(None, &["hisi_hdc"], "hailo0"), Some(&accelscope_ascend::FAMILY));
    assert_eq!(family(None, &[], "hailo0"), None, "its driver is gone");
    assert_eq!(family(None, &["mem"], "nvidia0"), None, "/dev/null in its place");
    assert_eq!(
        family(Some("hailo_chardev"), &["hailo"], "renamed"),
        Some(&accelscope_hailo::FAMILY)
    );
}

#[test]
fn shared_subsystems_are_told_apart_by_vendor_and_driver() {
    let accel = |vendor, driver, node| {
        let drivers = ["accel".to_owned()];
        let signs = Signs {
            class: Some("accel"),
            drivers: Some(&drivers),
            node: Some(node),
            vendor,
            driver,
        };
        families().family(&signs)
    };
    assert_eq!(accel(Some("0x1ae0"), None, "accel0"), Some(&TPU));
    assert_eq!(accel(Some("0x1da3"), Some("habanalabs"), "accel/accel0"), Some(&HABANA));
    assert_eq!(accel(Some("0x8086"), Some("intel_vpu"), "accel/accel0"), Some(&ACCEL));
}

#[test]
fn only_the_folders_of_the_table_are_looked_into() {
    let folders = families().folders();
    assert!(folders.contains(&"") && folders.contains(&"dri") && folders.contains(&"vfio/devices"));
    assert!(folders.iter().all(|folder| !folder.contains(['#', '*'])), "{folders:?}");
}

fn symbols(family: Family, driver: Option<&str>, name: &str) -> Vec<&'static str> {
    family.hooks(driver, name).iter().map(|hook| hook.symbol).collect()
}

#[test]
fn a_node_gets_the_function_of_its_own_driver() {
    assert_eq!(
        symbols(&accelscope_hailo::FAMILY, None, "h1x-0"),
        ["hailo_pcie_fops_unlockedioctl"; 2]
    );
    assert_eq!(
        symbols(&accelscope_hailo::FAMILY, None, "h1x"),
        ["hailo_integrated_nnc_fops_unlockedioctl"]
    );
    assert_eq!(
        symbols(&accelscope_nvidia::FAMILY, None, "nvidia-uvm")[0],
        "uvm_unlocked_ioctl_entry"
    );
    assert_eq!(
        symbols(&accelscope_nvidia::FAMILY, None, "nvidia0")[0],
        "nvidia_unlocked_ioctl"
    );
    assert_eq!(
        symbols(&accelscope_nvidia::FAMILY, None, "nvidia-cap1"),
        [""; 0],
        "it takes no ioctls"
    );
    // amdgpu_drm_ioctl calls drm_ioctl: with both, a call would count twice.
    assert_eq!(symbols(&DRM, Some("amdgpu"), "renderD128"), ["amdgpu_drm_ioctl"]);
    assert_eq!(symbols(&DRM, Some("v3d"), "renderD128"), ["drm_ioctl"]);
    assert_eq!(symbols(&HABANA, Some("habanalabs"), "accel0"), ["drm_ioctl"]);
    assert_eq!(symbols(&TENSTORRENT, None, "tenstorrent/0"), ["tt_cdev_ioctl"]);
    assert_eq!(symbols(&OTHER, None, "full"), [""; 0]);
}
