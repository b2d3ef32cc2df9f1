//! Settings of a section of the configuration: one type with its defaults, its documentation and its validation.
//!
//! A section is declared with [`settings!`](crate::settings!): the documentation comments of its fields are the text of
//! the example file and of the reference, the expression after `=` is the default. Independent of the file's format.

mod any;
mod check;
mod choice;
mod documentation;
mod nearest;
pub mod textual;

pub use any::{AnySettings, Deserialize, Settings, SettingsType};
pub use check::{Check, Problem};
pub use choice::{Enabled, pick};
pub use documentation::{Content, Documented, KeyDocumentation, SectionDocumentation};
pub use nearest::nearest;
pub use textual::Textual;
