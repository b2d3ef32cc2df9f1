//! The exporter against receivers that answer by script, over real sockets.

mod grpc;
mod http;
mod outage;
mod peer;
mod tls;
