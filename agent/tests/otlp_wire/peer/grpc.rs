//! A gRPC receiver.

use std::net::SocketAddr;
use std::time::Instant;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::{Script, Seen, ids};

pub(crate) enum Reply {
    Partial(i64, String),
    Fail(Status),
    /// Never answers.
    Hang,
    /// Accepts only requests of this many points.
    AtMost(usize, Status),
}

pub(crate) struct Attempt {
    pub(crate) at: Instant,
    pub(crate) metadata: MetadataMap,
    pub(crate) ids: Vec<i64>,
    pub(crate) accepted: bool,
}

#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) script: Script<Reply>,
    pub(crate) seen: Seen<Attempt>,
}

pub(crate) struct Running {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
    pub(crate) task: JoinHandle<()>,
}

impl Peer {
    pub(crate) fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            script: Script::new(script),
            seen: Seen::default(),
        }
    }

    pub(crate) fn start(self) -> Running {
        self.start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(self, address: SocketAddr) -> Running {
        let incoming = TcpIncoming::bind(address).unwrap();
        let address = incoming.local_addr().unwrap();
        let service = MetricsServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip);
        let server = Server::builder().add_service(service).serve_with_incoming(incoming);
        let task = tokio::spawn(async move { server.await.unwrap() });
        Running {
            peer: self,
            address,
            task,
        }
    }

    /// The values of all points that were accepted, in the order of their arrival.
    pub(crate) fn accepted(&self) -> Vec<i64> {
        self.seen
            .map(|attempt| {
                if attempt.accepted {
                    attempt.ids.clone()
                } else {
                    Vec::new()
                }
            })
            .concat()
    }
}

#[tonic::async_trait]
impl MetricsService for Peer {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let ids = ids(&message);
        let reply = self.script.next();
        let points = ids.len();
        let accepted = match &reply {
            None | Some(Reply::Partial(..)) => true,
            Some(Reply::Fail(_) | Reply::Hang) => false,
            Some(Reply::AtMost(most, _)) => points <= *most,
        };
        self.seen.add(Attempt {
            at: Instant::now(),
            metadata,
            ids,
            accepted,
        });
        let mut response = ExportMetricsServiceResponse::default();
        match reply {
            Some(Reply::Fail(status)) => return Err(status),
            Some(Reply::AtMost(most, status)) if points > most => return Err(status),
            Some(Reply::Hang) => std::future::pending().await,
            Some(Reply::Partial(rejected_data_points, error_message)) => {
                response.partial_success = Some(ExportMetricsPartialSuccess {
                    rejected_data_points,
                    error_message,
                });
            }
            None | Some(Reply::AtMost(..)) => {}
        }
        Ok(Response::new(response))
    }
}
