//! Whether code may be run: a vendor's library or tool.
//!
//! Whoever can change the file, a directory or link on the way to it, or what the kernel and the loader open by themselves when it
//! is started or loaded, has his code run as the agent: the interpreter that it names with what that is told to open, a library
//! that it needs or a directory in which that is looked for, what the loader's own files name. So each of them must be root's or
//! the agent's own user's, and nobody else's to write. What passes cannot be exchanged by others between the check and the start
//! either: the path leads to what was checked. What a program opens by its own code is not looked at.

mod cache;
mod code;
mod elf;
mod groups;
mod handlers;
mod refused;
mod script;
mod search;
mod told;
mod variables;
mod walk;
mod writers;

pub use code::check;
pub use refused::Refused;
pub use search::{find_library, library_path, program_path};
pub use told::explain_refused;
pub use walk::{Start, check_owned, is_ours};
pub use writers::{Writers, writers};
