//! NVIDIA's management library (NVML): `nvml-wrapper` loads and initialises it; functions of devices are called through
//! the wrapper's own table of symbols.
//!
//! The wrapper's safe methods of devices are not used: they take a successful count call for an empty process list,
//! drop the instance ids of events, zero the scope of field values, have no code above 22, and do not fall back from a
//! missing function to its older one.
//!
//! # How to call it
//! - [`Nvml::open`] loads and starts the library once a process; it is never unloaded, so [`Nvml`] and [`Device`] are
//!   `'static`, `Copy` and may be used by several threads, as NVML may. A driver that is replaced underneath needs a
//!   new process ([`Code::ends_process`]).
//! - [`Device`] has a safe method for each function that is used; `unsafe` code stands in this folder only. A function
//!   that the library lacks is [`Code::FunctionNotFound`], which NVML itself returns for one that the driver lacks.
//!   `call!` with a newer name `.or_older(|| ...)` with an older one makes the fallback.
//! - [`Device::field_values`] takes field ids as `nvml-wrapper-sys` has them (the numbering before driver 580.82) and
//!   gives each its own result.

mod device;
mod error;
mod events;
mod field;
mod gpm;
mod mig;
mod open;
mod plain;
mod processes;
mod samples;
mod text;

pub(super) use device::{Device, Pci};
pub(super) use error::{Code, NvmlError, OrOlder};
use error::{check, missing};
pub(super) use events::{Xid, XidEvents};
pub(super) use field::{ALL_LINKS, Field, Number};
pub(super) use gpm::GpmSample;
pub(super) use mig::{MigDevice, MigSizes};
pub(super) use nvml_wrapper_sys::bindings as sys;
pub(super) use open::{Nvml, OpenError};
use plain::zeroed;
pub(super) use processes::{ListedProcess, ProcessList, ProcessSample};
use text::text;

/// `call!(nvml, nvmlFunction(arguments...))` is `Ok(())` or the [`NvmlError`] with the function's name. Must stand in an
/// `unsafe` block.
macro_rules! call {
    ($nvml:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $nvml.symbols().$function.as_ref() {
            Ok(function) => crate::nvml::check(stringify!($function), function($($argument),*)),
            Err(_) => Err(crate::nvml::missing(stringify!($function))),
        }
    };
}
use call;
