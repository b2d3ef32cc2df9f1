//! Faults of a GPU: what each means for its state, and what to do about it.

use super::nvml::Code;

/// A fault of a GPU, found in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It no longer answers.
    Lost,
    /// The driver counts it and finds it no more.
    NotFound,
    /// The driver gives no handle of it, for another reason.
    Inaccessible,
    /// This process may not use it.
    NoPermission,
    /// Its power cables are not attached properly.
    InsufficientPower,
    /// The kernel found a fault with its interrupts.
    IrqIssue,
    /// Its infoROM is corrupted.
    CorruptedInforom,
    /// It does not work before a reset.
    ResetRequired,
    /// It does not work before a reboot of the host.
    RebootRequired,
    /// A row of its memory could not be replaced: there is no spare one.
    RemappingFailed,
    /// A row of its memory is replaced at the next reset.
    RemappingPending,
    /// A page of its memory is retired at the next reset.
    RetirementPending,
    /// The driver requests that it be drained, and perhaps reset; running work continues.
    DrainRequired,
    /// Another GPU reports the same UUID.
    DuplicateUuid,
}

/// What a fault means for the GPU (`hw.state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Nothing.
    None,
    /// It works with restrictions.
    Degraded,
    /// It works and is likely to fail.
    PredictedFailure,
    /// It does not work.
    Failed,
}

impl Fault {
    /// Every fault.
    pub(crate) const ALL: [Self; 14] = [
        Self::Lost,
        Self::NotFound,
        Self::Inaccessible,
        Self::NoPermission,
        Self::InsufficientPower,
        Self::IrqIssue,
        Self::CorruptedInforom,
        Self::ResetRequired,
        Self::RebootRequired,
        Self::RemappingFailed,
        Self::RemappingPending,
        Self::RetirementPending,
        Self::DrainRequired,
        Self::DuplicateUuid,
    ];

    /// The fault of a GPU for which a call returned `code`, if it does not answer until it is reset or comes back.
    pub(super) const fn of_lost(code: Code) -> Option<Self> {
        match code {
            Code::GpuIsLost => Some(Self::Lost),
            Code::GpuNotFound => Some(Self::NotFound),
            Code::ResetRequired => Some(Self::ResetRequired),
            _ => None,
        }
    }

    /// The fault of a GPU of which the driver gives no handle but `code`.
    pub(super) const fn of_handle(code: Code) -> Self {
        match (Self::of_lost(code), code) {
            (Some(fault), _) => fault,
            (None, Code::NotFound) => Self::NotFound,
            (None, Code::NoPermission) => Self::NoPermission,
            (None, Code::InsufficientPower) => Self::InsufficientPower,
            (None, Code::IrqIssue) => Self::IrqIssue,
            (None, Code::CorruptedInforom) => Self::CorruptedInforom,
            (None, _) => Self::Inaccessible,
        }
    }

    /// Value of the attribute `error.type`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "gpu_is_lost",
            Self::NotFound => "gpu_not_found",
            Self::Inaccessible => "inaccessible",
            Self::NoPermission => "no_permission",
            Self::InsufficientPower => "insufficient_power",
            Self::IrqIssue => "irq_issue",
            Self::CorruptedInforom => "corrupted_inforom",
            Self::ResetRequired => "reset_required",
            Self::RebootRequired => "reboot_required",
            Self::RemappingFailed => "remapping_failed",
            Self::RemappingPending => "remapping_pending",
            Self::RetirementPending => "retirement_pending",
            Self::DrainRequired => "drain_required",
            Self::DuplicateUuid => "duplicate_uuid",
        }
    }

    /// What it means for the GPU.
    pub(crate) const fn severity(self) -> Severity {
        match self {
            Self::Lost
            | Self::NotFound
            | Self::Inaccessible
            | Self::InsufficientPower
            | Self::IrqIssue
            | Self::CorruptedInforom
            | Self::ResetRequired
            | Self::RebootRequired => Severity::Failed,
            Self::RemappingFailed => Severity::PredictedFailure,
            Self::RemappingPending | Self::RetirementPending | Self::DrainRequired => Severity::Degraded,
            Self::NoPermission | Self::DuplicateUuid => Severity::None,
        }
    }

    /// Message for `agent doctor`.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Lost => "is lost: it has fallen off the bus or does not answer",
            Self::NotFound => "is lost: the driver finds it no more",
            Self::Inaccessible => "does not answer: the driver gives no handle of it",
            Self::NoPermission => "is not read: the agent is not permitted to use it",
            Self::InsufficientPower => "does not work: its power cables are not attached properly",
            Self::IrqIssue => "does not work: the kernel found a fault with its interrupts",
            Self::CorruptedInforom => "does not work: its infoROM is corrupted",
            Self::ResetRequired => "must be reset before it can be used again",
            Self::RebootRequired => "does not work before the host is rebooted",
            Self::RemappingFailed => "has faulty memory that could not be replaced",
            Self::RemappingPending => "has faulty memory that is replaced at the next reset",
            Self::RetirementPending => "has faulty memory that is retired at the next reset",
            Self::DrainRequired => "must be drained, as its driver requests",
            Self::DuplicateUuid => "reports the same UUID as another GPU: its hw.id has its address in addition",
        }
    }

    /// Remedy for `agent doctor`.
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Lost | Self::NotFound | Self::Inaccessible => {
                "look at `dmesg` for `NVRM: Xid` lines; drain the node and reboot it, and if it is lost again check the \
                 board, its power and its slot"
            }
            Self::NoPermission => {
                "give the agent's container all GPUs (NVIDIA_VISIBLE_DEVICES=all with the runtime class nvidia), or                  permit the agent's user to open /dev/nvidiaINDEX"
            }
            Self::InsufficientPower => "attach the power cables of the board, then reboot the node",
            Self::IrqIssue => {
                "look at `dmesg` for interrupt and NVRM lines; reboot the node, and check its firmware's settings"
            }
            Self::CorruptedInforom => "drain the node and exchange the board",
            Self::ResetRequired | Self::RemappingPending | Self::RetirementPending => {
                "drain the node and reset the GPU (`nvidia-smi -r -i INDEX`), or reboot"
            }
            Self::RebootRequired => "drain the node and reboot it",
            Self::RemappingFailed => "exchange the board",
            Self::DrainRequired => "drain the node, then reset the GPU (`nvidia-smi -r -i INDEX`)",
            Self::DuplicateUuid => {
                "correct the virtual machine or the simulator that gives both the same: Kubernetes allocates by UUID, and \
                 such an allocation fits both"
            }
        }
    }
}
