//! Errors of PCI Express that the firmware has reported (APEI): `pci_print_aer`, in older kernels `cper_print_aer`, of
//! drivers/pci/pcie/aer.c (Linux 3.10 to 6.18).
//!
//! A report has several lines, without a severity in words:
//!
//! ```text
//! amdgpu 0000:03:00.0: AER: aer_status: 0x00100000, aer_mask: 0x00000000
//! amdgpu 0000:03:00.0:    [20] UnsupReq               (First)
//! amdgpu 0000:03:00.0: AER: aer_layer=Transaction Layer, aer_agent=Requester ID
//! amdgpu 0000:03:00.0: AER: aer_uncor_severity: 0x00462030
//! ```
//!
//! Only an uncorrected error has the last one. The kernel writes one report after the other (`aer_recover_work_func` is one work
//! item), so an `aer_status` that another one or a second follows instead was that of a corrected error.

use std::time::{Duration, Instant};

use super::{Line, agrees};
use crate::fault::{Kind, Place};
use crate::pci::Pci;
use crate::record::{Header, Record};

/// Time in which the lines of one report are written.
const TIME: Duration = Duration::from_millis(500);

/// A line of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `aer_status`: the errors that are not masked.
    Status(u32),
    /// `aer_uncor_severity`: which errors the device has as fatal ones.
    Severity(u32),
}

/// A report that has begun.
#[derive(Debug, Clone, Copy)]
struct Begun {
    header: Header,
    pci: Pci,
    status: u32,
    read_at: Instant,
}

/// An error: the record with which its report begins, its kind and its device.
pub(crate) type Reported = (Header, Kind, Pci);

/// The reports of a log.
#[derive(Debug, Default)]
pub(crate) struct Reports(Option<Begun>);

impl Reports {
    /// Takes a record that is nothing else. Returns the error of the report that it ends, or of the one before it.
    pub(crate) fn take(&mut self, header: Header, record: &Record<'_>, now: Instant) -> Option<Reported> {
        let (pci, part) = part(record)?;
        match part {
            Part::Status(status) => {
                let before = self.end();
                self.0 = Some(Begun {
                    header,
                    pci,
                    status,
                    read_at: now,
                });
                before
            }
            Part::Severity(severity) => {
                // Where the begin was overwritten, that it was not corrected is known.
                let begun = self.0.take_if(|begun| begun.pci == pci);
                let is_fatal = begun.is_some_and(|begun| begun.status & severity != 0);
                let kind = if is_fatal { Kind::AerFatal } else { Kind::AerNonfatal };
                Some((begun.map_or(header, |begun| begun.header), kind, pci))
            }
        }
    }

    /// Whether a report has begun that may have more lines.
    pub(crate) const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The error of a report of which nothing has come for a while: it was corrected.
    pub(crate) fn end_old(&mut self, now: Instant) -> Option<Reported> {
        let is_old = |begun: &Begun| now.saturating_duration_since(begun.read_at) >= TIME;
        self.0.as_ref().is_some_and(is_old).then(|| self.end()).flatten()
    }

    /// The error of a report that has begun and has no more lines.
    pub(crate) fn end(&mut self) -> Option<Reported> {
        let begun = self.0.take()?;
        Some((begun.header, Kind::AerCorrected, begun.pci))
    }
}

fn part(record: &Record<'_>) -> Option<(Pci, Part)> {
    let line = Line::parse(record.text)?;
    let rest = line.rest.strip_prefix("AER: ").unwrap_or(line.rest);
    let part = if let Some(numbers) = rest.strip_prefix("aer_status: ") {
        let (status, mask) = numbers.split_once(", aer_mask: ")?;
        Part::Status(number(status)? & !number(mask)?)
    } else {
        Part::Severity(number(rest.strip_prefix("aer_uncor_severity: ")?)?)
    };
    let pci = Pci::parse(line.device)?;
    agrees(Place::Pci(pci), record.device).then_some((pci, part))
}

/// From `0x` and eight digits.
fn number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 8)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;
    use Kind::{AerCorrected, AerFatal, AerNonfatal};

    /// What the lines tell, all written at once, and what is left after them.
    fn read(lines: &[&str]) -> Vec<(Kind, String)> {
        let (mut reports, now) = (Reports::default(), Instant::now());
        let mut all = Vec::new();
        for text in lines {
            let bytes = format!("3,1,2,-;{text}\n");
            let (header, rest) = record::header(bytes.as_bytes()).unwrap();
            let record = record::record(header, rest).unwrap();
            assert_eq!(
                super::super::recognise(&record),
                Ok(None),
                "{text}: counted elsewhere too"
            );
            all.extend(reports.take(header, &record, now));
        }
        assert!(reports.end_old(now).is_none(), "the rest of it may be yet to come");
        all.extend(reports.end_old(now + TIME));
        assert!(!reports.is_open());
        all.into_iter().map(|(_, kind, pci)| (kind, pci.to_string())).collect()
    }

    fn is(lines: &[&str], expected: &[(Kind, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(kind, pci)| (*kind, (*pci).to_owned())).collect();
        assert_eq!(read(lines), expected, "{lines:#?}");
    }

    #[test]
    fn each_report_is_one_error() {
        // The commit that has tg3 stop its device before the machine goes off (launchpad#1917471).
        let nonfatal = [
            "tg3 0000:04:00.0: AER: aer_status: 0x00100000, aer_mask: 0x00010000",
            "tg3 0000:04:00.0: AER:    [20] UnsupReq               (First)",
            "tg3 0000:04:00.0: AER: aer_layer=Transaction Layer, aer_agent=Requester ID",
            "tg3 0000:04:00.0: AER: aer_uncor_severity: 0x000ef030",
            "tg3 0000:04:00.0: AER:   TLP Header: 40000001 0000030f 90028090 00000000",
        ];
        is(&nonfatal, &[(AerNonfatal, "0000:04:00.0")]);
        // Before Linux 4.20 without `AER: `.
        let fatal = [
            "nvidia 0000:3b:00.0: aer_status: 0x00040000, aer_mask: 0x00000000",
            "nvidia 0000:3b:00.0:    [18] Malformed TLP          (First)",
            "nvidia 0000:3b:00.0: aer_layer=Transaction Layer, aer_agent=Receiver ID",
            "nvidia 0000:3b:00.0: aer_uncor_severity: 0x00062010",
        ];
        is(&fatal, &[(AerFatal, "0000:3b:00.0")]);
        let corrected = [
            "amdgpu 0000:03:00.0: AER: aer_status: 0x00001000, aer_mask: 0x00002000",
            "amdgpu 0000:03:00.0:    [12] Timeout",
            "amdgpu 0000:03:00.0: AER: aer_layer=Data Link Layer, aer_agent=Transmitter ID",
        ];
        is(&corrected, &[(AerCorrected, "0000:03:00.0")]);
        is(
            &[&corrected[..], &corrected, &nonfatal, &corrected, &fatal].concat(),
            &[
                (AerCorrected, "0000:03:00.0"),
                (AerCorrected, "0000:03:00.0"),
                (AerNonfatal, "0000:04:00.0"),
                (AerCorrected, "0000:03:00.0"),
                (AerFatal, "0000:3b:00.0"),
            ],
        );
    }

    #[test]
    fn of_a_report_whose_begin_is_lost_the_severity_counts() {
        is(
            &["nvidia 0000:3b:00.0: AER: aer_uncor_severity: 0x00062010"],
            &[(AerNonfatal, "0000:3b:00.0")],
        );
        is(
            &["nvidia 0000:3b:00.0: AER: aer_layer=Physical Layer, aer_agent=Receiver ID"],
            &[],
        );
    }

    #[test]
    fn a_masked_error_is_not_the_fatal_one() {
        let lines = [
            "nvidia 0000:3b:00.0: AER: aer_status: 0x00140000, aer_mask: 0x00040000",
            "nvidia 0000:3b:00.0: AER: aer_uncor_severity: 0x00062010",
        ];
        is(&lines, &[(AerNonfatal, "0000:3b:00.0")]);
    }

    #[test]
    fn what_only_looks_like_a_report_is_none() {
        for text in [
            "{1}[Hardware Error]:   aer_uncor_severity: 0x000ef030",
            "nvidia 0000:3b:00.0: AER: aer_status: 0x0010000g, aer_mask: 0x00010000",
            "nvidia 0000:3b:00.0: AER: aer_status: 0x00100000",
            "nvidia 0000:3b:00.0: AER: aer_uncor_severity: 0x+0ef030",
            "nvidia nowhere: AER: aer_uncor_severity: 0x000ef030",
            "usb 1-3: Product: aer_status: 0x00100000, aer_mask: 0x00010000",
        ] {
            is(&[text], &[]);
        }
    }
}
