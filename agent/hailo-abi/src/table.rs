//! All commands of all lines.

use super::line::Line;

/// First line in which the command has this number, or no number if it was removed.
type Change = (Line, Option<u32>);

/// Changes by name, the oldest first.
pub(super) const COMMANDS: &[(&str, &[Change])] = &[
    (
        "BAR_TRANSFER",
        &[
            (Line::V4_6, Some(0x4020_6700)),
            (Line::V4_10, Some(0xd018_6700)),
            (Line::V4_14, None),
        ],
    ),
    (
        "DESC_LIST_BIND_VDMA_BUFFER",
        &[
            (Line::V4_6, Some(0x8013_760b)),
            (Line::V4_10, Some(0x8013_760c)),
            (Line::V4_14, Some(0x8017_760b)),
            (Line::V4_17, Some(0x8025_7609)),
            (Line::V4_18, None),
        ],
    ),
    (
        "DESC_LIST_CREATE",
        &[
            (Line::V4_6, Some(0xc018_7609)),
            (Line::V4_10, Some(0xc018_760a)),
            (Line::V4_14, Some(0xc019_7609)),
            (Line::V4_17, Some(0xc01b_7607)),
            (Line::V5_3, Some(0xc01b_7606)),
        ],
    ),
    (
        "DESC_LIST_PROGRAM",
        &[
            (Line::V4_18, Some(0x802b_7609)),
            (Line::V4_21, Some(0x8033_7609)),
            (Line::V5_1_1, Some(0x802e_7609)),
            (Line::V5_3, Some(0x802a_7608)),
        ],
    ),
    (
        "DESC_LIST_RELEASE",
        &[
            (Line::V4_6, Some(0x0000_760a)),
            (Line::V4_10, Some(0x8008_760b)),
            (Line::V4_14, Some(0x8008_760a)),
            (Line::V4_17, Some(0x8008_7608)),
            (Line::V5_3, Some(0x8008_7607)),
        ],
    ),
    (
        "DISABLE_NOTIFICATION",
        &[(Line::V4_6, Some(0x0000_6703)), (Line::V4_18, Some(0x0000_6e02))],
    ),
    (
        "FW_CONTROL",
        &[(Line::V4_6, Some(0xc5f8_6701)), (Line::V4_18, Some(0xc5f8_6e00))],
    ),
    (
        "MARK_AS_IN_USE",
        &[
            (Line::V4_6, Some(0x4001_760e)),
            (Line::V4_10, Some(0x4001_760f)),
            (Line::V4_14, Some(0x4001_760e)),
            (Line::V4_17, Some(0x4001_760c)),
            (Line::V5_0_1, Some(0x4001_760a)),
            (Line::V5_3, Some(0x4001_7609)),
        ],
    ),
    (
        "MEMORY_TRANSFER",
        &[
            (Line::V4_14, Some(0xd018_6700)),
            (Line::V4_23, None),
            (Line::V5_0_0, Some(0xd018_6700)),
            (Line::V5_1_0, None),
        ],
    ),
    (
        "NON_LINUX_DESC_LIST_MMAP",
        &[(Line::V4_10, Some(0xc018_7700)), (Line::V4_18, None)],
    ),
    (
        "PCI_EP_ACCEPT",
        &[(Line::V4_18, Some(0xc012_7000)), (Line::V4_19, Some(0xc014_7000))],
    ),
    ("PCI_EP_CLOSE", &[(Line::V4_18, Some(0x8002_7001))]),
    (
        "PCI_EP_LISTEN",
        &[(Line::V5_0_0, Some(0x8003_7002)), (Line::V5_3, None)],
    ),
    (
        "QUERY_DEVICE_PROPERTIES",
        &[
            (Line::V4_6, Some(0x400e_6704)),
            (Line::V4_10, Some(0x4016_6704)),
            (Line::V4_14, Some(0x4017_6704)),
            (Line::V4_18, Some(0x4017_6701)),
            (Line::V5_0_1, Some(0x4013_6701)),
            (Line::V5_1_0, Some(0x4013_6700)),
        ],
    ),
    (
        "QUERY_DRIVER_INFO",
        &[
            (Line::V4_6, Some(0x400c_6705)),
            (Line::V4_18, Some(0x400c_6702)),
            (Line::V5_1_0, Some(0x400c_6701)),
        ],
    ),
    (
        "READ_LOG",
        &[
            (Line::V4_6, Some(0xc01c_6706)),
            (Line::V4_10, Some(0xc214_6706)),
            (Line::V4_18, Some(0xc214_6e03)),
        ],
    ),
    (
        "READ_NOTIFICATION",
        &[(Line::V4_6, Some(0x45e4_6702)), (Line::V4_18, Some(0x45e4_6e01))],
    ),
    (
        "RESET_NN_CORE",
        &[(Line::V4_6, Some(0x0000_6707)), (Line::V4_18, Some(0x0000_6e04))],
    ),
    ("SOC_CLOSE", &[(Line::V4_18, Some(0x8002_7301))]),
    (
        "SOC_CONNECT",
        &[(Line::V4_18, Some(0xc012_7300)), (Line::V4_19, Some(0xc014_7300))],
    ),
    ("SOC_POWER_OFF", &[(Line::V4_21, Some(0x0000_7302))]),
    (
        "VDMA_BUFFER_MAP",
        &[
            (Line::V4_6, Some(0x8024_7606)),
            (Line::V4_10, Some(0xc024_7607)),
            (Line::V4_14, Some(0xc024_7606)),
            (Line::V4_17, Some(0xc024_7604)),
            (Line::V4_18, Some(0xc028_7604)),
            (Line::V5_0_1, Some(0xc020_7604)),
            (Line::V5_3, Some(0xc020_7603)),
        ],
    ),
    (
        "VDMA_BUFFER_SYNC",
        &[
            (Line::V4_6, Some(0x801c_7608)),
            (Line::V4_10, Some(0x801c_7609)),
            (Line::V4_14, Some(0x801c_7608)),
            (Line::V4_17, Some(0x801c_7606)),
            (Line::V5_3, Some(0x801c_7605)),
        ],
    ),
    (
        "VDMA_BUFFER_UNMAP",
        &[
            (Line::V4_6, Some(0x0000_7607)),
            (Line::V4_10, Some(0x8008_7608)),
            (Line::V4_14, Some(0x8008_7607)),
            (Line::V4_17, Some(0x8008_7605)),
            (Line::V5_1_1, Some(0x8020_7605)),
            (Line::V5_3, Some(0x8020_7604)),
        ],
    ),
    (
        "VDMA_CANCEL_PREPARED_TRANSFER",
        &[(Line::V5_1_0, Some(0x8008_760f)), (Line::V5_3, Some(0x8008_760e))],
    ),
    (
        "VDMA_CHANNEL_ABORT",
        &[
            (Line::V4_6, Some(0x800c_7603)),
            (Line::V4_10, Some(0x800a_7603)),
            (Line::V4_14, None),
        ],
    ),
    (
        "VDMA_CHANNEL_CLEAR_ABORT",
        &[
            (Line::V4_6, Some(0x800c_7604)),
            (Line::V4_10, Some(0x800a_7604)),
            (Line::V4_14, None),
        ],
    ),
    (
        "VDMA_CHANNEL_DISABLE",
        &[
            (Line::V4_6, Some(0x800c_7601)),
            (Line::V4_10, Some(0x800a_7601)),
            (Line::V4_14, None),
        ],
    ),
    (
        "VDMA_CHANNEL_ENABLE",
        &[
            (Line::V4_6, Some(0x8019_7600)),
            (Line::V4_10, Some(0xc017_7600)),
            (Line::V4_14, None),
        ],
    ),
    (
        "VDMA_CHANNEL_READ_REGISTER",
        &[
            (Line::V4_10, Some(0xc01a_7605)),
            (Line::V4_14, Some(0xc01a_7604)),
            (Line::V4_17, None),
        ],
    ),
    (
        "VDMA_CHANNEL_REGISTERS",
        &[(Line::V4_6, Some(0xc018_7605)), (Line::V4_10, None)],
    ),
    (
        "VDMA_CHANNEL_WAIT_INT",
        &[
            (Line::V4_6, Some(0x8020_7602)),
            (Line::V4_10, Some(0x801e_7602)),
            (Line::V4_14, None),
        ],
    ),
    (
        "VDMA_CHANNEL_WRITE_REGISTER",
        &[
            (Line::V4_10, Some(0x801a_7606)),
            (Line::V4_14, Some(0x801a_7605)),
            (Line::V4_17, None),
        ],
    ),
    (
        "VDMA_CONTINUOUS_BUFFER_ALLOC",
        &[
            (Line::V4_10, Some(0xc018_7610)),
            (Line::V4_14, Some(0xc018_760f)),
            (Line::V4_17, Some(0xc018_760d)),
            (Line::V5_0_1, Some(0xc018_760b)),
            (Line::V5_3, Some(0xc018_760a)),
        ],
    ),
    (
        "VDMA_CONTINUOUS_BUFFER_FREE",
        &[
            (Line::V4_10, Some(0x0000_7611)),
            (Line::V4_14, Some(0x0000_7610)),
            (Line::V4_17, Some(0x8008_760e)),
            (Line::V5_0_1, Some(0x8008_760c)),
            (Line::V5_3, Some(0x8008_760b)),
        ],
    ),
    (
        "VDMA_DISABLE_CHANNELS",
        &[(Line::V4_18, Some(0x800c_7601)), (Line::V5_0_0, Some(0x8018_7601))],
    ),
    (
        "VDMA_ENABLE_CHANNELS",
        &[
            (Line::V4_18, Some(0x800d_7600)),
            (Line::V5_0_0, Some(0x8019_7600)),
            (Line::V5_3, Some(0x8018_7600)),
        ],
    ),
    (
        "VDMA_INTERRUPTS_DISABLE",
        &[(Line::V4_14, Some(0x800c_7601)), (Line::V4_18, None)],
    ),
    (
        "VDMA_INTERRUPTS_ENABLE",
        &[(Line::V4_14, Some(0x800d_7600)), (Line::V4_18, None)],
    ),
    (
        "VDMA_INTERRUPTS_READ_TIMESTAMPS",
        &[(Line::V4_14, Some(0xca06_7603)), (Line::V5_3, None)],
    ),
    (
        "VDMA_INTERRUPTS_WAIT",
        &[
            (Line::V4_14, Some(0xc2ad_7602)),
            (Line::V4_17, Some(0xc30d_7602)),
            (Line::V4_18, Some(0xc2ad_7602)),
            (Line::V4_21, Some(0xc12d_7602)),
            (Line::V5_0_0, Some(0xc181_7602)),
        ],
    ),
    (
        "VDMA_LAUNCH_TRANSFER",
        &[
            (Line::V4_17, Some(0xc03d_760f)),
            (Line::V4_18, Some(0xc041_760f)),
            (Line::V4_21, Some(0x8099_760f)),
            (Line::V5_0_0, Some(0x809a_760f)),
            (Line::V5_0_1, Some(0x8095_760d)),
            (Line::V5_3, Some(0x808d_760c)),
        ],
    ),
    (
        "VDMA_LOW_MEMORY_BUFFER_ALLOC",
        &[
            (Line::V4_6, Some(0xc010_760c)),
            (Line::V4_10, Some(0xc010_760d)),
            (Line::V4_14, Some(0xc010_760c)),
            (Line::V4_17, Some(0xc010_760a)),
            (Line::V5_0_1, None),
        ],
    ),
    (
        "VDMA_LOW_MEMORY_BUFFER_FREE",
        &[
            (Line::V4_6, Some(0x0000_760d)),
            (Line::V4_10, Some(0x0000_760e)),
            (Line::V4_14, Some(0x0000_760d)),
            (Line::V4_17, Some(0x8008_760b)),
            (Line::V5_0_1, None),
        ],
    ),
    (
        "VDMA_PREPARE_TRANSFER",
        &[(Line::V5_0_1, Some(0x8093_760e)), (Line::V5_3, Some(0x808b_760d))],
    ),
    (
        "WINDOWS_DESC_LIST_MMAP",
        &[(Line::V4_6, Some(0xc018_7700)), (Line::V4_10, None)],
    ),
    ("WRITE_ACTION_LIST", &[(Line::V4_19, Some(0x4018_6e05))]),
];
