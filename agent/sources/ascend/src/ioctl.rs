//! Device nodes of Huawei's driver and their ioctls.

use accelscope_core::device::{CommandTable, Commands, DeviceFamily, NodeKind, Requires, call, hook, row, wait};

/// Huawei's Ascend NPUs.
pub static FAMILY: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &[],
        drivers: &["devdrv-cdev", "hisi_davinci_intf", "devmm_svm", "hisi_hdc"],
        nodes: &[
            "davinci#",
            "davinci_manager",
            "davinci_manager_docker",
            "devmm_svm",
            "hisi_hdc",
            "dvpp_cmdlist",
            "lqdcmi_pcidev",
            "event_sched",
        ],
        requires: Requires::Nothing,
    }],
    hooks: &[
        row(
            &["davinci_manager", "davinci_manager_docker"],
            "",
            &[
                hook("drv_davinci_intf_host", "drv_ascend_intf_ioctl"),
                hook("drv_davinci_intf", "drv_ascend_intf_ioctl"),
            ],
        ),
        row(&["devmm_svm"], "", &[hook("drv_devmm_host", "devmm_svm_ioctl")]),
    ],
    commands: Commands::Tables(|_, node| [node.starts_with("davinci").then_some(MANAGER), None]),
    ..DeviceFamily::named("ascend")
};

/// Ascend's manager node: opening and closing a module (`davinci_intf`), and commands that a tracer can identify
/// without knowing the module that the caller opened. Command types repeat between modules: only unambiguous ones are
/// listed.
pub(crate) const MANAGER: CommandTable = CommandTable {
    mask: 0xffff,
    base: 0,
    entries: &[
        // Not a launch in general: with a mapped queue user space rings a doorbell.
        wait(0x5707, "ESCHED_WAIT_EVENT", "returns when an event arrives"),
        call(0x580f, "TRS_SQCQ_ALLOC"),
        wait(0x5814, "TRS_SQCQ_RECV", "returns when a report arrives"),
        call(0x5a00, "INTF_OPEN"),
        call(0x5a01, "INTF_CLOSE"),
        call(0x5a02, "INTF_GET_MODULE_STATUS"),
    ],
};
