//! Which hook is used for which driver.

use std::collections::BTreeMap;

use super::environment::Environment;
use super::programs::{Attached, HookError, Programs};
use super::refusal;
use super::report::{Driver, Obstacle};
use crate::Device;
use crate::HookKind;
use accelscope_core::device::Hook;

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
pub(super) struct HookSelector<H: Hooks> {
    hooks: H,
    /// The kinds of hook that may be used, the best first.
    allowed: Vec<HookKind>,
    sight: Sight,
    functions: BTreeMap<Function, (HookKind, H::Attached)>,
    syscall: Option<(HookKind, H::Attached)>,
}

/// How the devices of one driver are seen.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    /// Its devices, by their places in the caller's list.
    pub(super) devices: Vec<usize>,
    pub(super) driver: Driver,
    of: &'a Device,
}

impl<H: Hooks> HookSelector<H> {
    /// `forced` is the list of `ioctl.hooks`; raw tracepoints are used only if named there.
    pub(super) fn new(hooks: H, forced: Option<&[HookKind]>, sight: Sight) -> Self {
        let allowed = HookKind::ALL
            .into_iter()
            .filter(|hook| match forced {
                Some(forced) => forced.contains(hook),
                None => *hook != HookKind::RawTracepoint,
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
    pub(super) fn choose<'a>(&mut self, devices: &[&'a Device], environment: &Environment) -> Vec<Choice<'a>> {
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
                        name: device.module.clone().unwrap_or_else(|| device.family.name.to_owned()),
                        devices: vec![device.name.clone()],
                        hook: HookKind::Scan,
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
            self.climb(&mut choice.driver, functions, environment);
            match choice.driver.hook {
                HookKind::Fentry | HookKind::Kprobe => {
                    let symbol = choice.driver.symbol.clone();
                    let taken = |function: &&Function| Some(function.symbol) == symbol.as_deref();
                    used.extend(functions.iter().filter(taken).copied());
                }
                HookKind::Tracepoint | HookKind::RawTracepoint => syscalls = true,
                HookKind::Scan => {}
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

    /// The best hook for one driver.
    fn climb(&mut self, driver: &mut Driver, functions: &[Function], environment: &Environment) {
        let on_functions = |hook: &HookKind| matches!(hook, HookKind::Fentry | HookKind::Kprobe);
        if functions.is_empty() && self.allowed.iter().any(on_functions) {
            driver.obstacles.push(Obstacle {
                hook: None,
                what: "no function of its driver is known that could be hooked".to_owned(),
                remedy: "report the driver, so that a later version knows it".to_owned(),
            });
        }
        let kinds = self.allowed.clone();
        for hook in kinds
            .into_iter()
            .filter(|hook| !functions.is_empty() || !on_functions(hook))
        {
            let tried = match hook {
                HookKind::Fentry | HookKind::Kprobe => self.on_function(hook, functions),
                HookKind::Tracepoint | HookKind::RawTracepoint => self.on_syscalls(hook),
                HookKind::Scan => Ok(None),
            };
            match tried {
                Ok(symbol) => {
                    driver.hook = hook;
                    driver.symbol = symbol.map(str::to_owned);
                    return;
                }
                Err(Tried::Nothing(obstacle)) => driver.obstacles.push(obstacle),
                Err(Tried::Refused(error)) => {
                    tracing::debug!(
                        hook = hook.as_str(),
                        error = &error as &dyn std::error::Error,
                        "not to be had"
                    );
                    driver.obstacles.push(refusal::explain(hook, &error, environment));
                }
            }
        }
        driver.hook = HookKind::Scan;
    }

    fn on_function(&mut self, hook: HookKind, functions: &[Function]) -> Result<Option<&'static str>, Tried> {
        if !self.sight.files {
            return Err(Tried::blind(hook));
        }
        let mut refused = None;
        for function in functions {
            if self.functions.get(function).is_some_and(|(known, _)| *known == hook) {
                return Ok(Some(function.symbol));
            }
            let tried = match hook {
                HookKind::Fentry => self.hooks.fentry(function.module, function.symbol),
                _ => self.hooks.kprobe(function.symbol),
            };
            match tried {
                Ok(attached) => {
                    self.functions.insert(*function, (hook, attached));
                    return Ok(Some(function.symbol));
                }
                // The first candidate is the likeliest, and so is its reason.
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.map_or_else(|| Tried::blind(hook), Tried::Refused))
    }

    fn on_syscalls(&mut self, hook: HookKind) -> Result<Option<&'static str>, Tried> {
        if !self.sight.descriptors || !self.sight.files {
            return Err(Tried::blind(hook));
        }
        if self.syscall.as_ref().is_some_and(|(known, _)| *known == hook) {
            return Ok(None);
        }
        let attached = match hook {
            HookKind::Tracepoint => self.hooks.tracepoints(),
            _ => self.hooks.raw_tracepoints(),
        };
        self.syscall = Some((hook, attached.map_err(Tried::Refused)?));
        Ok(None)
    }
}

enum Tried {
    Nothing(Obstacle),
    Refused(HookError),
}

impl Tried {
    fn nothing(hook: HookKind, what: &str, remedy: &str) -> Self {
        Self::Nothing(Obstacle {
            hook: Some(hook),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        })
    }

    fn blind(hook: HookKind) -> Self {
        Self::nothing(
            hook,
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
#[path = "tests/selector.rs"]
mod tests;
