//! Whether code may be run: a vendor's library or tool.
//!
//! Whoever can change the file, a directory or link on the way to it, the interpreter that it names, a library that it needs
//! or a directory in which that is looked for, has his code run as the agent. So each of them must be root's or the agent's
//! own user's, and nobody else's to write. What passes cannot be exchanged by others between the check and the start either:
//! the path leads to what was checked.

mod cache;
mod code;
mod elf;
mod groups;
mod refused;
mod search;
mod told;
mod walk;
mod writers;

pub use code::check;
pub use refused::Refused;
pub use search::{find_library, library_path, program_path};
pub use told::explain_refused;
pub use writers::Writers;
