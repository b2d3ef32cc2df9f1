//! The exporter against receivers that answer by script, over real sockets.

#![allow(clippy::unwrap_used, reason = "a peer that cannot be set up is a failed test")]

mod grpc;
mod http;
mod outage;
mod peer;
mod proxy;
mod tls;
