//! The eBPF programs from user space: offsets of kernel structures, selection and attachment of hooks, and the maps that
//! the programs fill. The module `sys` lists what is not done through aya, and why.

pub mod btf;
pub mod budget;
mod calibrate;
pub mod cast_ids;
mod drivers;
mod environment;
mod event;
mod explain;
mod hierarchy;
mod hooks;
mod interface;
mod live;
mod load;
#[expect(unsafe_code, reason = "memory that is shared with the kernel")]
mod mapped;
mod maps;
mod object;
pub mod offsets;
#[expect(unsafe_code, reason = "values that are shared with the programs")]
mod plain;
mod preemption;
mod programs;
mod refusal;
mod report;
mod selector;
#[expect(unsafe_code, reason = "system calls that no crate wraps")]
mod sys;
mod table;
mod tracefs;
mod types;
mod watch_table;

pub use self::event::Event;
pub use self::explain::{explain_hooks, findings};
pub(crate) use self::interface::{Counts, Losses};
pub(crate) use self::live::LiveKernel;
pub use self::report::{Driver, Report};
pub use crate::HookKind;
