//! Lists of `key=value` as in OpenTelemetry's variables.
//!
//! OpenTelemetry specification 1.5x, "Specifying headers via environment variables" and "Specifying resource
//! information via an environment variable": W3C Baggage without properties, percent-encoded.

use std::borrow::Cow;

use http::HeaderName;
use percent_encoding::percent_decode_str;

use super::Origin;
use super::layers::{KeyPath, Layer, Leaf, Raw};

/// Puts a table of headers that replaces those of lower layers.
pub(super) fn put(layer: &mut Layer, path: KeyPath, text: &str, origin: &Origin) {
    if let Some(problem) = pairs_of(text).filter_map(Result::err).last() {
        let problem = format!("{problem}; write name=value,name=value, percent-encoded");
        return layer.push((path, Leaf::new(Raw::Invalid(problem), origin.clone())));
    }
    layer.push((path.clone(), Leaf::new(Raw::FreshTable, origin.clone())));
    for (name, value) in pairs_of(text).flatten() {
        let path = [path.as_slice(), &[name.to_ascii_lowercase()]].concat();
        layer.push((path, Leaf::new(Raw::Text(value), origin.clone())));
    }
}

/// A key as it may be shown. What stands in the place of a header's name and is none may be the header's value.
pub(super) fn shown(key: &str) -> String {
    match key.split_once("headers.") {
        Some((before, name)) if HeaderName::try_from(name).is_err() => format!("{before}headers.…"),
        _ => key.to_owned(),
    }
}

/// Decoded pairs. An error contains the entry's number and never its text, which may be a secret.
pub(super) fn pairs_of(text: &str) -> impl Iterator<Item = Result<(String, String), String>> {
    text.split(',')
        .enumerate()
        .filter(|(_, entry)| !entry.trim().is_empty())
        .map(|(nth, entry)| {
            let nth = nth + 1;
            let (key, value) = entry
                .split_once('=')
                .ok_or_else(|| format!("entry {nth} has no \"=\""))?;
            let decode = |text: &str| {
                let decoded = percent_decode_str(text.trim()).decode_utf8();
                decoded
                    .map(Cow::into_owned)
                    .map_err(|_| format!("entry {nth} does not decode to UTF-8"))
            };
            match (decode(key)?, decode(value)?) {
                (key, _) if key.is_empty() => Err(format!("entry {nth} has no name before its \"=\"")),
                pair => Ok(pair),
            }
        })
}
