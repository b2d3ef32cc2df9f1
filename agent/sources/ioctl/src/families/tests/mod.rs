use super::*;

fn family(class: Option<&str>, drivers: &[&str], node: &str) -> Option<Family> {
    let drivers: Vec<String> = drivers.iter().map(ToString::to_string).collect();
    let signs = Signs {
        class,
        drivers: Some(&drivers),
        node: Some(node),
        vendor: None,
        driver: None,
    };
    signs.kind().map(|kind| kind.family)
}

#[test]
fn nodes_are_known_by_their_names() {
    for (node, expected) in [
        ("hailo0", Some(Family::Hailo)),
        ("h1x-12", Some(Family::Hailo)),
        ("h1x", Some(Family::Hailo)),
        ("nvidia255", Some(Family::Nvidia)),
        ("nvidia-caps/nvidia-cap17", Some(Family::Nvidia)),
        ("davinci_manager", Some(Family::Ascend)),
        ("rngd/npu0pe0-3", Some(Family::Furiosa)),
        ("npu0pe0-3", Some(Family::Furiosa)),
        ("rbln3", Some(Family::Rebellions)),
        ("tenstorrent/0", Some(Family::Tenstorrent)),
        ("hl_controlD0", Some(Family::Habana)),
        ("dri/renderD128", Some(Family::Drm)),
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
    assert_eq!(family(None, &["hisi_hdc"], "hailo0"), Some(Family::Ascend));
    assert_eq!(family(None, &[], "hailo0"), None, "its driver is gone");
    assert_eq!(family(None, &["mem"], "nvidia0"), None, "/dev/null in its place");
    assert_eq!(
        family(Some("hailo_chardev"), &["hailo"], "renamed"),
        Some(Family::Hailo)
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
        signs.kind().map(|kind| kind.family)
    };
    assert_eq!(accel(Some("0x1ae0"), None, "accel0"), Some(Family::Tpu));
    assert_eq!(
        accel(Some("0x1da3"), Some("habanalabs"), "accel/accel0"),
        Some(Family::Habana)
    );
    assert_eq!(
        accel(Some("0x8086"), Some("intel_vpu"), "accel/accel0"),
        Some(Family::Accel)
    );
}

#[test]
fn only_the_folders_of_the_table_are_looked_into() {
    let folders = folders();
    assert!(folders.contains(&"") && folders.contains(&"dri") && folders.contains(&"vfio/devices"));
    assert!(folders.iter().all(|folder| !folder.contains(['#', '*'])), "{folders:?}");
}