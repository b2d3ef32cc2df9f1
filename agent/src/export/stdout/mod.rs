//! `agent --stdout`: what the agent sees, for people and scripts.

mod cells;
mod json;
mod table;

pub use cells::for_terminal;
pub use json::json_line;
pub use table::{Note, View, render};
