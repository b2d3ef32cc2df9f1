//! Protobuf messages that accelscope reads.
