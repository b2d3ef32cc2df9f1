//! A GPU, and its constant properties while its handle is valid.

use std::collections::HashSet;
use std::sync::Arc;

use super::nvml::{Code, Device, Field, Number, NvmlError, Pci};
use super::recorder::Recorder;
use accelscope_core::metric::{Attributes, key};

/// The GPU's health, as found by the topics in one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own")]
pub(super) struct Health {
    /// It has answered at least one call.
    pub(super) answered: bool,
    /// It no longer answers, or must be reset.
    pub(super) lost: bool,
    /// Every call for it hangs or crashes, and it is suspended.
    pub(super) suspended: bool,
    /// Its hardware reduces its clocks because of heat or power.
    pub(super) slowed: bool,
    /// Faulty memory is retired at the next reset, or the driver requests that the GPU be drained.
    pub(super) needs_reset: bool,
    /// It does not work before a reset or a reboot of the host, as reported by the driver.
    pub(super) must_reset: bool,
    /// Spare memory is used up, or its infoROM is corrupted.
    pub(super) worn_out: bool,
}

/// One GPU.
#[derive(Debug)]
pub(super) struct Gpu {
    /// Index in `nvidia-smi`.
    pub(super) index: u32,
    /// Handle for calls; `None` if the library no longer returns one. Use [`ask`](Self::ask).
    pub(super) device: Option<Device>,
    /// `hw.id`: its UUID.
    pub(super) uuid: Arc<str>,
    pub(super) pci: Option<Pci>,
    pub(super) minor: Option<u32>,
    /// Whether MIG is enabled.
    pub(super) is_mig: bool,
    /// Attributes of all its points: `hw.id` alone.
    pub(super) label: Attributes,
    /// State in this pass.
    pub(super) health: Health,
    refused: HashSet<&'static str>,
}

impl Gpu {
    pub(super) fn new(index: u32, device: Option<Device>, uuid: &str) -> Self {
        let uuid: Arc<str> = uuid.into();
        Self {
            index,
            device,
            label: Attributes::new([(key::HW_ID, Arc::clone(&uuid).into())]),
            uuid,
            pci: None,
            minor: None,
            is_mig: false,
            health: Health::default(),
            refused: HashSet::new(),
        }
    }

    /// One reading. `None` if it failed, which is counted as `FIELD.CODE`; a field that the device does not support is
    /// counted once as `not_supported` and not read again. A lost GPU is not read again in this pass.
    pub(super) fn ask<T>(
        &mut self,
        field: &'static str,
        recorder: &mut Recorder,
        question: impl FnOnce(Device) -> Result<T, NvmlError>,
    ) -> Option<T> {
        if self.health.lost || self.health.suspended || self.refused.contains(field) {
            return None;
        }
        match question(self.device?) {
            Ok(value) => {
                self.health.answered = true;
                Some(value)
            }
            Err(error) => {
                self.note(field, error, recorder);
                None
            }
        }
    }

    /// Several fields in one call, in their order. Each has a name, and is `None` if it failed or was refused before.
    pub(super) fn ask_fields<const N: usize>(
        &mut self,
        fields: [(&'static str, Field); N],
        recorder: &mut Recorder,
    ) -> [Option<Number>; N] {
        let mut values = [None; N];
        let asked: Vec<usize> = (0..N).filter(|at| !self.refused.contains(fields[*at].0)).collect();
        if asked.is_empty() {
            return values;
        }
        let wanted: Vec<Field> = asked.iter().map(|at| fields[*at].1).collect();
        let results = self.ask("field_values", recorder, |device| device.field_values(&wanted));
        for (at, result) in asked.into_iter().zip(results.into_iter().flatten()) {
            match result {
                Ok(value) => values[at] = Some(value),
                Err(error) => self.note(fields[at].0, error, recorder),
            }
        }
        values
    }

    /// Counts an error and updates the device's state. For readings that do not go through [`ask`](Self::ask).
    pub(super) fn note(&mut self, field: &'static str, error: NvmlError, recorder: &mut Recorder) {
        // The arguments are constant: an argument that is invalid once is unknown to this driver.
        if error.code.is_for_good() || error.code == Code::InvalidArgument {
            // One series for all of these: an old board refuses dozens.
            recorder.skip("not_supported");
            self.refuse(field);
        } else {
            recorder.skip(format!("{field}.{}", error.code.as_str()));
        }
        self.health.lost |= error.code.is_lost();
        if error.code.ends_process() {
            recorder.fail(error);
        }
    }

    /// Excludes the field from further readings.
    pub(super) fn refuse(&mut self, field: &'static str) {
        self.refused.insert(field);
    }

    /// Whether the field is not supported.
    pub(super) fn refuses(&self, field: &'static str) -> bool {
        self.refused.contains(field)
    }

    /// Forgets unsupported fields, which may have changed: MIG was switched, or the GPU has come back.
    pub(super) fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// A GPU without a library, for tests.
    #[cfg(test)]
    pub(super) fn of_test(uuid: &str) -> Self {
        Self::new(0, None, uuid)
    }
}
