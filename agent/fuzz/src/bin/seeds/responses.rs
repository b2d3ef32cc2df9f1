//! Responses to OTLP requests: see `accelscope_export::fuzz::otlp_response` for their form.

use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;

use crate::{Seeds, texts};

const GRPC: &str = "9200\ncontent-type: application/grpc\n";

pub(crate) fn seeds() -> Seeds {
    let mut seeds = texts(&[
        ("http-empty", "0200\n\n"),
        (
            "http-json",
            "0200\ncontent-type: application/json; charset=utf-8\n\n{\"partialSuccess\":{\"rejectedDataPoints\":\"3\",\
             \"errorMessage\":\"old\"}}",
        ),
        (
            "http-json-snake",
            "0200\n\n{\"partial_success\":{\"rejected_data_points\":-4,\"error_message\":null}}",
        ),
        ("http-page", "2200\ncontent-type: text/html\n\n<html>welcome</html>"),
        ("http-prometheus", "4404\n\n404 page not found\n"),
        (
            "http-gzip",
            "2415\ncontent-type: text/plain\n\nunsupported \x1b[31mencoding\n",
        ),
        ("http-later", "0429\nretry-after: 7\n\n"),
        ("http-date", "0503\nretry-after: Wed, 21 Oct 2099 07:28:00 GMT\n\n"),
        ("http-moved", "0301\nlocation: https://elsewhere.example/\n\n"),
        (
            "grpc-proxy",
            "1502\ncontent-type: text/html\n\n<html>Bad Gateway</html>",
        ),
        ("grpc-no-status", "9200\ncontent-type: application/grpc\n\n"),
        (
            "grpc-headers-only",
            "1200\ncontent-type: application/grpc+proto\ngrpc-status: 16\ngrpc-message: no%20token\n\n",
        ),
        (
            "grpc-encoded",
            "1200\ncontent-type: application/grpc\ngrpc-encoding: gzip\n>grpc-status: 0\n\n\x01\0\0\0\x04abcd",
        ),
    ]);
    for code in 0..=17 {
        let text = format!("{GRPC}>grpc-status: {code}\n>grpc-message: message%20larger than max\n\n");
        seeds.push((format!("grpc-status-{code:02}"), text.into()));
    }
    // google.rpc.Status with a RetryInfo of two seconds.
    let details = "CAgSBHNsb3caMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAg";
    for (name, details) in [("grpc-retry-info", details), ("grpc-details", "!!! no base64 !!!")] {
        let text = format!("{GRPC}>grpc-status: 8\n>grpc-status-details-bin: {details}\n\n");
        seeds.push((name.to_owned(), text.into()));
    }
    let partial = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: 3,
            error_message: "too\nold".to_owned(),
        }),
    };
    for (name, head) in [
        ("grpc-partial", format!("{GRPC}>grpc-status: 0\n\n")),
        (
            "http-partial",
            "0200\ncontent-type: application/x-protobuf\n\n".to_owned(),
        ),
        ("http-untyped", "0200\n\n".to_owned()),
    ] {
        seeds.push((name.to_owned(), [head.into_bytes(), partial.encode_to_vec()].concat()));
    }
    seeds
}
