//! An OTLP receiver that accepts everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A gRPC receiver on a thread of its own, until the program ends.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
}

struct Count(Arc<AtomicU64>);

#[tonic::async_trait]
impl MetricsService for Count {
    async fn export(
        &self,
        _: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Receiver {
    pub(crate) fn start() -> Result<Self> {
        let requests = Arc::new(AtomicU64::new(0));
        let service = MetricsServiceServer::new(Count(requests.clone())).accept_compressed(CompressionEncoding::Gzip);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let incoming =
            TcpIncoming::bind(free_port::free_address()).map_err(|error| anyhow::anyhow!("cannot listen: {error}"))?;
        let address = incoming.local_addr().context("no address")?;
        drop(guard);
        std::thread::spawn(move || {
            let server = Server::builder().add_service(service).serve_with_incoming(incoming);
            runtime.block_on(server).ok();
        });
        Ok(Self { address, requests })
    }

    /// Number of accepted requests.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}
