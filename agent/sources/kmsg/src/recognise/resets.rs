//! Resets of AMD's GPUs that fail: up to three lines for one (`amdgpu_do_asic_reset` and `amdgpu_device_gpu_recover`,
//! drivers/gpu/drm/amd/amdgpu/amdgpu_device.c of Linux 5.0 to 6.18), of which the first counts.
//!
//! ```text
//! amdgpu 0000:03:00.0: amdgpu: GPU reset begin!
//! amdgpu 0000:03:00.0: amdgpu: ASIC reset failed with error, -62 for drm dev, 0000:03:00.0
//! amdgpu 0000:03:00.0: amdgpu: GPU reset(1) failed
//! amdgpu 0000:03:00.0: amdgpu: GPU reset end with ret = -62
//! ```
//!
//! None of them is always there: of GPUs that are linked (XGMI) only the one that began has the first and the last, and where the
//! hardware was reset but its blocks do not come up again there is no second.
//!
//! A GPU of xe that is lost has two lines for it, the second of them again and again (`xe_step`).

use std::collections::BTreeMap;

use crate::fault::{Fault, Place, Step};
use crate::pci::Pci;

/// Most GPUs whose resets are told apart.
const MAX_GPUS: usize = 256;

/// The last line of a reset, by GPU.
#[derive(Debug, Default)]
pub(crate) struct Resets(BTreeMap<Pci, Step>);

impl Resets {
    /// Whether a fault is another one than that of the line before it.
    pub(crate) fn is_another(&mut self, fault: &Fault<'_>) -> bool {
        let (Some(step), Place::Pci(pci)) = (fault.step, fault.place) else {
            return true;
        };
        if self.0.len() >= MAX_GPUS && !self.0.contains_key(&pci) {
            self.0.clear();
        }
        match (self.0.insert(pci, step), step) {
            (None | Some(Step::Begun), _) | (_, Step::Begun | Step::DeclaredWedged) => true,
            // A GPU stays lost until it is declared so anew. GPUs that are linked may have the second line of a reset twice.
            (_, Step::Wedged) | (Some(Step::HardwareFailed), Step::HardwareFailed) => false,
            (Some(before), _) => step <= before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;
    use Step::{Begun, Ended, Failed, HardwareFailed};

    fn another(steps: &[Step]) -> Vec<bool> {
        let mut resets = Resets::default();
        let place = Place::Pci(Pci::parse("0000:03:00.0").unwrap());
        let fault = |step: &Step| Fault {
            step: Some(*step),
            ..Fault::new(Kind::ResetFailed, place)
        };
        steps.iter().map(|step| resets.is_another(&fault(step))).collect()
    }

    #[test]
    fn a_reset_fails_once_whichever_of_its_lines_there_are() {
        assert_eq!(
            another(&[Begun, HardwareFailed, Failed, Ended]),
            [true, true, false, false]
        );
        assert_eq!(
            another(&[Begun, Ended, Begun, Failed, Ended]),
            [true, true, true, true, false]
        );
        assert_eq!(another(&[HardwareFailed, HardwareFailed, Failed]), [true, false, false]);
    }

    #[test]
    fn each_reset_of_a_gpu_that_another_one_s_took_along_fails_once() {
        assert_eq!(
            another(&[Failed, Failed, HardwareFailed, Failed]),
            [true, true, true, false]
        );
    }

    #[test]
    fn a_gpu_is_lost_once_until_it_is_declared_lost_again() {
        use Step::{DeclaredWedged, Wedged};
        assert_eq!(
            another(&[DeclaredWedged, Wedged, Wedged, DeclaredWedged, Wedged]),
            [true, false, false, true, false]
        );
        assert_eq!(another(&[Wedged, Wedged]), [true, false]);
    }

    #[test]
    fn the_number_of_gpus_is_limited() {
        let mut resets = Resets::default();
        for domain in 0..1000 {
            let place = Place::Pci(Pci::parse(&format!("{domain:04x}:03:00.0")).unwrap());
            let fault = Fault {
                step: Some(Failed),
                ..Fault::new(Kind::ResetFailed, place)
            };
            assert!(resets.is_another(&fault));
            assert!(resets.0.len() <= MAX_GPUS);
        }
    }
}
