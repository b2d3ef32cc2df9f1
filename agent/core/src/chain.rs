//! Errors with their causes, as one line.

use crate::exhausted;

/// The error and its causes in one line, without a cause that the line names already, and with what helps where that is always
/// the same.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    exhausted::with_remedy(text).into_owned()
}
