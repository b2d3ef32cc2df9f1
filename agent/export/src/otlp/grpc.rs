//! OTLP over gRPC.

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};

use super::begun::Begun;
use super::classify::{self, Answer, MAX_RESPONSE_BYTES};
use super::destination::Compression;
use super::transport::Client;
use super::unary::{Failure, Unary};

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

pub(super) async fn send(client: &Client, records: Vec<Bytes>, begun: &Begun) -> Answer {
    let service = Unary {
        connections: client.connections.clone(),
        begun: begun.clone(),
    };
    let mut grpc = Grpc::with_origin(service, client.endpoint.clone())
        .max_decoding_message_size(MAX_RESPONSE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip);
    if client.compression == Compression::Gzip {
        grpc = grpc.send_compressed(CompressionEncoding::Gzip);
    }
    let metadata = MetadataMap::from_headers(client.headers.clone());
    let request = Request::from_parts(metadata, Extensions::default(), records);
    match grpc.unary(request, PathAndQuery::from_static(EXPORT), Raw).await {
        Ok(response) => classify::grpc_answered(&response.into_inner()),
        Err(status) => {
            let failure = std::error::Error::source(&status).and_then(|cause| cause.downcast_ref::<Failure>());
            match failure {
                Some(failure) => failure.answer(&client.asked),
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
