//! `hailo.*`: readings of HailoRT's scheduler monitor (`hailort/libhailort/scheduler_mon.proto`, 4.10 to 5.3).

use crate::key::{
    ACCEL_DEVICE_ADDRESS, HAILO_NETWORK_NAME, HAILO_STREAM_DIRECTION, HAILO_STREAM_NAME, HW_DRIVER_VERSION, HW_ID,
    HW_MODEL, HW_NAME, HW_VENDOR,
};
use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Counter, Gauge};
use accelscope_core::metric::Merge::Sum;
use accelscope_core::metric::catalogue::{instrument, owned};

const NETWORK: &[&str] = &[HW_ID, HAILO_NETWORK_NAME];
const STREAM: &[&str] = &[HW_ID, HAILO_NETWORK_NAME, HAILO_STREAM_NAME, HAILO_STREAM_DIRECTION];

instruments! {
    DEVICE_INFO = instrument(
        "hailo.device.info", "", Gauge,
        &[HW_ID, HW_NAME, HW_MODEL, HW_VENDOR, HW_DRIVER_VERSION, ACCEL_DEVICE_ADDRESS],
        "Always 1; its attributes describe the Hailo device.",
    );
    MONITOR_ACTIVE = instrument(
        "hailo.monitor.active", "", Gauge, &[HW_ID],
        "1 while at least one live process writes HailoRT monitor data for the device, 0 while none does, \
         absent where that cannot be read.",
    );
    PROCESS_UTILIZATION = owned(instrument(
        "hailo.process.utilization", "1", Gauge, &[HW_ID],
        "Share of time in which the process had work outstanding on the device.",
    ), Sum);
    NETWORK_UTILIZATION = owned(instrument(
        "hailo.network.utilization", "1", Gauge, NETWORK,
        "Share of time in which the network had work outstanding, summed over the devices it runs on.",
    ), Sum);
    NETWORK_FRAME_RATE = owned(instrument(
        "hailo.network.frame_rate", "{frame}/s", Gauge, NETWORK,
        "Frames that the network delivered per second over the last write interval.",
    ), Sum);
    NETWORK_FRAMES = owned(instrument(
        "hailo.network.frames", "{frame}", Counter, NETWORK,
        "Frames that the network delivered, integrated from its frame rate over each write interval.",
    ), Sum);
    STREAM_QUEUE_DEPTH = owned(instrument(
        "hailo.stream.queue.depth", "{frame}", Gauge, STREAM,
        "Frames in the stream's queue when the runtime wrote.",
    ), Sum);
    STREAM_QUEUE_DEPTH_MIN = owned(instrument(
        "hailo.stream.queue.depth.min", "{frame}", Gauge, STREAM,
        "Fewest frames in the stream's queue over the last write interval; of several processes, the sum, as of the depth.",
    ), Sum);
    STREAM_QUEUE_DEPTH_MAX = owned(instrument(
        "hailo.stream.queue.depth.max", "{frame}", Gauge, STREAM,
        "Most frames in the stream's queue over the last write interval; of several processes, the sum, as of the depth.",
    ), Sum);
    STREAM_QUEUE_CAPACITY = owned(instrument(
        "hailo.stream.queue.capacity", "{frame}", Gauge, STREAM,
        "Frames that the stream's queue holds: its size times the number of devices.",
    ), Sum);
}
