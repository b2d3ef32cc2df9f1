//! An HTTP proxy that connects every request to one receiver, whatever its name.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Script, Seen, pem};

/// What it does with a connection; without a script it passes everything on.
#[derive(Clone)]
pub(crate) enum Conduct {
    /// Sends this and closes.
    Answer(&'static str),
    /// Closes without an answer.
    Close,
    /// Never answers.
    Hang,
}

/// Answers like a proxy that refuses with this status line.
pub(crate) fn refuses(status: &'static str) -> Conduct {
    Conduct::Answer(status)
}

#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) script: Script<Conduct>,
    /// The heads of the requests that it got, in lower case but for the first line.
    pub(crate) heads: Seen<String>,
    pub(crate) address: SocketAddr,
}

impl Peer {
    /// A proxy before `receiver`, over TLS if `is_tls`.
    pub(crate) async fn start(receiver: SocketAddr, script: impl IntoIterator<Item = Conduct>, is_tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self {
            script: Script::new(script),
            heads: Seen::default(),
            address: listener.local_addr().unwrap(),
        };
        let acceptor = is_tls.then(acceptor);
        let serving = peer.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (serving, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => serving.serve(acceptor.accept(stream).await.unwrap(), receiver).await,
                        None => serving.serve(stream, receiver).await,
                    }
                });
            }
        });
        peer
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, receiver: SocketAddr) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let text = String::from_utf8(head.clone()).unwrap();
        let (line, fields) = text.split_once("\r\n").unwrap();
        self.heads.add(format!("{line}\n{}", fields.to_lowercase()));
        match self.script.next() {
            Some(Conduct::Answer(answer)) => {
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
            Some(Conduct::Close) => {}
            Some(Conduct::Hang) => std::future::pending().await,
            None => {
                let mut onward = TcpStream::connect(receiver).await.unwrap();
                if line.starts_with("CONNECT ") {
                    stream
                        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        .await
                        .ok();
                } else {
                    onward.write_all(&head).await.ok();
                }
                copy_bidirectional(&mut stream, &mut onward).await.ok();
            }
        }
    }

    /// First lines of the requests.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.heads.map(|head| head.lines().next().unwrap().to_owned())
    }
}

fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(pem("server.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(pem("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
