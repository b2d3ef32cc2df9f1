//! The kinds of hooks that can be attached.

use std::io;

use super::sys::LoadError;

/// Why a hook could not be attached.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// This build has no such program.
    #[error("this build has no program {0}")]
    NoProgram(String),
    /// The kernel refused the program.
    #[error("the program {name} was refused: {source}")]
    Load {
        /// Name of the program.
        name: String,
        /// The kernel's error.
        source: LoadError,
    },
    /// There is no tracefs, and none could be mounted.
    #[error("there is no tracefs: {0}")]
    Tracefs(#[source] io::Error),
    /// The program could not be attached.
    #[error("{to}: {source}")]
    Attach {
        /// Function, tracepoint or directory.
        to: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// The kernel refused access to a module's type information.
    #[error("types of {module}: {source}")]
    ModuleTypes {
        /// Name of the module.
        module: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// There is no type information about the function.
    #[error("{0}")]
    NoTypes(String),
}

impl HookError {
    /// The kernel's error number, if the kernel refused something.
    pub(super) fn errno(&self) -> Option<i32> {
        match self {
            Self::Load { source, .. } => source.source.raw_os_error(),
            Self::Tracefs(source) | Self::Attach { source, .. } | Self::ModuleTypes { source, .. } => {
                source.raw_os_error()
            }
            Self::NoProgram(_) | Self::NoTypes(_) => None,
        }
    }

    /// What to call on an error of attaching to this function, tracepoint or directory.
    pub(super) fn attach(to: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let to = to.into();
        |source| Self::Attach { to, source }
    }
}

/// Attaches programs. A trait, so that the selection can be tested without a kernel that has all kinds of hooks.
pub(super) trait Hooks {
    /// Keeps a pair of programs attached.
    type Attached;

    /// `fentry` and `fexit` on a function of a module, or of the kernel itself where the module is built in.
    fn fentry(&mut self, module: &str, symbol: &str) -> Result<Self::Attached, HookError>;
    /// A kprobe and a kretprobe on a function.
    fn kprobe(&mut self, symbol: &str) -> Result<Self::Attached, HookError>;
    /// A kprobe and a kretprobe on the kernel's function for ioctl(2) of 32-bit programs.
    fn compat(&mut self) -> Result<Self::Attached, HookError>;
    /// `syscalls:sys_enter_ioctl` and `sys_exit_ioctl`.
    fn tracepoints(&mut self) -> Result<Self::Attached, HookError>;
    /// The raw tracepoints of all system calls, typed where the kernel has type information.
    fn raw_tracepoints(&mut self) -> Result<Self::Attached, HookError>;
    /// A number that changes when the module is loaded again; nothing while it is not loaded.
    fn module(&self, module: &str) -> Option<u64>;
}
