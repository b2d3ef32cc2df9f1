//! Instruments of Acme.

use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Counter, Gauge};
use accelscope_core::metric::catalogue::instrument;
use accelscope_core::metric::key::{HW_ID, HW_NAME};

use super::key::ACME_SERIAL;

instruments! {
    DEVICE_INFO = instrument(
        "acme.device.info", "", Gauge, &[HW_ID, HW_NAME, ACME_SERIAL], "Always 1; its attributes describe the Acme NPU.",
    );
    JOBS = instrument("acme.jobs", "{job}", Counter, &[HW_ID], "Jobs that the NPU has done since the driver was loaded.");
}
