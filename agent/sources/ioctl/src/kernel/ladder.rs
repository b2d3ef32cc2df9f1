//! Which hook is used for which driver.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::programs::{Attached, HookError, Programs};
use super::refusal;
use super::report::{Driver, Obstacle};
use crate::Rung;
use crate::{Device, Hook};

/// Attaches programs. A trait, so that the choice is tested without a kernel that has each kind of hook.
pub(super) trait Hooks {
    /// What keeps a pair of programs attached.
    type Attached;

    fn fentry(&mut self, module: &str, symbol: &str) -> Result<Self::Attached, HookError>;
    fn kprobe(&mut self, symbol: &str) -> Result<Self::Attached, HookError>;
    fn tracepoints(&mut self) -> Result<Self::Attached, HookError>;
    fn raw_tracepoints(&mut self) -> Result<Self::Attached, HookError>;
    /// What tells one loading of a module from another; nothing where it is not loaded.
    fn module(&self, module: &str) -> Option<u64>;
}

impl Hooks for Programs {
    type Attached = Attached;

    fn fentry(&mut self, module: &str, symbol: &str) -> Result<Attached, HookError> {
        self.fentry(module, symbol)
    }

    fn kprobe(&mut self, symbol: &str) -> Result<Attached, HookError> {
        self.kprobe(symbol)
    }

    fn tracepoints(&mut self) -> Result<Attached, HookError> {
        self.tracepoints()
    }

    fn raw_tracepoints(&mut self) -> Result<Attached, HookError> {
        self.raw_tracepoints()
    }

    fn module(&self, module: &str) -> Option<u64> {
        use std::os::unix::fs::MetadataExt;
        // A new folder, and so a new inode, for each loading.
        std::fs::metadata(std::path::Path::new("/sys/module").join(module))
            .ok()
            .map(|folder| folder.ino())
    }
}

/// What can be followed from where, by the offsets that are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// From a file to its device.
    pub(super) files: bool,
    /// From a descriptor to its device.
    pub(super) descriptors: bool,
}

/// A driver's function, and which loading of its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    module: &'static str,
    symbol: &'static str,
    loading: Option<u64>,
}

/// Functions that calls of several drivers pass on their way to, or from, the drivers' own. Where one of them is hooked,
/// the drivers' own must not be: a call would be counted at both.
const PASSED: &[(&str, &[&str])] = &[
    // The drivers' own functions call it (`drivers/gpu/drm/*/*_drv.c`).
    (
        "drm_ioctl",
        &[
            "amdgpu_drm_ioctl",
            "radeon_drm_ioctl",
            "nouveau_drm_ioctl",
            "xe_drm_ioctl",
        ],
    ),
    // It calls them, before 545.23.06 (`nvidia/nv-frontend.c`).
    (
        "nvidia_frontend_unlocked_ioctl",
        &["nvidia_unlocked_ioctl", "nvkms_unlocked_ioctl"],
    ),
];

/// The hooks in use.
#[derive(Debug)]
pub(super) struct Ladder<H: Hooks> {
    hooks: H,
    /// The rungs that may be used, the best first.
    allowed: Vec<Rung>,
    sight: Sight,
    functions: BTreeMap<Function, (Rung, H::Attached)>,
    syscall: Option<(Rung, H::Attached)>,
}

/// How the devices of one driver are seen.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    /// Its devices, by their places in the caller's list.
    pub(super) devices: Vec<usize>,
    pub(super) driver: Driver,
    of: &'a Device,
}

impl<H: Hooks> Ladder<H> {
    /// `forced` is the list of `ioctl.hooks`; raw tracepoints are used only if named there.
    pub(super) fn new(hooks: H, forced: Option<&[Rung]>, sight: Sight) -> Self {
        let allowed = Rung::ALL
            .into_iter()
            .filter(|rung| match forced {
                Some(forced) => forced.contains(rung),
                None => *rung != Rung::RawTracepoint,
            })
            .collect();
        Self {
            hooks,
            allowed,
            sight,
            functions: BTreeMap::new(),
            syscall: None,
        }
    }

    pub(super) fn hooks(&mut self) -> &mut H {
        &mut self.hooks
    }

    /// Attaches what these devices need and detaches what they do not. A hook that stays is not touched.
    pub(super) fn choose<'a>(&mut self, devices: &[&'a Device], facts: &Facts) -> Vec<Choice<'a>> {
        let mut choices: Vec<Choice<'a>> = Vec::new();
        for (place, device) in devices.iter().enumerate() {
            let same = |choice: &&mut Choice<'a>| {
                std::ptr::eq(choice.of.hooks(), device.hooks())
                    && choice.of.family == device.family
                    && choice.of.module == device.module
            };
            match choices.iter_mut().find(same) {
                Some(choice) => {
                    choice.devices.push(place);
                    choice.driver.devices.push(device.name.clone());
                }
                None => choices.push(Choice {
                    devices: vec![place],
                    driver: Driver {
                        name: device
                            .module
                            .clone()
                            .unwrap_or_else(|| device.family.as_str().to_owned()),
                        devices: vec![device.name.clone()],
                        rung: Rung::Scan,
                        symbol: None,
                        obstacles: Vec::new(),
                    },
                    of: device,
                }),
            }
        }
        let candidates: Vec<_> = choices.iter().map(|choice| self.candidates(choice.of)).collect();
        let mut used: Vec<Function> = Vec::new();
        let mut syscalls = false;
        for (choice, functions) in choices.iter_mut().zip(&candidates) {
            let passed = passed(functions, &candidates);
            let functions = passed.as_ref().map_or(functions.as_slice(), std::slice::from_ref);
            self.climb(&mut choice.driver, functions, facts);
            match choice.driver.rung {
                Rung::Fentry | Rung::Kprobe => {
                    let symbol = choice.driver.symbol.clone();
                    let taken = |function: &&Function| Some(function.symbol) == symbol.as_deref();
                    used.extend(functions.iter().filter(taken).copied());
                }
                Rung::Tracepoint | Rung::RawTracepoint => syscalls = true,
                Rung::Scan => {}
            }
        }
        self.functions.retain(|function, _| used.contains(function));
        if !syscalls {
            self.syscall = None;
        }
        choices
    }

    /// The functions to try, in order: those of loaded modules; where none of them is, the driver is built in.
    fn candidates(&self, device: &Device) -> Vec<Function> {
        let of = |hook: &Hook| Function {
            module: hook.module,
            symbol: hook.symbol,
            loading: self.hooks.module(hook.module),
        };
        let all: Vec<_> = device.hooks().iter().map(of).collect();
        let loaded: Vec<_> = all
            .iter()
            .copied()
            .filter(|function| function.loading.is_some())
            .collect();
        if loaded.is_empty() { all } else { loaded }
    }

    /// The best rung for one driver.
    fn climb(&mut self, driver: &mut Driver, functions: &[Function], facts: &Facts) {
        let on_functions = |rung: &Rung| matches!(rung, Rung::Fentry | Rung::Kprobe);
        if functions.is_empty() && self.allowed.iter().any(on_functions) {
            driver.obstacles.push(Obstacle {
                rung: None,
                what: "no function of its driver is known that could be hooked".to_owned(),
                remedy: "report the driver, so that a later version knows it".to_owned(),
            });
        }
        let rungs = self.allowed.clone();
        for rung in rungs
            .into_iter()
            .filter(|rung| !functions.is_empty() || !on_functions(rung))
        {
            let tried = match rung {
                Rung::Fentry | Rung::Kprobe => self.on_function(rung, functions),
                Rung::Tracepoint | Rung::RawTracepoint => self.on_syscalls(rung),
                Rung::Scan => Ok(None),
            };
            match tried {
                Ok(symbol) => {
                    driver.rung = rung;
                    driver.symbol = symbol.map(str::to_owned);
                    return;
                }
                Err(Tried::Nothing(obstacle)) => driver.obstacles.push(obstacle),
                Err(Tried::Refused(error)) => {
                    tracing::debug!(
                        rung = rung.as_str(),
                        error = &error as &dyn std::error::Error,
                        "not to be had"
                    );
                    driver.obstacles.push(refusal::explain(rung, &error, facts));
                }
            }
        }
        driver.rung = Rung::Scan;
    }

    fn on_function(&mut self, rung: Rung, functions: &[Function]) -> Result<Option<&'static str>, Tried> {
        if !self.sight.files {
            return Err(Tried::blind(rung));
        }
        let mut refused = None;
        for function in functions {
            if self.functions.get(function).is_some_and(|(known, _)| *known == rung) {
                return Ok(Some(function.symbol));
            }
            let tried = match rung {
                Rung::Fentry => self.hooks.fentry(function.module, function.symbol),
                _ => self.hooks.kprobe(function.symbol),
            };
            match tried {
                Ok(attached) => {
                    self.functions.insert(*function, (rung, attached));
                    return Ok(Some(function.symbol));
                }
                // The first candidate is the likeliest, and so is its reason.
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.map_or_else(|| Tried::blind(rung), Tried::Refused))
    }

    fn on_syscalls(&mut self, rung: Rung) -> Result<Option<&'static str>, Tried> {
        if !self.sight.descriptors || !self.sight.files {
            return Err(Tried::blind(rung));
        }
        if self.syscall.as_ref().is_some_and(|(known, _)| *known == rung) {
            return Ok(None);
        }
        let attached = match rung {
            Rung::Tracepoint => self.hooks.tracepoints(),
            _ => self.hooks.raw_tracepoints(),
        };
        self.syscall = Some((rung, attached.map_err(Tried::Refused)?));
        Ok(None)
    }
}

enum Tried {
    Nothing(Obstacle),
    Refused(HookError),
}

impl Tried {
    fn nothing(rung: Rung, what: &str, remedy: &str) -> Self {
        Self::Nothing(Obstacle {
            rung: Some(rung),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        })
    }

    fn blind(rung: Rung) -> Self {
        Self::nothing(
            rung,
            "it is not known where this kernel keeps the device of a file",
            "use a kernel with CONFIG_DEBUG_INFO_BTF=y, or name a file with its BTF in ioctl.btf",
        )
    }
}

/// The function that these calls share with those of another driver, if that is hooked.
fn passed(functions: &[Function], all: &[Vec<Function>]) -> Option<Function> {
    let first = functions.first()?;
    let (shared, _) = PASSED.iter().find(|(_, own)| own.contains(&first.symbol))?;
    all.iter()
        .filter_map(|functions| functions.first())
        .find(|function| function.symbol == *shared)
        .copied()
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
