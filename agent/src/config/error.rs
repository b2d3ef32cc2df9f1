//! Errors in a configuration, with their place and their remedy.

use accelscope_core::exhausted;
use accelscope_core::printable::printable;

use super::{Origin, headers};

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {}{}{problem}", headers::shown(key), if key.is_empty() { "" } else { ": " })]
pub struct ConfigError {
    /// Place of the value.
    pub origin: Origin,
    /// Key in the syntax of `--set`; empty if the error concerns no single key.
    pub key: String,
    /// The problem, and what would be valid.
    pub problem: String,
}

/// Most errors that are shown: a file of another kind has one in each line.
pub(super) const MOST_ERRORS: usize = 50;

/// Most characters of an error that are shown, from its beginning and from its end: between them stand long names and values.
const FIRST: usize = 400;
const LAST: usize = 400;

/// All errors, one per line and each printable; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(pub Vec<ConfigError>);

fn lines(errors: &[ConfigError]) -> String {
    let shown = errors.iter().take(MOST_ERRORS);
    let mut lines: Vec<_> = shown
        .map(|error| shortened(&printable(&exhausted::with_remedy(error.to_string()))))
        .collect();
    if errors.len() > MOST_ERRORS {
        lines.push("there are more errors; correct these first".to_owned());
    }
    lines.join("\n")
}

fn shortened(line: &str) -> String {
    let first = line.char_indices().nth(FIRST).map_or(line.len(), |(end, _)| end);
    let last = line.char_indices().nth_back(LAST - 1).map_or(0, |(begin, _)| begin);
    if first < last {
        format!("{} … {}", &line[..first], &line[last..])
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_keeps_its_beginning_and_its_end() {
        let long = format!("agent.toml:1:1: {} is no level; write info", "ü".repeat(900_000));
        let shown = shortened(&long);
        assert!(
            shown.starts_with("agent.toml:1:1: ü") && shown.ends_with("is no level; write info"),
            "{shown}"
        );
        assert!(shown.chars().count() < 900, "{shown}");
        let whole = "ü".repeat(FIRST + LAST);
        assert_eq!(shortened(&whole), whole);
    }
}
