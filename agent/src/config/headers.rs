//! Lists of `key=value` as in OpenTelemetry's variables.
//!
//! OpenTelemetry specification 1.5x, "Specifying headers via environment variables" and "Specifying resource
//! information via an environment variable": W3C Baggage without properties, percent-encoded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::Origin;
use super::layers::{KeyPath, Layer, Leaf, Raw};

/// Puts a table of headers that replaces those of lower layers.
pub(super) fn put(layer: &mut Layer, path: KeyPath, text: &str, origin: &Origin) {
    let leaf = |raw| Leaf {
        raw,
        origin: origin.clone(),
    };
    let (mut pairs, mut problem) = (Vec::new(), None);
    for pair in pairs_of(text) {
        match pair {
            Ok(pair) => pairs.push(pair),
            Err(fault) => problem = Some(fault),
        }
    }
    if let Some(problem) = problem {
        layer.push((
            path,
            leaf(Raw::Invalid(format!(
                "{problem}; write name=value,name=value, percent-encoded"
            ))),
        ));
        return;
    }
    layer.push((path.clone(), leaf(Raw::FreshTable)));
    for (name, value) in pairs {
        let mut path = path.clone();
        path.push(name.to_ascii_lowercase());
        layer.push((path, leaf(Raw::Text(value))));
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
