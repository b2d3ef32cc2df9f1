//! Every command of every line.

#[expect(clippy::enum_glob_use, reason = "a table of nothing but its variants")]
use super::line::Line::{self, *};

/// From this line on the command has this number, or is gone.
type Change = (Line, Option<u32>);

/// By name, the changes from the oldest on.
pub(super) const COMMANDS: &[(&str, &[Change])] = &[
    (
        "BAR_TRANSFER",
        &[(V4_6, Some(0x4020_6700)), (V4_10, Some(0xd018_6700)), (V4_14, None)],
    ),
    (
        "DESC_LIST_BIND_VDMA_BUFFER",
        &[
            (V4_6, Some(0x8013_760b)),
            (V4_10, Some(0x8013_760c)),
            (V4_14, Some(0x8017_760b)),
            (V4_17, Some(0x8025_7609)),
            (V4_18, None),
        ],
    ),
    (
        "DESC_LIST_CREATE",
        &[
            (V4_6, Some(0xc018_7609)),
            (V4_10, Some(0xc018_760a)),
            (V4_14, Some(0xc019_7609)),
            (V4_17, Some(0xc01b_7607)),
            (V5_3, Some(0xc01b_7606)),
        ],
    ),
    (
        "DESC_LIST_PROGRAM",
        &[
            (V4_18, Some(0x802b_7609)),
            (V4_21, Some(0x8033_7609)),
            (V5_1_1, Some(0x802e_7609)),
            (V5_3, Some(0x802a_7608)),
        ],
    ),
    (
        "DESC_LIST_RELEASE",
        &[
            (V4_6, Some(0x0000_760a)),
            (V4_10, Some(0x8008_760b)),
            (V4_14, Some(0x8008_760a)),
            (V4_17, Some(0x8008_7608)),
            (V5_3, Some(0x8008_7607)),
        ],
    ),
    (
        "DISABLE_NOTIFICATION",
        &[(V4_6, Some(0x0000_6703)), (V4_18, Some(0x0000_6e02))],
    ),
    ("FW_CONTROL", &[(V4_6, Some(0xc5f8_6701)), (V4_18, Some(0xc5f8_6e00))]),
    (
        "MARK_AS_IN_USE",
        &[
            (V4_6, Some(0x4001_760e)),
            (V4_10, Some(0x4001_760f)),
            (V4_14, Some(0x4001_760e)),
            (V4_17, Some(0x4001_760c)),
            (V5_0_1, Some(0x4001_760a)),
            (V5_3, Some(0x4001_7609)),
        ],
    ),
    (
        "MEMORY_TRANSFER",
        &[
            (V4_14, Some(0xd018_6700)),
            (V4_23, None),
            (V5_0_0, Some(0xd018_6700)),
            (V5_1_0, None),
        ],
    ),
    ("NON_LINUX_DESC_LIST_MMAP", &[(V4_10, Some(0xc018_7700)), (V4_18, None)]),
    (
        "PCI_EP_ACCEPT",
        &[(V4_18, Some(0xc012_7000)), (V4_19, Some(0xc014_7000))],
    ),
    ("PCI_EP_CLOSE", &[(V4_18, Some(0x8002_7001))]),
    ("PCI_EP_LISTEN", &[(V5_0_0, Some(0x8003_7002)), (V5_3, None)]),
    (
        "QUERY_DEVICE_PROPERTIES",
        &[
            (V4_6, Some(0x400e_6704)),
            (V4_10, Some(0x4016_6704)),
            (V4_14, Some(0x4017_6704)),
            (V4_18, Some(0x4017_6701)),
            (V5_0_1, Some(0x4013_6701)),
            (V5_1_0, Some(0x4013_6700)),
        ],
    ),
    (
        "QUERY_DRIVER_INFO",
        &[
            (V4_6, Some(0x400c_6705)),
            (V4_18, Some(0x400c_6702)),
            (V5_1_0, Some(0x400c_6701)),
        ],
    ),
    (
        "READ_LOG",
        &[
            (V4_6, Some(0xc01c_6706)),
            (V4_10, Some(0xc214_6706)),
            (V4_18, Some(0xc214_6e03)),
        ],
    ),
    (
        "READ_NOTIFICATION",
        &[(V4_6, Some(0x45e4_6702)), (V4_18, Some(0x45e4_6e01))],
    ),
    (
        "RESET_NN_CORE",
        &[(V4_6, Some(0x0000_6707)), (V4_18, Some(0x0000_6e04))],
    ),
    ("SOC_CLOSE", &[(V4_18, Some(0x8002_7301))]),
    ("SOC_CONNECT", &[(V4_18, Some(0xc012_7300)), (V4_19, Some(0xc014_7300))]),
    ("SOC_POWER_OFF", &[(V4_21, Some(0x0000_7302))]),
    (
        "VDMA_BUFFER_MAP",
        &[
            (V4_6, Some(0x8024_7606)),
            (V4_10, Some(0xc024_7607)),
            (V4_14, Some(0xc024_7606)),
            (V4_17, Some(0xc024_7604)),
            (V4_18, Some(0xc028_7604)),
            (V5_0_1, Some(0xc020_7604)),
            (V5_3, Some(0xc020_7603)),
        ],
    ),
    (
        "VDMA_BUFFER_SYNC",
        &[
            (V4_6, Some(0x801c_7608)),
            (V4_10, Some(0x801c_7609)),
            (V4_14, Some(0x801c_7608)),
            (V4_17, Some(0x801c_7606)),
            (V5_3, Some(0x801c_7605)),
        ],
    ),
    (
        "VDMA_BUFFER_UNMAP",
        &[
            (V4_6, Some(0x0000_7607)),
            (V4_10, Some(0x8008_7608)),
            (V4_14, Some(0x8008_7607)),
            (V4_17, Some(0x8008_7605)),
            (V5_1_1, Some(0x8020_7605)),
            (V5_3, Some(0x8020_7604)),
        ],
    ),
    (
        "VDMA_CANCEL_PREPARED_TRANSFER",
        &[(V5_1_0, Some(0x8008_760f)), (V5_3, Some(0x8008_760e))],
    ),
    (
        "VDMA_CHANNEL_ABORT",
        &[(V4_6, Some(0x800c_7603)), (V4_10, Some(0x800a_7603)), (V4_14, None)],
    ),
    (
        "VDMA_CHANNEL_CLEAR_ABORT",
        &[(V4_6, Some(0x800c_7604)), (V4_10, Some(0x800a_7604)), (V4_14, None)],
    ),
    (
        "VDMA_CHANNEL_DISABLE",
        &[(V4_6, Some(0x800c_7601)), (V4_10, Some(0x800a_7601)), (V4_14, None)],
    ),
    (
        "VDMA_CHANNEL_ENABLE",
        &[(V4_6, Some(0x8019_7600)), (V4_10, Some(0xc017_7600)), (V4_14, None)],
    ),
    (
        "VDMA_CHANNEL_READ_REGISTER",
        &[(V4_10, Some(0xc01a_7605)), (V4_14, Some(0xc01a_7604)), (V4_17, None)],
    ),
    ("VDMA_CHANNEL_REGISTERS", &[(V4_6, Some(0xc018_7605)), (V4_10, None)]),
    (
        "VDMA_CHANNEL_WAIT_INT",
        &[(V4_6, Some(0x8020_7602)), (V4_10, Some(0x801e_7602)), (V4_14, None)],
    ),
    (
        "VDMA_CHANNEL_WRITE_REGISTER",
        &[(V4_10, Some(0x801a_7606)), (V4_14, Some(0x801a_7605)), (V4_17, None)],
    ),
    (
        "VDMA_CONTINUOUS_BUFFER_ALLOC",
        &[
            (V4_10, Some(0xc018_7610)),
            (V4_14, Some(0xc018_760f)),
            (V4_17, Some(0xc018_760d)),
            (V5_0_1, Some(0xc018_760b)),
            (V5_3, Some(0xc018_760a)),
        ],
    ),
    (
        "VDMA_CONTINUOUS_BUFFER_FREE",
        &[
            (V4_10, Some(0x0000_7611)),
            (V4_14, Some(0x0000_7610)),
            (V4_17, Some(0x8008_760e)),
            (V5_0_1, Some(0x8008_760c)),
            (V5_3, Some(0x8008_760b)),
        ],
    ),
    (
        "VDMA_DISABLE_CHANNELS",
        &[(V4_18, Some(0x800c_7601)), (V5_0_0, Some(0x8018_7601))],
    ),
    (
        "VDMA_ENABLE_CHANNELS",
        &[
            (V4_18, Some(0x800d_7600)),
            (V5_0_0, Some(0x8019_7600)),
            (V5_3, Some(0x8018_7600)),
        ],
    ),
    ("VDMA_INTERRUPTS_DISABLE", &[(V4_14, Some(0x800c_7601)), (V4_18, None)]),
    ("VDMA_INTERRUPTS_ENABLE", &[(V4_14, Some(0x800d_7600)), (V4_18, None)]),
    (
        "VDMA_INTERRUPTS_READ_TIMESTAMPS",
        &[(V4_14, Some(0xca06_7603)), (V5_3, None)],
    ),
    (
        "VDMA_INTERRUPTS_WAIT",
        &[
            (V4_14, Some(0xc2ad_7602)),
            (V4_17, Some(0xc30d_7602)),
            (V4_18, Some(0xc2ad_7602)),
            (V4_21, Some(0xc12d_7602)),
            (V5_0_0, Some(0xc181_7602)),
        ],
    ),
    (
        "VDMA_LAUNCH_TRANSFER",
        &[
            (V4_17, Some(0xc03d_760f)),
            (V4_18, Some(0xc041_760f)),
            (V4_21, Some(0x8099_760f)),
            (V5_0_0, Some(0x809a_760f)),
            (V5_0_1, Some(0x8095_760d)),
            (V5_3, Some(0x808d_760c)),
        ],
    ),
    (
        "VDMA_LOW_MEMORY_BUFFER_ALLOC",
        &[
            (V4_6, Some(0xc010_760c)),
            (V4_10, Some(0xc010_760d)),
            (V4_14, Some(0xc010_760c)),
            (V4_17, Some(0xc010_760a)),
            (V5_0_1, None),
        ],
    ),
    (
        "VDMA_LOW_MEMORY_BUFFER_FREE",
        &[
            (V4_6, Some(0x0000_760d)),
            (V4_10, Some(0x0000_760e)),
            (V4_14, Some(0x0000_760d)),
            (V4_17, Some(0x8008_760b)),
            (V5_0_1, None),
        ],
    ),
    (
        "VDMA_PREPARE_TRANSFER",
        &[(V5_0_1, Some(0x8093_760e)), (V5_3, Some(0x808b_760d))],
    ),
    ("WINDOWS_DESC_LIST_MMAP", &[(V4_6, Some(0xc018_7700)), (V4_10, None)]),
    ("WRITE_ACTION_LIST", &[(V4_19, Some(0x4018_6e05))]),
];
