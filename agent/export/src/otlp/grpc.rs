//! OTLP over gRPC.

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use http_body_util::Collected;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};
use tower::Service;

use super::begun::Begun;
use super::classify::{self, Answer, Asked, MAX_RESPONSE_BYTES};
use super::destination::Compression;
use super::transport::Client;
use super::unary::{Failure, Unary};

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

pub(super) async fn send(client: &Client, records: Vec<Bytes>, begun: &Begun) -> Answer {
    let service = Unary {
        connections: client.connections.clone(),
        begun: begun.clone(),
    };
    let headers = client.headers.clone();
    exchange(service, client.endpoint.clone(), headers, records, &client.asked).await
}

/// Sends one request to `service` and interprets its response.
pub(super) async fn exchange<S>(
    service: S,
    endpoint: Uri,
    headers: HeaderMap,
    records: Vec<Bytes>,
    asked: &Asked,
) -> Answer
where
    S: Service<http::Request<Body>, Response = http::Response<Collected<Bytes>>, Error = Failure>,
{
    let mut grpc = Grpc::with_origin(service, endpoint)
        .max_decoding_message_size(MAX_RESPONSE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip);
    if asked.compression == Compression::Gzip {
        grpc = grpc.send_compressed(CompressionEncoding::Gzip);
    }
    let metadata = MetadataMap::from_headers(headers);
    let request = Request::from_parts(metadata, Extensions::default(), records);
    match grpc.unary(request, PathAndQuery::from_static(EXPORT), Raw).await {
        Ok(response) => classify::grpc_answered(&response.into_inner()),
        Err(status) => {
            let failure = std::error::Error::source(&status).and_then(|cause| cause.downcast_ref::<Failure>());
            match failure {
                Some(failure) => failure.answer(asked),
                None => classify::grpc_unreadable(&status),
            }
        }
    }
}

/// Codec of messages that are encoded already.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<Bytes>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<Bytes>;
    type Error = Status;

    fn encode(&mut self, records: Vec<Bytes>, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.reserve(records.iter().map(Bytes::len).sum());
        for record in records {
            buf.put(record);
        }
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}
