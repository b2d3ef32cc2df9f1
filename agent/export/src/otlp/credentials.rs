//! Headers and files of a destination, read again for every new client.

use std::path::Path;

use accelscope_core::host::bounded::read_bounded;
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

/// Headers of the configuration and of the headers file; the latter take precedence.
pub(super) fn headers(destination: &Destination) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &destination.headers {
        insert(&mut headers, destination, name, value.reveal())?;
    }
    if let Some(path) = &destination.headers_file {
        let text = read(destination, "headers_file", path)?;
        let text = String::from_utf8_lossy(&text);
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                let problem = format!("{} line {}: expected `name: value`", path.display(), at + 1);
                return Err(BuildError::invalid(destination, problem));
            };
            insert(&mut headers, destination, name.trim(), value.trim())?;
        }
    }
    Ok(headers)
}

fn insert(headers: &mut HeaderMap, destination: &Destination, name: &str, value: &str) -> Result<(), BuildError> {
    let invalid = |what| {
        BuildError::invalid(
            destination,
            format!("header \"{name}\" has a {what} that HTTP does not allow"),
        )
    };
    let key = HeaderName::try_from(name).map_err(|_| invalid("name"))?;
    let mut value = HeaderValue::try_from(value).map_err(|_| invalid("value"))?;
    value.set_sensitive(true);
    headers.insert(key, value);
    Ok(())
}

/// Content of a file of at most [`MAX_FILE_BYTES`]. `what` is the configuration key that names it.
pub(super) fn read(destination: &Destination, what: &'static str, path: &Path) -> Result<Vec<u8>, BuildError> {
    read_bounded(path, MAX_FILE_BYTES).map_err(|source| BuildError::File {
        destination: destination.name.clone(),
        what,
        path: path.to_owned(),
        source,
    })
}
