//! Headers and files of a destination, read again for every new client.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

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
                let destination = destination.name.clone();
                return Err(BuildError::HeadersLine {
                    destination,
                    path: path.clone(),
                    line: at + 1,
                });
            };
            insert(&mut headers, destination, name.trim(), value.trim())?;
        }
    }
    Ok(headers)
}

fn insert(headers: &mut HeaderMap, destination: &Destination, name: &str, value: &str) -> Result<(), BuildError> {
    let invalid = |problem| BuildError::Header {
        destination: destination.name.clone(),
        name: name.to_owned(),
        problem,
    };
    let key = HeaderName::try_from(name).map_err(|_| invalid("a name that HTTP does not allow"))?;
    let mut value = HeaderValue::try_from(value).map_err(|_| invalid("a value that HTTP does not allow"))?;
    value.set_sensitive(true);
    headers.insert(key, value);
    Ok(())
}

/// Content of a file of at most [`MAX_FILE_BYTES`]. `what` is the configuration key that names it.
pub(super) fn read(destination: &Destination, what: &'static str, path: &Path) -> Result<Vec<u8>, BuildError> {
    let read = || {
        let mut content = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
        }
        Ok(content)
    };
    read().map_err(|source| BuildError::File {
        destination: destination.name.clone(),
        what,
        path: path.to_owned(),
        source,
    })
}
