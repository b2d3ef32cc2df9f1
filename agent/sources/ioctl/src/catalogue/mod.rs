//! Instruments of the calls to device nodes and of their holders.

pub mod calls;
pub mod ioctl;
