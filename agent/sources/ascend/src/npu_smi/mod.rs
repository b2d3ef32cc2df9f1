//! What `npu-smi` prints, for every generation of it from 1.8 (2020) to 26.0 (2026).
//!
//! No column positions: a row is cut at its bars and then at blanks, and the headers say what the pieces are. That is
//! what all generations have in common; widths, spacing and even the number of bars differ, and a number may touch the
//! slash beside it (`59718/ 65536`).

mod blocks;
mod column;
mod fault;
mod fill;
mod items;
mod line;
mod listing;
mod parser;
mod processes;
mod row;
mod table;
mod value;
mod watch;

pub use self::blocks::{Block, Blocks, Part, blocks};
pub use self::fault::{Cause, ToolError, code_of_exit};
pub use self::listing::{Card, Mapping, cards, mappings};
pub use self::parser::{MAX_BYTES, ParseError, parse};
pub use self::processes::processes;
pub use self::table::{Chip, Health, Process, Skipped, Table, Usage};
pub use self::watch::{Watched, watch};
