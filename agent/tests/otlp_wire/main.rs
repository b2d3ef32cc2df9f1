//! The exporter against receivers that answer by script, over real sockets.

#![allow(clippy::unwrap_used, reason = "a peer that cannot be set up is a failed test")]

mod certificates;
mod grpc;
mod http;
mod logs;
mod outage;
mod parts;
mod peer;
mod proxied;
mod proxy;
mod refusals;
mod remedies;
mod slow_link;
mod states;
mod success;
mod tls;
mod undeliverable;
