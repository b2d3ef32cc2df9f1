//! Processes of a scenario: the agent, its inputs and its receivers.

mod agent;
mod cgroup;
mod chaos;
mod collector;
mod host_view;
mod prometheus;
mod writer;

pub(crate) use agent::{Agent, JsonLines, once};
pub(crate) use cgroup::Cgroup;
pub(crate) use chaos::{Chaos, PortState};
pub(crate) use collector::Collector;
pub(crate) use host_view::{DEVICE_NODE, HostView};
pub(crate) use prometheus::{Instant, Prometheus};
pub(crate) use writer::{Container, Writer, WriterSpec};
