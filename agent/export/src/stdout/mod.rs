//! `agent --stdout`: what the agent sees, for people and scripts.

mod ascend;
mod cells;
mod hailo;
mod ioctl;
mod json;
mod lookup;
mod nvidia;
mod recent;
mod table;

pub use cells::for_terminal;
pub use json::json_line;
pub use recent::Recent;
pub use table::{Note, View, render};
