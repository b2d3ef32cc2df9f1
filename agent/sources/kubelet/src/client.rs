//! Client for kubelet PodResources List.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::Duration;

use accelscope_proto::pod_resources::{ListPodResourcesRequest, ListPodResourcesResponse};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::restart::SocketId;
use accelscope_core::host::HostRoots;

const LIST: &str = "/v1.PodResourcesLister/List";
/// Time limit of one call, from the connection to the end of the response. A kubelet answers from memory.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Limit in bytes of a response, as in the kubelet's own client (`defaultPodResourcesMaxSize` in
/// `pkg/kubelet/apis/podresources/constants.go`).
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// Reason why a List call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no kubelet has a socket at {}", .0.display())]
    Absent(PathBuf, #[source] io::Error),
    #[error("{} is no socket", .0.display())]
    NoSocket(PathBuf),
    #[error("the agent may not use the kubelet's socket {}", .0.display())]
    Forbidden(PathBuf, #[source] io::Error),
    #[error("no kubelet listens at {}", .0.display())]
    Silent(PathBuf, #[source] io::Error),
    #[error("the kubelet at {} did not answer within {TIMEOUT:?}", .0.display())]
    Slow(PathBuf),
    #[error("the kubelet at {} has no PodResources API v1, which Kubernetes has had since 1.20", .0.display())]
    TooOld(PathBuf),
    #[error("the kubelet's connection at {} failed", .0.display())]
    Connection(PathBuf, #[source] tonic::transport::Error),
    #[error("the kubelet at {} refused the list of its devices", .0.display())]
    Refused(PathBuf, #[source] Box<Status>),
    #[error("the kubelet cannot be asked")]
    Runtime(#[source] io::Error),
}

impl Error {
    /// Whether this error is normal on a machine without a usable kubelet.
    pub(super) const fn means_nothing_here(&self) -> bool {
        matches!(
            self,
            Self::Absent(..) | Self::NoSocket(_) | Self::Forbidden(..) | Self::Silent(..)
        )
    }
}

/// Client of one kubelet. Each call opens its own connection, because a restarted kubelet has another socket.
#[derive(Debug)]
pub(super) struct Client {
    roots: HostRoots,
    socket: PathBuf,
}

impl Client {
    pub(super) fn new(roots: HostRoots, socket: PathBuf) -> Self {
        Self { roots, socket }
    }

    /// Lists the devices of every container of the node, and identifies the socket that answered. Blocks the calling
    /// thread, for [`TIMEOUT`] at most.
    pub(super) fn list(&self) -> Result<(ListPodResourcesResponse, SocketId), Error> {
        let (socket, id) = self.find()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let response = runtime.block_on(async { tokio::time::timeout(TIMEOUT, self.call(&socket)).await });
        Ok((response.map_err(|_| Error::Slow(self.socket.clone()))??, id))
    }

    /// Opens the socket with `O_PATH`: symbolic links resolve within the host's root (MicroK8s makes `/var/lib/kubelet`
    /// one), and a long path would not fit into `sockaddr_un`.
    fn find(&self) -> Result<(File, SocketId), Error> {
        let found = self.roots.find(&self.socket).map_err(|source| self.io(source))?;
        let found = File::from(found);
        match found.metadata() {
            Ok(metadata) if metadata.file_type().is_socket() => Ok((found, (&metadata).into())),
            _ => Err(Error::NoSocket(self.socket.clone())),
        }
    }

    fn io(&self, source: io::Error) -> Error {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Error::Forbidden(socket, source),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Absent(socket, source),
            _ => Error::Silent(socket, source),
        }
    }

    async fn call(&self, socket: &File) -> Result<ListPodResourcesResponse, Error> {
        let stream = UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd()))
            .await
            .map_err(|source| self.io(source))?;
        let mut stream = Some(TokioIo::new(stream));
        let once = tower::service_fn(move |_| {
            let stream = stream.take();
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let failed = |source| Error::Connection(self.socket.clone(), source);
        // gRPC requires an authority, and grpc-go rejects one that is not a host name.
        let channel = Endpoint::from_static("http://localhost")
            .connect_with_connector(once)
            .await
            .map_err(failed)?;
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
        grpc.ready().await.map_err(failed)?;
        let request = Request::new(ListPodResourcesRequest {});
        let response = grpc
            .unary(request, PathAndQuery::from_static(LIST), ProstCodec::default())
            .await;
        response.map(tonic::Response::into_inner).map_err(|status| {
            let socket = self.socket.clone();
            if status.code() == Code::Unimplemented {
                return Error::TooOld(socket);
            }
            Error::Refused(socket, Box::new(status))
        })
    }
}
