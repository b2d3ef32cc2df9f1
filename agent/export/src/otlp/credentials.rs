//! Headers and files of a destination, read again for every new client.

use std::path::Path;

use accelscope_core::host::bounded::read_regular;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::destination::Destination;
use super::error::BuildError;

/// OTLP specification, "User Agent": the exporter's token, prefixed by the product's.
pub(super) const USER_AGENT: &str = concat!(
    "accelscope/",
    env!("CARGO_PKG_VERSION"),
    " OTel-OTLP-Exporter-Rust/",
    env!("CARGO_PKG_VERSION")
);

/// Upper bound of a headers or PEM file; a larger one is a mistake in the configuration.
const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Values that are the names of headers: name and value were swapped, and the secret would be sent as a name.
const NAMES: [&str; 4] = ["authorization", "proxy-authorization", "x-api-key", "api-key"];

/// Headers of the configuration and of the headers file; the latter take precedence.
pub(super) fn headers(destination: &Destination) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::new();
    for (nth, (name, value)) in destination.headers.iter().enumerate() {
        let (name, value) = header(name, value.reveal()).map_err(|problem| {
            // The name is shown only where it is one: else it may be a secret.
            let which = match problem {
                Problem::Value => format!("header \"{name}\""),
                _ => format!("number {} of headers", nth + 1),
            };
            BuildError::invalid(destination, format!("{which} {problem}"))
        })?;
        headers.insert(name, value);
    }
    if let Some(path) = &destination.headers_file {
        let text = read(destination, "headers_file", path)?;
        let text = String::from_utf8_lossy(&text);
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pair = line.split_once(':').ok_or(Problem::NoPair);
            let pair = pair.and_then(|(name, value)| header(name.trim(), value.trim()));
            let (name, value) = pair.map_err(|problem| {
                let place = format!("headers_file {} line {}", path.display(), at + 1);
                BuildError::invalid(destination, format!("{place} {problem}"))
            })?;
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

/// What is wrong with a header. Neither its name nor its value is part of it: either may be the secret.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Problem {
    #[error("is not of the form `name: value`")]
    NoPair,
    #[error("has a name that HTTP does not allow; write `name: value`, such as `authorization: Bearer ...`")]
    Name,
    #[error("has a value that HTTP does not allow; it may hold no control character")]
    Value,
    #[error("has a header's name as its value; write the name before the value: `authorization: Bearer ...`")]
    Swapped,
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Problem> {
    if NAMES.contains(&value.trim().to_ascii_lowercase().as_str()) {
        return Err(Problem::Swapped);
    }
    let name = HeaderName::try_from(name).map_err(|_| Problem::Name)?;
    let mut value = HeaderValue::try_from(value).map_err(|_| Problem::Value)?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Content of a file of at most [`MAX_FILE_BYTES`]. `what` is the configuration key that names it.
pub(super) fn read(destination: &Destination, what: &'static str, path: &Path) -> Result<Vec<u8>, BuildError> {
    read_regular(path, MAX_FILE_BYTES).map_err(|source| BuildError::file(destination, what, path, source))
}
