//! Lines that people have published, each with where it is from; and lines that only look like them.

mod gpus;

use super::*;
use crate::record;

fn read(text: &str) -> Result<Option<(Kind, Option<i64>, String)>, Malformed> {
    let bytes = format!("3,1,2,-;{text}\n");
    let (header, rest) = record::header(bytes.as_bytes()).unwrap();
    let record = record::record(header, rest).unwrap();
    let found = recognise(&record)?;
    Ok(found.map(|fault| {
        let place = match fault.place {
            Place::Pci(pci) => pci.to_string(),
            Place::Class(class, name) => format!("{class}/{name}"),
            Place::Driver(driver) => driver.to_owned(),
        };
        (fault.kind, fault.code, place)
    }))
}

#[track_caller]
fn is(text: &str, kind: Kind, code: Option<i64>, place: &str) {
    assert_eq!(read(text), Ok(Some((kind, code, place.to_owned()))), "{text}");
}

#[track_caller]
fn is_none(text: &str) {
    assert_eq!(read(text), Ok(None), "{text}");
}

#[test]
fn xids_of_every_form() {
    let lines = [
        // NVIDIA/nvidia-docker#1553
        (
            "NVRM: Xid (PCI:0000:09:00): 79, pid=0, GPU has fallen off the bus.",
            79,
            "0000:09:00.0",
        ),
        // leptonai/gpud#46 (driver 535)
        (
            "NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception on (GPC 7, TPC 7, SM 0): Illegal Instruction Parameter",
            13,
            "0000:cb:00.0",
        ),
        // leptonai/gpud#1174 (GB200)
        (
            "NVRM: Xid (PCI:0019:01:00): 149, NETIR Fatal XC0 i0 Link -1 (0x000fe406 0x00000000 0x00000000 0x00000000 0x00000000 0x00000000)",
            149,
            "0019:01:00.0",
        ),
        // open-gpu-kernel-modules, kern_gr_ga100.c and the guide to memory errors of the A100: a MIG instance
        (
            "NVRM: Xid (PCI:0000:01:00 GPU-I:05): 94, pid=7194, Contained: CE User Channel (0x9). RST: No, D-RST: No",
            94,
            "0000:01:00.0",
        ),
        // pastebin NGng33SB (driver 304)
        (
            "NVRM: Xid (0000:01:00): 31, Ch 0000000b, engmask 00000120, intr 10000000",
            31,
            "0000:01:00.0",
        ),
        // akash-network/support#244 (535.183.01): in a virtual machine
        (
            "NVRM: Xid (PCI:0000:00:05): 43, pid=1045242, name=pt_main_thread, Ch 00000008",
            43,
            "0000:00:05.0",
        ),
        // NVIDIA/open-gpu-kernel-modules#1045 (590.48.01)
        (
            "NVRM: Xid (PCI:0000:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
            154,
            "0000:01:00.0",
        ),
        ("NVRM: Xid (PCI:0000:01:00): 62", 62, "0000:01:00.0"),
    ];
    for (text, code, place) in lines {
        is(text, Kind::Xid, Some(code), place);
    }
    let beyond = "NVRM: Xid (PCI:0000:01:00): 4294967296, x";
    is(beyond, Kind::Xid, Some(accelscope_core::faults::OTHER), "0000:01:00.0");
    is(
        &format!("NVRM: Xid (PCI:0000:01:00): {}, x", "9".repeat(500)),
        Kind::Xid,
        Some(-1),
        "0000:01:00.0",
    );
}

#[test]
fn an_xid_without_gpu_or_code_is_counted_as_malformed() {
    for text in [
        "NVRM: Xid (PCI:0000:01:00): GPU has fallen off the bus",
        "NVRM: Xid (PCI:0000:01): 79, x",
        "NVRM: Xid (43, pid: 5678): ROBUST_CHANNEL_RESETCHANNEL_VERIF_ERROR",
        "NVRM: Xid (PCI:0000:01:00",
        "NVRM: Xid (PCI:0000:01:00): -79, x",
        "NVRM: Xid (PCI:0000:01:00): 79x, x",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): garbled, Fatal",
    ] {
        assert_eq!(read(text), Err(Malformed), "{text}");
    }
}

#[test]
fn sxids_of_switches() {
    let lines = [
        // MENTHOS data set, leptonai/gpud and NVIDIA/NVSentinel
        (
            "nvidia-nvswitch4: SXid (PCI:0000:c6:00.0): 19084, Non-fatal, Link 29 AN1 Heartbeat Timeout Error (First)",
            19084,
            "0000:c6:00.0",
        ),
        (
            "nvidia-nvswitch0: SXid (PCI:0000:c2:00.0): 20034, Fatal, Link 28 LTSSM Fault Up",
            20034,
            "0000:c2:00.0",
        ),
        // soe_lr10.c, therm_lr10.c
        (
            "nvidia-nvswitch1: SXid (PCI:0000:c3:00.0): 26006, SOE HALTED",
            26006,
            "0000:c3:00.0",
        ),
        (
            "nvidia-nvswitch1: SXid (PCI:0000:c3:00.0): 10004, Thermal Slowdown Engaged | PMGR WARN Threshold reached",
            10004,
            "0000:c3:00.0",
        ),
        (
            "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)",
            12028,
            "0000:05:00.0",
        ),
    ];
    for (text, code, place) in lines {
        is(text, Kind::Sxid, Some(code), place);
    }
    is_none("nvidia-nvswitch0: using MSI");
    // What belongs to the event of another line.
    for text in [
        "10002, Severity 5 Engine instance 00 Sub-engine instance 00",
        "28006, Data {0x0000002b, 0x0000002b, 0x00000000, 0x0000002b, 0x80005302, 0x00000000, 0x00000000, 0x00000000, 0x00000000}",
        "26006, SOE HALT data[3] = 0x          1234abcd",
        "10004, NVSWITCH Temperature 95C | TSENSE WARN Threshold 90C",
    ] {
        is_none(&format!("nvidia-nvswitch2: SXid (PCI:0000:c4:00.0): {text}"));
    }
}

#[test]
fn the_process_of_an_xid() {
    let process = |text: &str| {
        let bytes = format!("3,1,2,-;NVRM: Xid (PCI:0000:09:00): {text}\n");
        let (header, rest) = record::header(bytes.as_bytes()).unwrap();
        recognise(&record::record(header, rest).unwrap())
            .unwrap()
            .unwrap()
            .process
    };
    assert_eq!(process("94, pid=7194, Contained: CE User Channel (0x9)"), Some(7194));
    assert_eq!(process("43, pid=1045242, name=pid=3, Ch 00000008"), Some(1_045_242));
    for text in [
        "13, pid='<unknown>', name=<unknown>, Graphics Exception",
        "13, pid=<unknown>, x",
        "13, pid=99999999999, x",
        "13, Graphics Exception: pid=3",
        "62",
    ] {
        assert_eq!(process(text), None, "{text}");
    }
}

#[test]
fn gpus_that_cannot_start() {
    for (text, place) in [
        // geerlingguy/raspberry-pi-pcie-devices (550.40.07)
        (
            "NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x25:0x65:1468)",
            "0000:01:00.0",
        ),
        (
            "NVRM: GPU 0001:00:00.0: RmInitAdapter failed! (0x63:0x55:2344)",
            "0001:00:00.0",
        ),
        ("NVRM: RmInitAdapter failed! (0x26:0xffff:1096)", "nvidia"),
    ] {
        is(text, Kind::InitFailed, None, place);
    }
    // They stand beside it.
    is_none("NVRM: GPU 0000:01:00.0: rm_init_adapter failed, device minor number 0");
    is_none("NVRM: GPU0 RmInitAdapter: Cannot initialize GSP firmware RM");
    is_none("NVRM: GPU 0000:01:00.0: RmInitAdapter succeeded!");
}

#[test]
fn gpus_that_have_fallen_off_the_bus() {
    for (text, place) in [
        // NVIDIA/nvidia-docker#1553
        ("NVRM: GPU 0000:09:00.0: GPU has fallen off the bus.", "0000:09:00.0"),
        // Bumblebee-Project/Bumblebee#554 (driver 331)
        ("NVRM: GPU at 0000:01:00.0 has fallen off the bus.", "0000:01:00.0"),
        // NVIDIA/NVSentinel#155 (570.158.01); the kernel writes line breaks within a message so
        (
            r"NVRM: The NVIDIA GPU 0000:b3:00.0\x0aNVRM: (PCI ID: 10de:26b5) installed in this system has\x0aNVRM: fallen off the bus and is not responding to commands.",
            "0000:b3:00.0",
        ),
    ] {
        is(text, Kind::DeviceLost, None, place);
    }
    is_none("NVRM: GPU 0000:09:00.0: GPU is on Board .");
    is_none("NVRM: GPU at PCI:0000:09:00: GPU-26fba6b2-9e52-006e-68db-4ce18382a5ea");
    is_none(
        r"NVRM: The NVIDIA GPU 0000:b3:00.0 (PCI ID: 10de:26b5)\x0aNVRM: installed in this system is not supported by open nvidia.ko",
    );
}

#[test]
fn pcie_errors_of_the_device_and_not_of_the_port() {
    for (text, kind) in [
        // aer.c of Linux 4.19, 5.15 and 6.11
        (
            "nvidia 0000:3b:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
            Kind::AerCorrected,
        ),
        (
            "nvidia 0000:3b:00.0: AER: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer, (Requester ID)",
            Kind::AerNonfatal,
        ),
        (
            "amdgpu 0000:3b:00.0: PCIe Bus Error: severity=Uncorrectable (Fatal), type=Inaccessible, (Unregistered Agent ID)",
            Kind::AerFatal,
        ),
        (
            "vfio-pci 0000:3b:00.0: PCIe Bus Error: severity=Correctable, type=Data Link Layer, (Transmitter ID)",
            Kind::AerCorrected,
        ),
        // rwth-i6/returnn#1500, open-gpu-kernel-modules#1229
        (
            "nvidia 0000:3b:00.0: AER: can't recover (no error_detected callback)",
            Kind::AerUnrecovered,
        ),
    ] {
        is(text, kind, None, "0000:3b:00.0");
    }
    is_none("pcieport 0000:00:03.0: AER: Multiple Uncorrected (Fatal) error received: 0000:3b:00.0");
    is_none("nvidia 0000:3b:00.0:    [14] CmpltTO                (First)");
    is_none("pcieport 0000:00:03.0: AER: device recovery failed");
}

#[test]
fn npus() {
    // hailort-drivers 4.21, linux/pcie/src/nnc.c and pcie.c; nerves_system_rpi5#103 (5.2)
    let control = "hailo 0000:01:00.0: hailo_fw_control, timeout waiting for control (timeout_ms=1000)";
    is(control, Kind::Firmware, None, "0000:01:00.0");
    is(
        "hailo1x 0000:01:00.0: Firmware load failed",
        Kind::Firmware,
        None,
        "0000:01:00.0",
    );
    is_none(
        "hailo 0000:01:00.0: Firmware file not found (/lib/firmware/hailo/hailo8_fw.bin), please upload the firmware manually",
    );
    // drivers/accel/habanalabs/common/device.c of Linux 5.15 and 6.10; HabanaAI/Setup_and_Install#1
    is(
        "habanalabs hl0: Device heartbeat failed!",
        Kind::HeartbeatLost,
        None,
        "habanalabs/hl0",
    );
    is(
        "accel accel3: Device heartbeat failed! PCI link is broken",
        Kind::HeartbeatLost,
        None,
        "accel/accel3",
    );
    is(
        "habanalabs hl2: Going to RESET device!",
        Kind::Reset,
        None,
        "habanalabs/hl2",
    );
    is(
        "habanalabs 0000:1a:00.0: Failed to initialize hl2. Device is NOT usable !",
        Kind::DeviceLost,
        None,
        "0000:1a:00.0",
    );
    // tt-kmd 2.4.1 and 2.11
    is(
        "tenstorrent 0000:01:00.0: Device is unresponsive, cannot reset.",
        Kind::DeviceLost,
        None,
        "0000:01:00.0",
    );
    is(
        "tenstorrent 0000:01:00.0: Failed to set initial power state: -5",
        Kind::Firmware,
        None,
        "0000:01:00.0",
    );
    is_none("tenstorrent: Skipping message 00000011 due to FW not running.");
}

#[test]
fn what_only_contains_a_fault_is_none() {
    for text in [
        // A name that a USB device gives itself, a process's, a mount's.
        "usb 1-3: Product: NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.",
        "input: NVRM: Xid (PCI:0000:3b:00): 79 as /devices/pci0000:00/0000:00:14.0/usb1/1-3/input/input7",
        "NVRM: Xid (PCI:[1234]: segfault at 0 ip 00005595 sp 00007ffe error 4 in x[55+1]",
        "xe 0000:00:02.0[77]: segfault at 0 ip 0 sp 0 error 4 in x[55+1]",
        "audit: type=1400 comm=\"amdgpu 0000:03:00.0: amdgpu: GPU reset begin!\"",
        " NVRM: Xid (PCI:0000:3b:00): 79, x",
        "nvrm: xid (PCI:0000:3b:00): 79, x",
        "hailo 0000:01:00.0 : Firmware load failed",
        "usb 1-3: Device heartbeat failed!",
        "accel ../../x: Going to reset device",
        "",
        ": ",
        "a : ",
    ] {
        let found = read(text);
        assert!(matches!(found, Ok(None) | Err(Malformed)), "{text}: {found:?}");
    }
}

#[test]
fn a_text_that_names_another_device_than_the_kernel_does_is_not_believed() {
    let read = |device: &str| {
        let text = format!("6,1,2,-;amdgpu 0000:03:00.0: GPU reset begin!\n SUBSYSTEM=pci\n DEVICE={device}\n");
        let (header, rest) = record::header(text.as_bytes()).unwrap();
        recognise(&record::record(header, rest).unwrap()).unwrap().is_some()
    };
    assert!(read("+pci:0000:03:00.0"));
    assert!(!read("+pci:0000:04:00.0"));
    assert!(read("c226:128"), "of another class: the text names the device");
}

proptest::proptest! {
    #[test]
    fn no_bytes_stop_it(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..9000)) {
        if let Some((header, rest)) = record::header(&bytes)
            && let Some(record) = record::record(header, rest)
        {
            recognise(&record).ok();
        }
    }

    #[test]
    fn no_text_stops_it(
        begin in "(\\[drm|NVRM: Xid \\(|nvidia-nvswitch|amdgpu |xe |Fence expiration time out i915-|NVRM: The NVIDIA GPU |NVRM: GPU )",
        rest in "[ -~é]{0,60}",
    ) {
        read(&format!("{begin}{rest}")).ok();
    }
}
