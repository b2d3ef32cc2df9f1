//! Names of the commands of each family of device nodes, and which of them wait by design.
#![cfg(all(feature = "ascend", feature = "hailo", feature = "ioctl", feature = "nvidia"))]

use accelscope_core::device::{Command, DeviceFamily, Pattern};
use accelscope_hailo_abi::{Layout, Line, layout};
use accelscope_ioctl::Families;

fn family(name: &str) -> &'static DeviceFamily {
    Families::of(accelscope::SOURCES)
        .named(name)
        .unwrap_or_else(|| panic!("no family {name}"))
}

fn describe(name: &str, abi: Option<&str>, node: &str, command: u32) -> Command {
    family(name).describe(abi, node, command)
}

fn waiting(name: &str, abi: Option<&str>, node: &str) -> Vec<Pattern> {
    family(name).waiting(abi, node)
}

fn wraps_commands(name: &str, node: &str) -> bool {
    (family(name).wraps_commands)(node)
}

/// `_IOC` of `include/uapi/asm-generic/ioctl.h`: direction, type, number, size.
const fn ioc(direction: u32, kind: u8, number: u32, size: u32) -> u32 {
    direction << 30 | size << 16 | (kind as u32) << 8 | number
}
const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;
const BOTH: u32 = 3;

fn hailo(version: &str, command: u32) -> String {
    describe("hailo", Some(version), "hailo0", command).name.into_owned()
}

/// The numbers of the struct's sizes in `hailo_ioctl_common.h`; the driver's directions look inverted.
#[test]
fn an_nvidia_command_within_a_command_has_the_inner_ones_name() {
    // RM_CONTROL as called directly and through IOCTL_XFER_CMD.
    let transfer = agent_ebpf::nvidia_inner(0xc010_46d3, 0x2a, 32).unwrap();
    for command in [0xc020_462a, transfer] {
        assert_eq!(describe("nvidia", None, "nvidia0", command).name, "RM_CONTROL");
    }
    assert_eq!(
        describe("nvidia", None, "nvidiactl", 0xc010_46d3).name,
        "IOCTL_XFER_CMD"
    );
    assert!(wraps_commands("nvidia", "nvidiactl"));
    assert!(!wraps_commands("nvidia", "nvidia-uvm"));
    assert!(!wraps_commands("hailo", "hailo0"));
}

#[test]
fn hailos_commands_have_the_numbers_that_their_macros_make() {
    for (version, command, name) in [
        ("4.10.0", ioc(BOTH, b'g', 1, 1528), "FW_CONTROL"),
        ("4.17.0", ioc(BOTH, b'v', 15, 61), "VDMA_LAUNCH_TRANSFER"),
        ("4.18.0", ioc(BOTH, b'v', 15, 65), "VDMA_LAUNCH_TRANSFER"),
        ("4.20.0", ioc(BOTH, b'v', 15, 65), "VDMA_LAUNCH_TRANSFER"),
        ("4.20.0", ioc(BOTH, b'v', 2, 685), "VDMA_INTERRUPTS_WAIT"),
        ("4.20.1", ioc(BOTH, b'n', 0, 1528), "FW_CONTROL"),
        ("4.20.0", ioc(WRITE, b'v', 12, 1), "MARK_AS_IN_USE"),
        ("4.20.0", ioc(NONE, b'n', 2, 0), "DISABLE_NOTIFICATION"),
        ("4.22.0", ioc(READ, b'v', 15, 153), "VDMA_LAUNCH_TRANSFER"),
        ("4.23.0", ioc(BOTH, b'v', 2, 301), "VDMA_INTERRUPTS_WAIT"),
        ("5.0.0", ioc(READ, b'v', 15, 154), "VDMA_LAUNCH_TRANSFER"),
        ("5.0.1", ioc(READ, b'v', 13, 149), "VDMA_LAUNCH_TRANSFER"),
        ("5.2.0", ioc(READ, b'v', 13, 149), "VDMA_LAUNCH_TRANSFER"),
        ("5.2.0", ioc(WRITE, b'v', 10, 1), "MARK_AS_IN_USE"),
        ("5.3.0", ioc(READ, b'v', 12, 141), "VDMA_LAUNCH_TRANSFER"),
        ("5.3.0", ioc(BOTH, b'v', 2, 385), "VDMA_INTERRUPTS_WAIT"),
        ("5.3.0", ioc(BOTH, b'p', 0, 20), "PCI_EP_ACCEPT"),
        ("4.6.0", ioc(WRITE, b'g', 0, 32), "BAR_TRANSFER"),
    ] {
        assert_eq!(hailo(version, command), name, "{version} {command:#x}");
    }
}

#[test]
fn a_number_that_came_back_has_the_meaning_of_its_version() {
    // 15 is a launch up to 5.0.0 and a cancelled transfer in 5.1 and 5.2; 12 is three different commands.
    assert_eq!(hailo("4.20.0", ioc(BOTH, b'v', 15, 65)), "VDMA_LAUNCH_TRANSFER");
    assert_eq!(hailo("5.2.0", ioc(READ, b'v', 15, 8)), "VDMA_CANCEL_PREPARED_TRANSFER");
    assert_eq!(hailo("5.2.0", ioc(BOTH, b'v', 15, 65)), "0xc041760f");
    assert_eq!(hailo("4.20.0", ioc(READ, b'v', 14, 8)), "VDMA_CONTINUOUS_BUFFER_FREE");
    assert_eq!(hailo("5.3.0", ioc(READ, b'v', 14, 8)), "VDMA_CANCEL_PREPARED_TRANSFER");
    assert_eq!(hailo("5.2.0", ioc(READ, b'v', 12, 8)), "VDMA_CONTINUOUS_BUFFER_FREE");
    assert_eq!(hailo("4.17.0", ioc(READ, b'v', 0, 13)), "VDMA_INTERRUPTS_ENABLE");
    assert_eq!(hailo("4.18.0", ioc(READ, b'v', 0, 13)), "VDMA_ENABLE_CHANNELS");
}

#[test]
fn a_hailo_version_is_taken_for_the_nearest_known_one_and_says_so() {
    let matched = |version| Line::of(version).map(|matched| (matched.line, matched.exact));
    assert_eq!(matched("4.20.0\n"), Some((Line::V4_19, true)));
    assert_eq!(matched("4.20.0-1"), Some((Line::V4_19, true)));
    assert_eq!(matched("5.2"), Some((Line::V5_1_1, true)));
    assert_eq!(matched("4.24.0"), Some((Line::V4_23, false)));
    assert_eq!(matched("5.0.7"), Some((Line::V5_0_1, false)));
    assert_eq!(matched("9.9.9"), Some((Line::V5_3, false)));
    assert_eq!(matched("4.1.0"), Some((Line::V4_6, false)));
    assert_eq!(matched("unknown"), None);
    assert_eq!(matched("5"), None);
    assert_eq!(hailo("unknown", ioc(READ, b'v', 12, 141)), "VDMA_LAUNCH_TRANSFER");
}

#[test]
fn no_line_of_hailo_gives_two_commands_one_number() {
    for line in Line::ALL {
        let mut seen = std::collections::HashMap::new();
        for (name, command) in line.commands() {
            assert_eq!(seen.insert(command, name), None, "{line}: {name} {command:#x}");
            assert!(b"gvnspw".contains(&((command >> 8) as u8)), "{line}: {name}");
        }
        assert!(seen.len() > 20, "{line}");
    }
}

/// Every field that the kernel reads lies within the struct of the size that the command encodes.
#[test]
fn every_field_of_hailos_layouts_lies_in_its_argument() {
    let size = |command: u32| (command >> 16 & 0x3fff) as u16;
    let mut launches = 0;
    for line in Line::ALL {
        let (mut controls, mut marks) = (0, 0);
        for (command, layout) in line.layouts() {
            let (name, told, end) = match layout {
                Layout::Launch(launch) => {
                    launches += 1;
                    assert!(launch.channel_index < launch.buffers_count);
                    let last = launch.buffers + (launch.buffers_max - 1) * launch.buffers_stride;
                    let end = last + launch.buffer_size + 4;
                    ("VDMA_LAUNCH_TRANSFER", launch.size, end)
                }
                Layout::FirmwareControl { size, opcode } => {
                    controls += 1;
                    ("FW_CONTROL", size, opcode + 4)
                }
                Layout::MarkInUse { size, in_use } => {
                    marks += 1;
                    ("MARK_AS_IN_USE", size, in_use + 1)
                }
            };
            assert_eq!(line.name(command), Some(name));
            assert_eq!(size(command), told, "{line} {name}");
            assert!(end <= told, "{line} {name}: {end} > {told}");
        }
        assert_eq!((controls, marks), (1, 1), "{line}");
    }
    assert_eq!(launches, 10);
    assert_eq!(layout::OPCODE_CHANGE_CONTEXT_SWITCH_STATUS, 37);
}

type Case = (
    &'static str,
    Option<&'static str>,
    &'static str,
    u32,
    &'static str,
    bool,
);

const CASES: &[Case] = &[
    (
        "nvidia",
        None,
        "nvidiactl",
        ioc(BOTH, b'F', 0x2a, 32),
        "RM_CONTROL",
        false,
    ),
    (
        "nvidia",
        None,
        "nvidia0",
        ioc(BOTH, b'F', 218, 8),
        "WAIT_OPEN_COMPLETE",
        true,
    ),
    ("nvidia", None, "nvidia-uvm", 0x3000_0001, "UVM_INITIALIZE", false),
    ("nvidia", None, "nvidia-uvm", 51, "UVM_MIGRATE", false),
    (
        "nvidia",
        None,
        "nvidia-uvm",
        ioc(BOTH, b'F', 51, 32),
        "0xc0204633",
        false,
    ),
    (
        "nvidia",
        None,
        "nvidia-modeset",
        ioc(BOTH, b'm', 0, 16),
        "NVKMS_IOCTL",
        false,
    ),
    ("amd_kfd", None, "kfd", ioc(BOTH, b'K', 0x0c, 24), "WAIT_EVENTS", true),
    ("amd_kfd", None, "kfd", ioc(BOTH, b'K', 0x02, 88), "CREATE_QUEUE", false),
    // The same number in three drivers.
    (
        "drm",
        Some("amdgpu"),
        "renderD128",
        ioc(BOTH, b'd', 0x44, 24),
        "AMDGPU_CS",
        false,
    ),
    (
        "drm",
        Some("v3d"),
        "renderD128",
        ioc(BOTH, b'd', 0x44, 16),
        "V3D_GET_PARAM",
        false,
    ),
    (
        "drm",
        None,
        "renderD128",
        ioc(BOTH, b'd', 0x44, 16),
        "0xc0106444",
        false,
    ),
    (
        "drm",
        Some("i915"),
        "card0",
        ioc(READ, b'd', 0x69, 64),
        "I915_GEM_EXECBUFFER2",
        false,
    ),
    (
        "drm",
        Some("v3d"),
        "renderD128",
        ioc(BOTH, b'd', 0xc3, 32),
        "SYNCOBJ_WAIT",
        true,
    ),
    // DRM lets a struct grow: any size is the same command.
    (
        "drm",
        None,
        "renderD128",
        ioc(BOTH, b'd', 0xc3, 40),
        "SYNCOBJ_WAIT",
        true,
    ),
    (
        "accel",
        Some("intel_vpu"),
        "accel0",
        ioc(BOTH, b'd', 0x46, 24),
        "IVPU_BO_WAIT",
        true,
    ),
    (
        "accel",
        Some("qaic"),
        "accel0",
        ioc(READ, b'd', 0x44, 24),
        "QAIC_EXECUTE_BO",
        false,
    ),
    ("habana", None, "hl0", ioc(BOTH, b'H', 4, 32), "WAIT_CS", true),
    ("habana", None, "accel0", ioc(BOTH, b'd', 0x43, 32), "HL_WAIT_CS", true),
    (
        "tenstorrent",
        None,
        "tenstorrent/0",
        ioc(NONE, 0xfa, 7, 0),
        "PIN_PAGES",
        false,
    ),
    ("tpu", None, "apex_0", ioc(READ, 0xdc, 8, 32), "MAP_BUFFER", false),
    (
        "ascend",
        None,
        "davinci_manager",
        ioc(NONE, b'Z', 0, 0),
        "INTF_OPEN",
        false,
    ),
    (
        "ascend",
        None,
        "davinci_manager",
        ioc(BOTH, b'X', 20, 8),
        "TRS_SQCQ_RECV",
        true,
    ),
    ("other", None, "full", 0x5401, "0x00005401", false),
];

#[test]
fn each_familys_commands_are_found_by_what_its_driver_looks_at() {
    for &(family, abi, device, command, name, wait) in CASES {
        let found = describe(family, abi, device, command);
        assert_eq!(
            (&*found.name, found.wait),
            (name, wait),
            "{family} {abi:?} {device} {command:#x}"
        );
        let in_kernel = waiting(family, abi, device)
            .iter()
            .any(|pattern| pattern.matches(command));
        assert_eq!(in_kernel, wait, "{family} {device} {name}: the kernel's marks differ");
    }
}

#[test]
fn hailo_waits_where_it_is_meant_to() {
    for version in ["4.10.0", "4.17.0", "4.20.0", "4.23.0", "5.3.0"] {
        let waiting = waiting("hailo", Some(version), "hailo0");
        let names: Vec<String> = waiting.iter().map(|pattern| hailo(version, pattern.value)).collect();
        assert!(
            names
                .iter()
                .any(|name| name.ends_with("WAIT") || name.ends_with("WAIT_INT")),
            "{version} {names:?}"
        );
        assert!(names.iter().any(|name| name == "READ_NOTIFICATION"), "{version}");
        assert!(!names.iter().any(|name| name.contains("LAUNCH")), "{version}");
    }
}

#[test]
fn an_unknown_command_keeps_its_number() {
    let found = describe("furiosa", None, "npu0", 0x4020_6700);
    assert_eq!((&*found.name, found.wait), ("0x40206700", false));
    assert_eq!(describe("hailo", Some("4.20.0"), "hailo0", 0x27).name, "0x00000027");
}
