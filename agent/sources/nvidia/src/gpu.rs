//! A GPU, and what is known of it for good.

use std::collections::HashSet;
use std::sync::Arc;

use super::nvml::{Code, Device, Field, Number, NvmlError, Pci};
use super::sheet::Sheet;
use accelscope_core::metric::{Attributes, key};

/// What the topics find that speaks of the GPU's health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own")]
pub(super) struct Findings {
    /// It answered something.
    pub(super) answered: bool,
    /// It answers nothing any more, or must be reset.
    pub(super) lost: bool,
    /// It hangs or crashes the driver whatever it is asked, and is left alone.
    pub(super) hangs: bool,
    /// Its hardware slows it down: heat or power.
    pub(super) slowed: bool,
    /// Memory waits for a reset to be taken out of use, or the driver asks for the GPU to be drained.
    pub(super) needs_reset: bool,
    /// The driver says that it will not work before it is reset or the host rebooted.
    pub(super) must_reset: bool,
    /// Spare memory is used up, or its infoROM is corrupted.
    pub(super) worn_out: bool,
}

/// One GPU.
#[derive(Debug)]
pub(super) struct Gpu {
    /// As `nvidia-smi` numbers them.
    pub(super) index: u32,
    /// For calls; absent where the library gives no handle any more. Use [`ask`](Self::ask).
    pub(super) device: Option<Device>,
    /// `hw.id`: its UUID.
    pub(super) uuid: Arc<str>,
    pub(super) pci: Option<Pci>,
    pub(super) minor: Option<u32>,
    /// Whether it is partitioned at present.
    pub(super) is_mig: bool,
    /// `hw.id` alone: what every point of it has.
    pub(super) label: Attributes,
    /// Of this pass.
    pub(super) findings: Findings,
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
            findings: Findings::default(),
            refused: HashSet::new(),
        }
    }

    /// One reading. Absent where it failed, which is counted as `FIELD.CODE`; what the device says that it will never
    /// tell is counted once as `not_supported` and not asked again. A GPU that is lost is not asked anything more in this pass.
    pub(super) fn ask<T>(
        &mut self,
        field: &'static str,
        sheet: &mut Sheet,
        question: impl FnOnce(Device) -> Result<T, NvmlError>,
    ) -> Option<T> {
        if self.findings.lost || self.findings.hangs || self.refused.contains(field) {
            return None;
        }
        match question(self.device?) {
            Ok(value) => {
                self.findings.answered = true;
                Some(value)
            }
            Err(error) => {
                self.note(field, error, sheet);
                None
            }
        }
    }

    /// Several fields in one call, in their order. Each is named, and absent where it failed or was refused before.
    pub(super) fn ask_fields<const N: usize>(
        &mut self,
        fields: [(&'static str, Field); N],
        sheet: &mut Sheet,
    ) -> [Option<Number>; N] {
        let mut values = [None; N];
        let asked: Vec<usize> = (0..N).filter(|at| !self.refused.contains(fields[*at].0)).collect();
        if asked.is_empty() {
            return values;
        }
        let wanted: Vec<Field> = asked.iter().map(|at| fields[*at].1).collect();
        let results = self.ask("field_values", sheet, |device| device.field_values(&wanted));
        for (at, result) in asked.into_iter().zip(results.into_iter().flatten()) {
            match result {
                Ok(value) => values[at] = Some(value),
                Err(error) => self.note(fields[at].0, error, sheet),
            }
        }
        values
    }

    /// What an error says of the device. For readings that do not go through [`ask`](Self::ask).
    pub(super) fn note(&mut self, field: &'static str, error: NvmlError, sheet: &mut Sheet) {
        // What is asked for does not change: an argument that is invalid once is one that this driver does not know.
        if error.code.is_for_good() || error.code == Code::InvalidArgument {
            // One series for all of these: an old board refuses dozens.
            sheet.skip("not_supported");
            self.refuse(field);
        } else {
            sheet.skip(format!("{field}.{}", error.code.as_str()));
        }
        self.findings.lost |= error.code.is_lost();
        if error.code.ends_process() {
            sheet.fail(error);
        }
    }

    /// Does not ask for it again.
    pub(super) fn refuse(&mut self, field: &'static str) {
        self.refused.insert(field);
    }

    /// Whether it has said that it will never tell this.
    pub(super) fn refuses(&self, field: &'static str) -> bool {
        self.refused.contains(field)
    }

    /// What it can tell may have changed: it was partitioned, put together, or has come back.
    pub(super) fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// For tests of what needs no library.
    #[cfg(test)]
    pub(super) fn of_test(uuid: &str) -> Self {
        Self::new(0, None, uuid)
    }
}
