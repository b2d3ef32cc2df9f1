//! Device nodes of NVIDIA's driver and their ioctls (github.com/NVIDIA/open-gpu-kernel-modules 595.45.04).
//!
//! A kernel launch is no ioctl: user space writes to a doorbell register. These commands allocate and control.

use accelscope_core::device::{CommandTable, Commands, DeviceFamily, Entry, NodeKind, Requires, call, hook, row, wait};

/// NVIDIA's GPUs: the devices themselves, control, unified memory, modeset, capabilities and NVSwitch.
pub static FAMILY: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        // The driver registers no class: its nodes are created by nvidia-modprobe.
        classes: &[],
        drivers: &[
            "nvidia",
            // Before 545.23.06.
            "nvidia-frontend",
            "nvidiactl",
            "nvidia-modeset",
            "nvidia-uvm",
            "nvidia-caps",
            "nvidia-caps-imex-channels",
            "nvidia-nvswitch",
            "nvidia-nvlink",
        ],
        nodes: &[
            "nvidia#",
            "nvidiactl",
            "nvidia-modeset",
            "nvidia-uvm",
            "nvidia-uvm-tools",
            "nvidia-nvswitch#",
            "nvidia-nvswitchctl",
            "nvidia-nvlink",
            "nvidia-caps/nvidia-cap#",
            "nvidia-caps-imex-channels/channel#",
        ],
        requires: Requires::Nothing,
    }],
    hooks: &[
        row(
            &["nvidia-uvm", "nvidia-uvm-tools"],
            "",
            &[
                hook("nvidia_uvm", "uvm_unlocked_ioctl_entry"),
                hook("nvidia_uvm", "uvm_unlocked_ioctl"),
            ],
        ),
        row(
            &["nvidia-modeset"],
            "",
            &[
                hook("nvidia_modeset", "nvkms_unlocked_ioctl"),
                hook("nvidia", "nvidia_frontend_unlocked_ioctl"),
            ],
        ),
        row(
            &["nvidia-nvswitch#"],
            "",
            &[hook("nvidia", "nvswitch_device_unlocked_ioctl")],
        ),
        row(
            &["nvidia-nvswitchctl"],
            "",
            &[hook("nvidia", "nvswitch_ctl_unlocked_ioctl")],
        ),
        row(
            &["nvidia#", "nvidiactl"],
            "",
            &[
                hook("nvidia", "nvidia_unlocked_ioctl"),
                // Before 545.23.06.
                hook("nvidia", "nvidia_frontend_unlocked_ioctl"),
            ],
        ),
    ],
    commands: Commands::Tables(|_, node| [Some(commands(node)), None]),
    wraps_commands: |node| !matches!(node, "nvidia-uvm" | "nvidia-uvm-tools" | "nvidia-modeset"),
    ..DeviceFamily::named("nvidia")
};

fn commands(node: &str) -> CommandTable {
    match node {
        "nvidia-uvm" | "nvidia-uvm-tools" => UVM,
        "nvidia-modeset" => MODESET,
        _ => CONTROL,
    }
}

/// Control: `nv_escape.h` and `nv-ioctl-numbers.h`, with commands of older drivers (`RM_CONFIG_*` in 515.43.04,
/// `ENV_INFO` before). The driver evaluates the number (`_IOC_NR`) alone.
const CONTROL: CommandTable = CommandTable {
    mask: 0xff,
    base: 0,
    entries: &[
        call(0x27, "RM_ALLOC_MEMORY"),
        call(0x28, "RM_ALLOC_OBJECT"),
        call(0x29, "RM_FREE"),
        call(0x2a, "RM_CONTROL"),
        call(0x2b, "RM_ALLOC"),
        call(0x32, "RM_CONFIG_GET"),
        call(0x33, "RM_CONFIG_SET"),
        call(0x34, "RM_DUP_OBJECT"),
        call(0x35, "RM_SHARE"),
        call(0x37, "RM_CONFIG_GET_EX"),
        call(0x38, "RM_CONFIG_SET_EX"),
        call(0x39, "RM_I2C_ACCESS"),
        call(0x41, "RM_IDLE_CHANNELS"),
        call(0x4a, "RM_VID_HEAP_CONTROL"),
        call(0x4d, "RM_ACCESS_REGISTRY"),
        call(0x4e, "RM_MAP_MEMORY"),
        call(0x4f, "RM_UNMAP_MEMORY"),
        call(0x52, "RM_GET_EVENT_DATA"),
        call(0x54, "RM_ALLOC_CONTEXT_DMA2"),
        call(0x56, "RM_ADD_VBLANK_CALLBACK"),
        call(0x57, "RM_MAP_MEMORY_DMA"),
        call(0x58, "RM_UNMAP_MEMORY_DMA"),
        call(0x59, "RM_BIND_CONTEXT_DMA"),
        call(0x5c, "RM_EXPORT_OBJECT_TO_FD"),
        call(0x5d, "RM_IMPORT_OBJECT_FROM_FD"),
        call(0x5e, "RM_UPDATE_DEVICE_MAPPING_INFO"),
        call(0x5f, "RM_LOCKLESS_DIAGNOSTIC"),
        call(0xc8, "CARD_INFO"),
        call(0xc9, "REGISTER_FD"),
        call(0xca, "ENV_INFO"),
        call(0xce, "ALLOC_OS_EVENT"),
        call(0xcf, "FREE_OS_EVENT"),
        call(0xd1, "STATUS_CODE"),
        call(0xd2, "CHECK_VERSION_STR"),
        call(0xd3, "IOCTL_XFER_CMD"),
        call(0xd4, "ATTACH_GPUS_TO_FD"),
        call(0xd5, "QUERY_DEVICE_INTR"),
        call(0xd6, "SYS_PARAMS"),
        call(0xd7, "NUMA_INFO"),
        call(0xd8, "SET_NUMA_STATUS"),
        call(0xd9, "EXPORT_TO_DMABUF_FD"),
        wait(
            0xda,
            "WAIT_OPEN_COMPLETE",
            "returns when the device that is being opened is ready",
        ),
    ],
};

/// Unified memory: `uvm_ioctl.h` and `uvm_linux_ioctl.h`, plain numbers without type and size.
const UVM: CommandTable = CommandTable {
    mask: u32::MAX,
    base: 0,
    entries: UVM_ENTRIES,
};

const UVM_ENTRIES: &[Entry] = &[
    call(1, "UVM_RESERVE_VA"),
    call(2, "UVM_RELEASE_VA"),
    call(3, "UVM_REGION_COMMIT"),
    call(4, "UVM_REGION_DECOMMIT"),
    call(5, "UVM_REGION_SET_STREAM"),
    call(6, "UVM_SET_STREAM_RUNNING"),
    call(7, "UVM_SET_STREAM_STOPPED"),
    call(9, "UVM_RUN_TEST"),
    call(10, "UVM_ADD_SESSION"),
    call(11, "UVM_REMOVE_SESSION"),
    call(12, "UVM_ENABLE_COUNTERS"),
    call(13, "UVM_MAP_COUNTER"),
    call(14, "UVM_CREATE_EVENT_QUEUE"),
    call(15, "UVM_REMOVE_EVENT_QUEUE"),
    call(16, "UVM_MAP_EVENT_QUEUE"),
    call(17, "UVM_EVENT_CTRL"),
    call(18, "UVM_REGISTER_MPS_SERVER"),
    call(19, "UVM_REGISTER_MPS_CLIENT"),
    call(20, "UVM_GET_GPU_UUID_TABLE"),
    call(21, "UVM_REGION_SET_BACKING"),
    call(22, "UVM_REGION_UNSET_BACKING"),
    call(23, "UVM_CREATE_RANGE_GROUP"),
    call(24, "UVM_DESTROY_RANGE_GROUP"),
    call(25, "UVM_REGISTER_GPU_VASPACE"),
    call(26, "UVM_UNREGISTER_GPU_VASPACE"),
    call(27, "UVM_REGISTER_CHANNEL"),
    call(28, "UVM_UNREGISTER_CHANNEL"),
    call(29, "UVM_ENABLE_PEER_ACCESS"),
    call(30, "UVM_DISABLE_PEER_ACCESS"),
    call(31, "UVM_SET_RANGE_GROUP"),
    call(33, "UVM_MAP_EXTERNAL_ALLOCATION"),
    call(34, "UVM_FREE"),
    call(35, "UVM_MEM_MAP"),
    call(36, "UVM_DEBUG_ACCESS_MEMORY"),
    call(37, "UVM_REGISTER_GPU"),
    call(38, "UVM_UNREGISTER_GPU"),
    call(39, "UVM_PAGEABLE_MEM_ACCESS"),
    call(40, "UVM_PREVENT_MIGRATION_RANGE_GROUPS"),
    call(41, "UVM_ALLOW_MIGRATION_RANGE_GROUPS"),
    call(42, "UVM_SET_PREFERRED_LOCATION"),
    call(43, "UVM_UNSET_PREFERRED_LOCATION"),
    call(44, "UVM_ENABLE_READ_DUPLICATION"),
    call(45, "UVM_DISABLE_READ_DUPLICATION"),
    call(46, "UVM_SET_ACCESSED_BY"),
    call(47, "UVM_UNSET_ACCESSED_BY"),
    call(51, "UVM_MIGRATE"),
    call(53, "UVM_MIGRATE_RANGE_GROUP"),
    call(54, "UVM_ENABLE_SYSTEM_WIDE_ATOMICS"),
    call(55, "UVM_DISABLE_SYSTEM_WIDE_ATOMICS"),
    call(56, "UVM_TOOLS_INIT_EVENT_TRACKER"),
    call(57, "UVM_TOOLS_SET_NOTIFICATION_THRESHOLD"),
    call(58, "UVM_TOOLS_EVENT_QUEUE_ENABLE_EVENTS"),
    call(59, "UVM_TOOLS_EVENT_QUEUE_DISABLE_EVENTS"),
    call(60, "UVM_TOOLS_ENABLE_COUNTERS"),
    call(61, "UVM_TOOLS_DISABLE_COUNTERS"),
    call(62, "UVM_TOOLS_READ_PROCESS_MEMORY"),
    call(63, "UVM_TOOLS_WRITE_PROCESS_MEMORY"),
    call(64, "UVM_TOOLS_GET_PROCESSOR_UUID_TABLE"),
    call(65, "UVM_MAP_DYNAMIC_PARALLELISM_REGION"),
    call(66, "UVM_UNMAP_EXTERNAL"),
    call(67, "UVM_TOOLS_FLUSH_EVENTS"),
    call(68, "UVM_ALLOC_SEMAPHORE_POOL"),
    call(69, "UVM_CLEAN_UP_ZOMBIE_RESOURCES"),
    call(70, "UVM_PAGEABLE_MEM_ACCESS_ON_GPU"),
    call(71, "UVM_POPULATE_PAGEABLE"),
    call(72, "UVM_VALIDATE_VA_RANGE"),
    call(73, "UVM_CREATE_EXTERNAL_RANGE"),
    call(74, "UVM_MAP_EXTERNAL_SPARSE"),
    call(75, "UVM_MM_INITIALIZE"),
    call(76, "UVM_TOOLS_INIT_EVENT_TRACKER_V2"),
    call(77, "UVM_TOOLS_GET_PROCESSOR_UUID_TABLE_V2"),
    call(78, "UVM_ALLOC_DEVICE_P2P"),
    call(79, "UVM_CLEAR_ALL_ACCESS_COUNTERS"),
    call(80, "UVM_DISCARD"),
    call(2047, "UVM_IS_8_SUPPORTED"),
    call(0x3000_0001, "UVM_INITIALIZE"),
    call(0x3000_0002, "UVM_DEINITIALIZE"),
];

/// Modeset: one command with the operation in its argument (`nvkms-ioctl.h`).
const MODESET: CommandTable = CommandTable {
    mask: 0xffff,
    base: 0x6d00,
    entries: &[call(0, "NVKMS_IOCTL")],
};
