use std::time::Duration;

use super::{env, file, sets};
use crate::config::Config;
use accelscope_ioctl::{Configuration, ExtraDevice, HookKind, Hooks};

fn ioctl(config: &Config) -> &Configuration {
    config.sources.get("ioctl").unwrap()
}

#[test]
fn devices_come_from_a_list_a_flag_and_a_variable() {
    let expected = [
        ExtraDevice {
            path: "/dev/null".into(),
            family: None,
            abi: None,
        },
        ExtraDevice {
            path: "/dev/full".into(),
            family: Some("hailo".into()),
            abi: Some("4.20.0".into()),
        },
    ];
    let of_file = file("[ioctl]\nextra_devices = ['/dev/null', '/dev/full=hailo@4.20.0']").config();
    assert_eq!(ioctl(&of_file).extra_devices, expected);
    let of_flag = sets(&["ioctl.extra_devices=/dev/null, /dev/full=hailo@4.20.0"]).config();
    assert_eq!(ioctl(&of_flag), ioctl(&of_file));
    let of_variable = env(&[("ACCELSCOPE__IOCTL__EXTRA_DEVICES", "/dev/null,/dev/full=hailo@4.20.0")]).config();
    assert_eq!(ioctl(&of_variable), ioctl(&of_file));
}

#[test]
fn a_wrong_device_is_named_and_what_was_meant_is_told() {
    for (entry, expected) in [
        (
            "hailo0",
            "\"hailo0\": \"hailo0\" is not an absolute path; write the device's node first",
        ),
        (
            "/dev/x=halio",
            "\"/dev/x=halio\": there is no family \"halio\"; did you mean hailo?",
        ),
        ("/dev/x=qqqqqq", "there is no family \"qqqqqq\"; write one of hailo, "),
        ("/dev/x=", "no family after \"=\""),
        ("/dev/x=hailo@", "nothing after \"@\""),
        ("/dev/x=hailo@new", "\"new\" is no version of Hailo's driver"),
        (
            "/dev/x=nvidia@535",
            "the commands of nvidia do not depend on a version; leave \"@535\" out",
        ),
        ("/dev/../etc/x", "write the path without \"..\""),
    ] {
        let errors = sets(&[&format!("ioctl.extra_devices=/dev/null,{entry}")]).errors();
        assert!(
            errors.starts_with("--set ioctl.extra_devices: ioctl.extra_devices: ") && errors.contains(expected),
            "{entry}: {errors}"
        );
    }
    let twice = sets(&["ioctl.extra_devices=/dev/null,/dev/null=hailo"]).errors();
    assert!(twice.contains("/dev/null stands there twice"), "{twice}");
    let number = file("[ioctl]\nextra_devices = [1]").errors();
    assert!(
        number.contains("agent.toml:2:1: ioctl.extra_devices: \"1\""),
        "{number}"
    );
}

#[test]
fn a_device_outside_of_dev_is_doubted_and_not_refused() {
    let warnings = sets(&["ioctl.extra_devices=/run/node"]).load().unwrap().warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("/run/node is not below /dev")),
        "{warnings:?}"
    );
}

#[test]
fn hooks_are_auto_or_some_of_the_known_ones() {
    let hooks = |value: &str| ioctl(&sets(&[&format!("ioctl.hooks={value}")]).config()).hooks.clone();
    assert_eq!(hooks("auto"), Hooks::Auto);
    assert_eq!(
        hooks("kprobe,tracepoint, kprobe"),
        Hooks::Only(vec![HookKind::Kprobe, HookKind::Tracepoint])
    );
    let of_file = file("[ioctl]\nhooks = ['raw_tracepoint']\nperiod = '5s'\nbtf = '/lib/btf'").config();
    assert_eq!(ioctl(&of_file).hooks, Hooks::Only(vec![HookKind::RawTracepoint]));
    assert_eq!(ioctl(&of_file).period, Duration::from_secs(5));
    assert_eq!(ioctl(&of_file).btf.as_deref(), Some("/lib/btf".as_ref()));
    for (value, expected) in [
        ("kprobes", "there is no hook \"kprobes\"; did you mean kprobe?"),
        ("auto,scan", "\"auto\" stands alone"),
        ("xyz", "write \"auto\" or some of fentry, kprobe"),
        (",", "names no hook"),
    ] {
        let errors = sets(&[&format!("ioctl.hooks={value}")]).errors();
        assert!(errors.contains(expected), "{value}: {errors}");
    }
    let errors = sets(&["ioctl.period=1ms", "ioctl.btf=btf"]).errors();
    assert!(
        errors.contains("ioctl.period: 1ms is out of range") && errors.contains("begin it with /"),
        "{errors}"
    );
}
