//! Protobuf messages that accelscope reads.
//!
//! The types are generated from `proto/*.proto` and committed, so that a build needs no `protoc`; `cargo xtask bless`
//! regenerates them, `cargo xtask bless --check` fails if they are out of date.

#![forbid(unsafe_code)]

/// The monitor file of HailoRT's scheduler (`scheduler_mon.proto`), for every version from 4.10 to 5.3.
///
/// The root is [`ProtoMon`](hailo::ProtoMon). Zero and empty scalars are absent on the wire, -1 and `f64::MAX` are
/// sentinels (see each field), utilizations are per cent of the interval, and a file of zero bytes decodes to a message
/// without a pid.
pub mod hailo {
    #![expect(clippy::pedantic, reason = "the code is prost's, not ours")]

    include!("generated/scheduler_mon.rs");
}

/// The kubelet's PodResources API, v1 (`pod_resources.proto`): the devices allocated to each container.
pub mod pod_resources {
    #![expect(clippy::pedantic, reason = "the code is prost's, not ours")]

    include!("generated/pod_resources.rs");
}
