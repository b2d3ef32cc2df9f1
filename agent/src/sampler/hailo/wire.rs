//! `hailort/libhailort/scheduler_mon.proto`, fields of HailoRT 4.10 to 5.3: numbers and types never changed.

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProtoMon {
    #[prost(string, tag = "1")]
    pub(super) pid: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) networks_infos: Vec<ProtoMonInfo>,
    #[prost(message, repeated, tag = "3")]
    pub(super) net_frames_infos: Vec<ProtoMonNetworkFrames>,
    #[prost(message, repeated, tag = "4")]
    pub(super) device_infos: Vec<ProtoMonDeviceInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProtoMonInfo {
    #[prost(string, tag = "1")]
    pub(super) network_name: String,
    #[prost(double, tag = "2")]
    pub(super) fps: f64,
    #[prost(double, tag = "3")]
    pub(super) utilization: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProtoMonDeviceInfo {
    #[prost(string, tag = "1")]
    pub(super) device_id: String,
    #[prost(double, tag = "2")]
    pub(super) utilization: f64,
    #[prost(string, tag = "3")]
    pub(super) device_arch: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProtoMonNetworkFrames {
    #[prost(string, tag = "1")]
    pub(super) network_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) streams_frames_infos: Vec<ProtoMonStreamFramesInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProtoMonStreamFramesInfo {
    #[prost(string, tag = "1")]
    pub(super) stream_name: String,
    #[prost(int32, tag = "2")]
    pub(super) stream_direction: i32,
    #[prost(int32, tag = "3")]
    pub(super) buffer_frames_size: i32,
    #[prost(int32, tag = "4")]
    pub(super) pending_frames_count: i32,
    #[prost(int32, tag = "5")]
    pub(super) min_pending_frames_count: i32,
    #[prost(int32, tag = "6")]
    pub(super) max_pending_frames_count: i32,
    #[prost(double, tag = "7")]
    pub(super) avg_pending_frames_count: f64,
}
