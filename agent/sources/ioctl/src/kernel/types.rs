//! Where the offsets of kernel structures come from.

use std::path::Path;

use agent_ebpf::Offsets;

use super::btf::Btf;
use super::budget::Machine;
use super::environment::Environment;
use super::load::calibrate_offsets;
use super::offsets;
use super::refusal;
use crate::sampler::NAME;
use accelscope_core::exhausted;
use accelscope_core::sampler::Finding;

/// Offsets and their source.
#[derive(Debug)]
pub(super) struct Types {
    pub(super) offsets: Offsets,
    /// Type information, unless calibrated.
    pub(super) btf: Option<Btf>,
    /// Whether that is the running kernel's own, so that its ids are valid in system calls.
    pub(super) own: bool,
    /// [`Report::offsets`](super::Report::offsets).
    pub(super) source: Option<String>,
    pub(super) obstacles: Vec<Finding>,
}

impl Types {
    fn new(offsets: Offsets, source: Option<String>) -> Self {
        Self {
            offsets,
            btf: None,
            own: false,
            source,
            obstacles: Vec::new(),
        }
    }

    /// From the kernel's own type information in `directory`, else from the user's file (`ioctl.btf`), else by calibration.
    /// The file is used only if it agrees with the calibration: with the offsets of another kernel, calls would be
    /// attributed to wrong processes.
    pub(super) fn find(directory: &Path, file: Option<&Path>, machine: Machine, environment: &Environment) -> Self {
        let failed = match Btf::read(&directory.join("vmlinux")) {
            Ok(btf) => {
                return Self {
                    own: true,
                    ..Self::from_btf(offsets::from_btf(&btf), btf, "kernel BTF".to_owned())
                };
            }
            Err(error) => error,
        };
        let calibrated = calibrate_offsets(machine, directory);
        let mut obstacles = Vec::new();
        if let Some(path) = file {
            match checked(path, calibrated.as_ref().ok()) {
                Ok((given, btf)) => return Self::from_btf(given, btf, path.display().to_string()),
                Err(why) => {
                    let unused = Finding::warn(NAME, format!("ioctl.btf is not used: {why}"));
                    obstacles.push(unused.with_remedy(format!(
                        "name a file with the BTF of Linux {}: the section .BTF of its vmlinux, or \
                         /sys/kernel/btf/vmlinux of a machine that runs it",
                        environment.release
                    )));
                }
            }
        }
        let found = match calibrated {
            Ok(offsets) => Self::new(offsets, Some("calibration".to_owned())),
            Err(error) => {
                let failed = failed.to_string();
                let types = match exhausted::remedy(&failed) {
                    Some(_) => "the kernel's types cannot be read",
                    None => "this kernel does not describe its types",
                };
                obstacles.push(Finding {
                    what: format!("{types} ({failed}), and they could not be found out: {error}"),
                    ..refusal::explain_load(&error, environment)
                });
                Self::new(Offsets::UNKNOWN, None)
            }
        };
        Self { obstacles, ..found }
    }

    fn from_btf(offsets: Offsets, btf: Btf, source: String) -> Self {
        Self {
            btf: Some(btf),
            ..Self::new(offsets, Some(source))
        }
    }
}

/// Reads the user's file and compares it with calibrated offsets.
///
/// # Errors
/// Why the file cannot be used.
fn checked(path: &Path, calibrated: Option<&Offsets>) -> Result<(Offsets, Btf), String> {
    let btf = Btf::read(path).map_err(|error| error.to_string())?;
    let given = offsets::from_btf(&btf);
    let path = path.display();
    if given == Offsets::UNKNOWN {
        return Err(format!("{path} describes none of the kernel's structures"));
    }
    match calibrated.and_then(|calibrated| offsets::contradiction(&given, calibrated)) {
        None => Ok((given, btf)),
        Some((field, u32::MAX, _)) => Err(format!("{path} is of another kernel: it does not tell of {field}")),
        Some((field, given, found)) => Err(format!(
            "{path} is of another kernel: it tells of {field} at {given}, here it is at {found}"
        )),
    }
}
