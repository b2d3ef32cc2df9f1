//! Protobuf fields of OTLP, written directly into a buffer.
//!
//! Field numbers in this module's callers are those of opentelemetry-proto 1.11 (`metrics/v1`, `common/v1`).

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use accelscope_core::metric::AttributeValue;

/// Length of a length-delimited field with a tag below 16.
pub(super) const fn delimited_len(body: usize) -> usize {
    1 + encoded_len_varint(body as u64) + body
}

/// Key and length of a length-delimited field; its body follows.
pub(super) fn open(tag: u32, body: usize, buf: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(body as u64, buf);
}

/// A whole length-delimited field.
pub(super) fn delimited(tag: u32, body: &[u8], buf: &mut Vec<u8>) {
    open(tag, body.len(), buf);
    buf.put_slice(body);
}

/// A string field, omitted when empty as in proto3.
pub(super) fn text(tag: u32, text: &str, buf: &mut Vec<u8>) {
    if !text.is_empty() {
        delimited(tag, text.as_bytes(), buf);
    }
}

/// A varint field.
pub(super) fn number(tag: u32, number: u64, buf: &mut Vec<u8>) {
    encode_key(tag, WireType::Varint, buf);
    encode_varint(number, buf);
}

/// A `KeyValue` field.
pub(super) fn attribute(tag: u32, key: &str, value: &AttributeValue, buf: &mut Vec<u8>) {
    let any = any_value_len(value);
    open(tag, delimited_len(key.len()) + delimited_len(any), buf);
    delimited(1, key.as_bytes(), buf);
    open(2, any, buf);
    match value {
        // A chosen oneof member is written even when it is the default.
        AttributeValue::Str(text) => delimited(1, text.as_bytes(), buf),
        AttributeValue::Bool(truth) => number(2, u64::from(*truth), buf),
        AttributeValue::Int(int) => number(3, *int as u64, buf),
    }
}

fn any_value_len(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::Str(text) => delimited_len(text.len()),
        AttributeValue::Bool(_) => 2,
        AttributeValue::Int(int) => 1 + encoded_len_varint(*int as u64),
    }
}
