//! OTLP over gRPC.

use bytes::{Buf, BufMut, Bytes};
use http::HeaderMap;
use http::uri::PathAndQuery;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use accelscope_core::chain;

use super::classify::{self, Answer, MAX_RESPONSE_BYTES};
use super::credentials::USER_AGENT;
use super::destination::{Compression, Destination};
use super::error::BuildError;
use super::tls::Tls;

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// A channel, and the metadata of each request.
pub(super) struct Client {
    grpc: tonic::client::Grpc<Channel>,
    metadata: MetadataMap,
}

impl Client {
    pub(super) fn new(destination: &Destination, headers: HeaderMap, tls: Option<Tls>) -> Result<Self, BuildError> {
        let invalid = |error: tonic::transport::Error| BuildError::Endpoint {
            destination: destination.name.clone(),
            problem: format!("cannot be used: {}", chain(&error)),
        };
        let mut endpoint = Endpoint::from_shared(destination.endpoint.to_string())
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(invalid)?
            .connect_timeout(destination.timeout);
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls.into_tonic()).map_err(invalid)?;
        }
        let mut grpc = tonic::client::Grpc::new(endpoint.connect_lazy())
            .max_decoding_message_size(MAX_RESPONSE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip);
        if destination.compression == Compression::Gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            grpc,
            metadata: MetadataMap::from_headers(headers),
        })
    }

    pub(super) async fn send(&mut self, records: Vec<Bytes>) -> Answer {
        if let Err(error) = self.grpc.ready().await {
            return Answer::unreachable(&error);
        }
        let mut request = Request::new(records);
        *request.metadata_mut() = self.metadata.clone();
        match self.grpc.unary(request, PathAndQuery::from_static(EXPORT), Raw).await {
            Ok(response) => classify::accepted(response.into_inner()),
            Err(status) => classify::grpc(&status),
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
