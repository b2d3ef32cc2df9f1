//! Parsers of what `npu-smi` prints, for every generation of it from 1.8 (2020) to 26.0 (2026).
//!
//! Columns are not taken from their positions: a row is split at its bars and then at blanks, and the headers name the
//! pieces. All generations have that in common. Widths, spacing and even the number of bars differ, and a number may
//! touch the slash beside it (`59718/ 65536`).

mod assign;
mod cause;
mod column;
mod device_row;
mod error;
mod items;
mod line;
mod mapping;
mod parser;
mod processes;
mod row;
mod start;
mod table;
mod value;

pub use self::cause::{Cause, code_of_exit};
pub use self::column::COLUMNS;
pub use self::error::{MAX_BYTES, ParseError, ToolError, quoted};
pub use self::mapping::{Ids, Mapping, mapping};
pub use self::parser::parse;
pub use self::processes::processes;
pub use self::table::{Chip, Health, More, Process, Skipped, Table, Usage};
