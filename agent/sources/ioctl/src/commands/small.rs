//! Drivers with few commands.

use super::table;
use accelscope_core::device::{CommandTable, call, wait};

/// AMD's compute interface: `include/uapi/linux/kfd_ioctl.h` of Linux 6.1, above 0x23 of 6.5. From 0x80 on those that only
/// AMD's own package of the driver has (the same file of github.com/ROCm/ROCK-Kernel-Driver; 0x82 was given up for 0x26).
pub(crate) const KFD: CommandTable = table(
    b'K',
    &[
        call(0x01, "GET_VERSION"),
        call(0x02, "CREATE_QUEUE"),
        call(0x03, "DESTROY_QUEUE"),
        call(0x04, "SET_MEMORY_POLICY"),
        call(0x05, "GET_CLOCK_COUNTERS"),
        call(0x06, "GET_PROCESS_APERTURES"),
        call(0x07, "UPDATE_QUEUE"),
        call(0x08, "CREATE_EVENT"),
        call(0x09, "DESTROY_EVENT"),
        call(0x0a, "SET_EVENT"),
        call(0x0b, "RESET_EVENT"),
        wait(0x0c, "WAIT_EVENTS", "returns when an event is signalled"),
        call(0x0d, "DBG_REGISTER"),
        call(0x0e, "DBG_UNREGISTER"),
        call(0x0f, "DBG_ADDRESS_WATCH"),
        call(0x10, "DBG_WAVE_CONTROL"),
        call(0x11, "SET_SCRATCH_BACKING_VA"),
        call(0x12, "GET_TILE_CONFIG"),
        call(0x13, "SET_TRAP_HANDLER"),
        call(0x14, "GET_PROCESS_APERTURES_NEW"),
        call(0x15, "ACQUIRE_VM"),
        call(0x16, "ALLOC_MEMORY_OF_GPU"),
        call(0x17, "FREE_MEMORY_OF_GPU"),
        call(0x18, "MAP_MEMORY_TO_GPU"),
        call(0x19, "UNMAP_MEMORY_FROM_GPU"),
        call(0x1a, "SET_CU_MASK"),
        call(0x1b, "GET_QUEUE_WAVE_STATE"),
        call(0x1c, "GET_DMABUF_INFO"),
        call(0x1d, "IMPORT_DMABUF"),
        call(0x1e, "ALLOC_QUEUE_GWS"),
        call(0x1f, "SMI_EVENTS"),
        call(0x20, "SVM"),
        call(0x21, "SET_XNACK_MODE"),
        call(0x22, "CRIU_OP"),
        call(0x23, "AVAILABLE_MEMORY"),
        call(0x24, "EXPORT_DMABUF"),
        call(0x25, "RUNTIME_ENABLE"),
        call(0x26, "DBG_TRAP"),
        call(0x27, "CREATE_PROCESS"),
        call(0x80, "IPC_IMPORT_HANDLE"),
        call(0x81, "IPC_EXPORT_HANDLE"),
        call(0x82, "DBG_TRAP"),
        call(0x83, "CROSS_MEMORY_COPY"),
        call(0x84, "RLC_SPM"),
    ],
);

/// Tenstorrent: `ioctl.h` of github.com/tenstorrent/tt-kmd. Its command numbers encode no size.
pub(crate) const TENSTORRENT: CommandTable = table(
    0xfa,
    &[
        call(0, "GET_DEVICE_INFO"),
        call(1, "GET_HARVESTING"),
        call(2, "QUERY_MAPPINGS"),
        call(3, "ALLOCATE_DMA_BUF"),
        call(4, "FREE_DMA_BUF"),
        call(5, "GET_DRIVER_INFO"),
        call(6, "RESET_DEVICE"),
        call(7, "PIN_PAGES"),
        call(8, "LOCK_CTL"),
        call(9, "MAP_PEER_BAR"),
        call(10, "UNPIN_PAGES"),
        call(11, "ALLOCATE_TLB"),
        call(12, "FREE_TLB"),
        call(13, "CONFIGURE_TLB"),
        call(14, "SET_NOC_CLEANUP"),
        call(15, "SET_POWER_STATE"),
        call(16, "EXPORT_TLB_DMABUF"),
    ],
);

/// Habana before it moved to the accel subsystem (Linux 6.8): `include/uapi/misc/habanalabs.h` of 6.1.
pub(crate) const HABANA: CommandTable = table(
    b'H',
    &[
        call(1, "INFO"),
        call(2, "CB"),
        call(3, "CS"),
        wait(4, "WAIT_CS", "returns when the work is done"),
        call(5, "MEMORY"),
        call(6, "DEBUG"),
    ],
);

/// Google's Edge TPU: `gasket.h` and `apex.h` of github.com/google/gasket-driver.
pub(crate) const GASKET: CommandTable = table(
    0xdc,
    &[
        call(0, "RESET"),
        call(1, "SET_EVENTFD"),
        call(2, "CLEAR_EVENTFD"),
        call(3, "LOOPBACK_INTERRUPT"),
        call(4, "NUMBER_PAGE_TABLES"),
        call(5, "PAGE_TABLE_SIZE"),
        call(6, "SIMPLE_PAGE_TABLE_SIZE"),
        call(7, "PARTITION_PAGE_TABLE"),
        call(8, "MAP_BUFFER"),
        call(9, "UNMAP_BUFFER"),
        call(10, "CLEAR_INTERRUPT_COUNTS"),
        call(11, "CONFIG_COHERENT_ALLOCATOR"),
        call(12, "MAP_BUFFER_FLAGS"),
        call(13, "MAP_DMABUF"),
    ],
);
