//! Bodies of successful responses.
//!
//! A success is one of OTLP only if its body is: whatever answers 200 to everything would otherwise swallow the points. An
//! empty body is one, whatever its type: it is the encoding of an `ExportMetricsServiceResponse` without a partial success, and
//! what Prometheus and others answer.

use bytes::Bytes;
use http::{HeaderMap, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use serde_json::{Map, Value};

use super::{Answer, MAX_RESPONSE_BYTES, Verdict};

const NOT_OTLP: &str = "what answers is no OTLP receiver: check the endpoint's host, port, path and protocol (a Collector takes \
    /v1/metrics, Prometheus /api/v1/otlp/v1/metrics)";

/// Whether the content type is none in which OTLP is answered.
pub(in crate::otlp) fn is_foreign(headers: &HeaderMap) -> bool {
    let own = [
        "application/x-protobuf",
        "application/protobuf",
        "application/json",
        "application/octet-stream",
    ];
    headers.contains_key(header::CONTENT_TYPE) && !own.iter().any(|media| is(headers, media))
}

/// Interprets a successful response of HTTP.
pub(super) fn answered(headers: &HeaderMap, body: &Bytes) -> Answer {
    if is(headers, "text/html") {
        not_otlp("a web page", body)
    } else if body.is_empty() {
        accepted(0, "")
    } else if is_foreign(headers) {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map(|kind| String::from_utf8_lossy(kind.as_bytes()));
        not_otlp(&kind.unwrap_or_default(), body)
    } else if is(headers, "application/x-protobuf") || is(headers, "application/protobuf") {
        protobuf(body)
    } else if is(headers, "application/json") {
        json(body).unwrap_or_else(|| not_otlp("JSON that is no OTLP", body))
    } else {
        match ExportMetricsServiceResponse::decode(body.clone()) {
            // Any text may happen to be a message of unknown fields.
            Ok(response) if response.encode_to_vec() == *body => of(response),
            _ => json(body).unwrap_or_else(|| not_otlp("a body that is no OTLP", body)),
        }
    }
}

/// Interprets the message of a success.
pub(super) fn protobuf(body: &Bytes) -> Answer {
    match ExportMetricsServiceResponse::decode(body.clone()) {
        Ok(response) => of(response),
        Err(error) => not_otlp(&format!("unreadable protobuf ({error})"), body),
    }
}

/// Whether the content type is this one.
pub(super) fn is(headers: &HeaderMap, media: &str) -> bool {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    given
        .split(';')
        .next()
        .is_some_and(|given| given.trim().eq_ignore_ascii_case(media))
}

fn of(response: ExportMetricsServiceResponse) -> Answer {
    let partial = response.partial_success.unwrap_or_default();
    accepted(partial.rejected_data_points, partial.error_message)
}

fn accepted(rejected: i64, message: impl AsRef<str>) -> Answer {
    let rejected = u64::try_from(rejected).unwrap_or(0);
    Answer::new(Verdict::Accepted { rejected }, message)
}

/// The message in JSON, with field names in either case and 64-bit numbers as numbers or text, as the JSON mapping of
/// protobuf allows. `None` if it is another one.
fn json(body: &Bytes) -> Option<Answer> {
    let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    if fields.is_empty() {
        return Some(accepted(0, ""));
    }
    let partial = match either(&fields, "partialSuccess", "partial_success")? {
        Value::Null => return Some(accepted(0, "")),
        Value::Object(partial) => partial,
        _ => return None,
    };
    let rejected = match either(partial, "rejectedDataPoints", "rejected_data_points") {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) => text.parse().ok()?,
        Some(Value::Number(number)) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number as i64))?,
        Some(_) => return None,
    };
    let message = match either(partial, "errorMessage", "error_message") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return None,
    };
    Some(accepted(rejected, message))
}

fn either<'a>(fields: &'a Map<String, Value>, name: &str, other: &str) -> Option<&'a Value> {
    fields.get(name).or_else(|| fields.get(other))
}

/// Interprets a success whose body exceeds [`MAX_RESPONSE_BYTES`], by the first bytes of it: only a receiver of OTLP has
/// processed the points.
pub(in crate::otlp) fn too_large(headers: &HeaderMap, beginning: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(beginning);
    let text: String = text.split_whitespace().collect();
    let is_json = ["{\"partialSuccess\":", "{\"partial_success\":"]
        .iter()
        .any(|own| text.starts_with(own));
    if !is_foreign(headers) && (is_json || is_long_protobuf(beginning)) {
        Answer::too_large()
    } else {
        not_otlp("a long body that is no OTLP", beginning)
    }
}

/// Whether a message begins with a `partial_success` (field 1 of `ExportMetricsServiceResponse`) that fills such a body.
fn is_long_protobuf(beginning: &[u8]) -> bool {
    let Some((0x0a, rest)) = beginning.split_first() else {
        return false;
    };
    let longest_head = 16;
    prost::decode_length_delimiter(rest).is_ok_and(|length| length.saturating_add(longest_head) > MAX_RESPONSE_BYTES)
}

fn not_otlp(what: &str, body: &[u8]) -> Answer {
    let said = super::text(body);
    Answer::new(Verdict::Hold, format!("success, but with {what}: {said}")).because("not_otlp", NOT_OTLP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kind: Option<&str>, body: impl Into<Bytes>) -> (Verdict, String) {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        let answer = answered(&headers, &body.into());
        (answer.verdict, answer.message)
    }

    #[test]
    fn an_empty_body_is_a_success_whatever_its_type() {
        for kind in [
            None,
            Some("text/plain"),
            Some("application/json"),
            Some("application/x-protobuf"),
        ] {
            assert_eq!(verdict(kind, "").0, Verdict::Accepted { rejected: 0 }, "{kind:?}");
        }
    }

    #[test]
    fn a_body_that_is_no_answer_of_otlp_is_held() {
        for (kind, body) in [
            (None, "OK"),
            (None, "\n"),
            (None, "<html>"),
            (Some("text/plain"), "ok"),
            (Some("text/html; charset=utf-8"), ""),
            (Some("application/octet-stream"), "done"),
            (Some("application/xml"), "<ok/>"),
            (Some("application/json"), "\"OK\""),
            (Some("application/json"), "null"),
            (Some("application/json"), "[]"),
            (Some("application/json"), "{\"status\":\"success\"}"),
            (Some("application/json"), "{\"partialSuccess\":7}"),
            (
                Some("application/json"),
                "{\"partialSuccess\":{\"rejectedDataPoints\":\"some\"}}",
            ),
            (Some("application/json"), "{"),
            (Some("application/x-protobuf"), "OK"),
        ] {
            let (verdict, message) = verdict(kind, body);
            assert_eq!(verdict, Verdict::Hold, "{kind:?} {body}");
            assert!(message.starts_with("success, but"), "{message}");
        }
    }

    #[test]
    fn a_partial_success_in_json_is_read_in_all_its_forms() {
        let json = Some("application/json; charset=utf-8");
        for (body, rejected, said) in [
            ("{}", 0, ""),
            ("{\"partialSuccess\":{}}", 0, ""),
            ("{\"partialSuccess\":null}", 0, ""),
            (
                "{\"partialSuccess\":{\"rejectedDataPoints\":\"3\",\"errorMessage\":\"old\"}}",
                3,
                "old",
            ),
            ("{\"partialSuccess\":{\"rejectedDataPoints\":3}}", 3, ""),
            (
                "{\"partial_success\":{\"rejected_data_points\":\"4\",\"error_message\":\"x\"}}",
                4,
                "x",
            ),
            (
                "{\"partialSuccess\":{\"rejectedDataPoints\":\"-1\",\"errorMessage\":\"slow\"}, \"more\":1}",
                0,
                "slow",
            ),
        ] {
            for kind in [json, None] {
                assert_eq!(
                    verdict(kind, body),
                    (Verdict::Accepted { rejected }, said.to_owned()),
                    "{body}"
                );
            }
        }
    }
}
