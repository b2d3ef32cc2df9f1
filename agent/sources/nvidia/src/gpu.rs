//! A GPU, and what does not change while its handle is valid.

use std::collections::HashSet;
use std::sync::Arc;

use super::nvml::{Code, Device, Field, Number, NvmlError, Pci};
use super::recorder::Recorder;
use accelscope_core::metric::{Attributes, key};

/// The GPU's health, as found by the topics in one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own")]
pub(super) struct Health {
    /// It answered something.
    pub(super) answered: bool,
    /// It does not answer any more, or must be reset.
    pub(super) lost: bool,
    /// Every call for it hangs or crashes, and it is suspended.
    pub(super) suspended: bool,
    /// Its hardware slows it down: heat or power.
    pub(super) slowed: bool,
    /// Memory waits for a reset to be taken out of use, or the driver wants the GPU to be drained.
    pub(super) needs_reset: bool,
    /// It will not work before it is reset or the host rebooted, as reported by the driver.
    pub(super) must_reset: bool,
    /// Spare memory is used up, or its infoROM is corrupted.
    pub(super) worn_out: bool,
}

/// One GPU.
#[derive(Debug)]
pub(super) struct Gpu {
    /// As `nvidia-smi` numbers them.
    pub(super) index: u32,
    /// Handle for calls; `None` if the library no longer returns one. Use [`ask`](Self::ask).
    pub(super) device: Option<Device>,
    /// `hw.id`: its UUID.
    pub(super) uuid: Arc<str>,
    pub(super) pci: Option<Pci>,
    pub(super) minor: Option<u32>,
    /// Whether MIG is on.
    pub(super) is_mig: bool,
    /// `hw.id` alone, which every point of it has.
    pub(super) label: Attributes,
    /// Of this pass.
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

    /// One reading. Absent where it failed, which is counted as `FIELD.CODE`; a field that the device does not support is
    /// counted once as `not_supported` and not read again. A GPU that is lost is not read any more in this pass.
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

    /// Several fields in one call, in their order. Each has a name, and is absent where it failed or was refused before.
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
        // The arguments do not change: one that is invalid once is one that this driver does not know.
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

    /// Does not read the field again.
    pub(super) fn refuse(&mut self, field: &'static str) {
        self.refused.insert(field);
    }

    /// Whether the field is not supported.
    pub(super) fn refuses(&self, field: &'static str) -> bool {
        self.refused.contains(field)
    }

    /// The supported fields may have changed: MIG was switched, or the GPU has come back.
    pub(super) fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// For tests of what needs no library.
    #[cfg(test)]
    pub(super) fn of_test(uuid: &str) -> Self {
        Self::new(0, None, uuid)
    }
}
