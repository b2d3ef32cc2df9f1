//! What the developer's commands share with tests.
#![forbid(unsafe_code)]

pub mod documents;
