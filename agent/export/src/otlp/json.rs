//! Records as OTLP/JSON, one object per line (OpenTelemetry specification, "OTLP File Exporter").

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use serde_json::Value;

use super::record::Record;

/// A record that cannot be converted to JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Its bytes are not an OTLP request.
    #[error("the record is no OTLP request")]
    Decode(#[from] prost::DecodeError),
    /// The request cannot be serialized.
    #[error("the record cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
}

/// The record as one line, without the newline: keys in lowerCamelCase, 64-bit integers as strings, enumerations as
/// integers (OTLP specification, "JSON Protobuf Encoding").
pub fn json_line(record: &Record) -> Result<String, JsonError> {
    let request = ExportMetricsServiceRequest::decode(record.bytes.clone())?;
    let mut value = serde_json::to_value(&request)?;
    prune(&mut value);
    Ok(value.to_string())
}

/// Removes `null` and empty arrays: not every reader of OTLP/JSON accepts `null` for a number.
fn prune(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|_, entry| {
                prune(entry);
                !(entry.is_null() || entry.as_array().is_some_and(Vec::is_empty))
            });
        }
        Value::Array(entries) => entries.iter_mut().for_each(prune),
        _ => {}
    }
}
