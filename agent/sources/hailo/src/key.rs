//! Attribute keys of Hailo, beside the shared ones.

pub use accelscope_core::metric::key::*;

accelscope_core::keys! {
    /// Name of the network (HailoRT: core-op), e.g. `yolov8n`.
    HAILO_NETWORK_NAME = "hailo.network.name";
    /// Name of the stream, e.g. `yolov8n/input_layer1`.
    HAILO_STREAM_NAME = "hailo.stream.name";
    /// Direction of the stream: `host_to_device` or `device_to_host`.
    HAILO_STREAM_DIRECTION = "hailo.stream.direction";
}
