//! A GPU, and its constant properties while its handle is valid.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::fault::{Fault, Severity};
use super::nvml::{Code, Device, Field, Number, NvmlError, Pci};
use super::recorder::Recorder;
use accelscope_core::metric::{Attributes, key};

/// The GPU's health, as found by the topics in one pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own")]
pub(super) struct Health {
    /// It has answered at least one call.
    pub(super) answered: bool,
    /// It no longer answers, must be reset, or may not be used by this process.
    pub(super) lost: bool,
    /// Every call for it hangs or crashes, and it is suspended.
    pub(super) suspended: bool,
    /// Its hardware reduces its clocks because of heat or power.
    pub(super) slowed: bool,
    pub(super) faults: BTreeSet<Fault>,
}

impl Health {
    /// Health of a GPU that does not answer.
    pub(super) fn of_lost(fault: Fault) -> Self {
        Self {
            lost: true,
            faults: [fault].into(),
            ..Self::default()
        }
    }

    /// Takes the return code of a failed call into account.
    pub(super) fn note(&mut self, code: Code) {
        if let Some(fault) = Fault::of_lost(code) {
            self.lost = true;
            self.faults.insert(fault);
        }
    }

    /// Whether this process may not use the GPU: then nothing is known of it.
    pub(super) fn is_forbidden(&self) -> bool {
        self.faults.contains(&Fault::NoPermission)
    }

    /// The worst finding; `None` if the GPU did not answer, and nothing is known of it.
    pub(super) fn severity(&self) -> Option<Severity> {
        let worst = self.faults.iter().map(|fault| fault.severity()).max();
        let worst = worst.unwrap_or(Severity::None);
        Some(match self {
            Self { suspended: true, .. } => Severity::Failed,
            Self { lost: true, .. } if !self.is_forbidden() => Severity::Failed,
            _ if worst == Severity::Failed => worst,
            Self { answered: false, .. } => return None,
            Self { slowed: true, .. } => worst.max(Severity::Degraded),
            _ => worst,
        })
    }
}

/// One GPU.
#[derive(Debug)]
pub(super) struct Gpu {
    /// Index in `nvidia-smi`.
    pub(super) index: u32,
    /// Handle for calls; `None` if the library no longer returns one. Use [`ask`](Self::ask).
    pub(super) device: Option<Device>,
    /// `hw.id`: its UUID, with its address if another GPU reports the same one.
    pub(super) uuid: Arc<str>,
    /// UUID that it reports.
    pub(super) reported: Option<Arc<str>>,
    /// Its model in the kernel driver's list, if the library did not describe it.
    pub(super) model: Option<Arc<str>>,
    pub(super) pci: Option<Pci>,
    pub(super) minor: Option<u32>,
    /// Whether MIG is enabled.
    pub(super) is_mig: bool,
    /// GPU instances that it had when they were last listed; `None` before.
    pub(super) instances: Option<BTreeSet<u32>>,
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
            reported: None,
            model: None,
            pci: None,
            minor: None,
            is_mig: false,
            instances: None,
            health: Health::default(),
            refused: HashSet::new(),
        }
    }

    /// Gives it another `hw.id`.
    pub(super) fn identify(&mut self, id: &str) {
        self.uuid = id.into();
        self.label = Attributes::new([(key::HW_ID, Arc::clone(&self.uuid).into())]);
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
        self.health.note(error.code);
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
