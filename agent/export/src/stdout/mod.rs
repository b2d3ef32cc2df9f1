//! `agent --stdout`: what the agent sees, for people and scripts.

mod json;
mod table;

pub use json::json_line;
pub use table::{View, render};
