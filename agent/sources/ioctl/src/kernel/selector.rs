//! Selection of a hook for each driver.

use std::collections::BTreeMap;

use super::drivers;
use super::environment::Environment;
use super::hooks::{HookError, Hooks};
use super::refusal;
use super::report::Driver;
use crate::Device;
use crate::HookKind;
use crate::sampler::NAME;
use accelscope_core::device::Hook;
use accelscope_core::sampler::Finding;

/// What the programs can resolve with the offsets that are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolvable {
    /// From a file to its device.
    pub(super) files: bool,
    /// From a descriptor to its device.
    pub(super) descriptors: bool,
}

/// A driver's function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    module: &'static str,
    symbol: &'static str,
    /// [`Hooks::module`] of its module.
    loading: Option<u64>,
}

/// The hooks in use.
#[derive(Debug)]
pub(super) struct HookSelector<H: Hooks> {
    hooks: H,
    /// The kinds that may be used, the best first.
    allowed: Vec<HookKind>,
    resolvable: Resolvable,
    functions: BTreeMap<Function, (HookKind, H::Attached)>,
    syscall: Option<(HookKind, H::Attached)>,
    /// On the calls of 32-bit programs, where the others need it; or why it is not attached.
    compat: Option<Result<H::Attached, String>>,
}

/// The devices of one driver, and the hook that counts their calls.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// Indices of the devices in the caller's list.
    pub(super) devices: Vec<usize>,
    pub(super) driver: Driver,
    /// The first of the devices.
    first: &'a Device,
}

impl<H: Hooks> HookSelector<H> {
    pub(super) fn new(hooks: H, allowed: Vec<HookKind>, resolvable: Resolvable) -> Self {
        Self {
            hooks,
            allowed,
            resolvable,
            functions: BTreeMap::new(),
            syscall: None,
            compat: None,
        }
    }

    pub(super) fn hooks(&mut self) -> &mut H {
        &mut self.hooks
    }

    /// Attaches the hooks that these devices need and detaches all others. A hook that is needed further stays attached
    /// all the time.
    pub(super) fn select<'a>(&mut self, devices: &[&'a Device], environment: &Environment) -> Vec<Selection<'a>> {
        let mut selections: Vec<Selection<'a>> = Vec::new();
        for (index, device) in devices.iter().enumerate() {
            let same = |selection: &&mut Selection<'a>| {
                std::ptr::eq(selection.first.hooks(), device.hooks())
                    && selection.first.family == device.family
                    && selection.first.module == device.module
            };
            match selections.iter_mut().find(same) {
                Some(selection) => {
                    selection.devices.push(index);
                    selection.driver.devices.push(device.name.clone());
                }
                None => selections.push(Selection {
                    devices: vec![index],
                    driver: Driver::unhooked(device),
                    first: device,
                }),
            }
        }
        let candidates: Vec<_> = selections
            .iter()
            .map(|selection| self.candidates(selection.first))
            .collect();
        let mut used: Vec<Function> = Vec::new();
        let mut syscalls = false;
        for (selection, functions) in selections.iter_mut().zip(&candidates) {
            let shared = shared(functions, &candidates);
            let functions = shared.as_ref().map_or(functions.as_slice(), std::slice::from_ref);
            self.attach(&mut selection.driver, functions, environment);
            match selection.driver.hook {
                HookKind::Fentry | HookKind::Kprobe => {
                    let symbol = selection.driver.symbol.as_deref();
                    used.extend(functions.iter().filter(|function| Some(function.symbol) == symbol));
                }
                HookKind::Tracepoint | HookKind::RawTracepoint => syscalls = true,
                HookKind::Scan => {}
            }
        }
        self.functions.retain(|function, _| used.contains(function));
        if !syscalls {
            self.syscall = None;
        }
        self.see_compat(&mut selections, environment);
        selections
    }

    /// The functions to try, in order: those of loaded modules. If none of the modules is loaded, the driver is built in,
    /// and all functions are tried.
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

    /// Attaches the best hook for one driver.
    fn attach(&mut self, driver: &mut Driver, functions: &[Function], environment: &Environment) {
        let on_functions = |hook: &HookKind| matches!(hook, HookKind::Fentry | HookKind::Kprobe);
        if functions.is_empty() && self.allowed.iter().any(on_functions) {
            driver.obstacles.push(
                Finding::warn(NAME, "no function of its driver is known that could be hooked")
                    .with_remedy("report the driver, so that a later version knows it"),
            );
        }
        let kinds = self.allowed.clone();
        for hook in kinds
            .into_iter()
            .filter(|hook| !functions.is_empty() || !on_functions(hook))
        {
            let attached = match hook {
                HookKind::Fentry | HookKind::Kprobe => self.on_function(hook, functions, environment),
                HookKind::Tracepoint | HookKind::RawTracepoint => self.on_syscalls(hook, environment),
                HookKind::Scan => Ok(None),
            };
            match attached {
                Ok(symbol) => {
                    driver.hook = hook;
                    driver.symbol = symbol.map(str::to_owned);
                    driver.unseen.extend(environment.preemption.loss(hook, environment));
                    return;
                }
                Err(obstacle) => driver.obstacles.push(obstacle),
            }
        }
    }

    /// Attaches the hook on the calls of 32-bit programs if one of the others does not see them all.
    fn see_compat(&mut self, selections: &mut [Selection<'_>], environment: &Environment) {
        let blind =
            |selection: &&mut Selection<'_>| !matches!(selection.driver.hook, HookKind::RawTracepoint | HookKind::Scan);
        if !environment.runs_compat() || !selections.iter_mut().any(|selection| blind(&selection)) {
            self.compat = None;
            return;
        }
        if !matches!(self.compat, Some(Ok(_))) {
            self.compat = match self.hooks.compat() {
                Ok(attached) => Some(Ok(attached)),
                // The kernel's configuration is not known, and it runs no 32-bit programs.
                Err(error) if error.errno() == Some(libc::ENOENT) && environment.options.is_empty() => None,
                Err(error) => Some(Err(refusal(HookKind::Kprobe, &error, environment).what)),
            };
        }
        let Some(Err(why)) = &self.compat else { return };
        for selection in selections.iter_mut().filter(blind) {
            selection.driver.sees_compat = selection.driver.hook != HookKind::Tracepoint;
            let unseen = match selection.driver.hook {
                HookKind::Tracepoint => "calls of 32-bit programs are not seen",
                _ => "calls of 32-bit programs are seen only where they pass this function",
            };
            selection.driver.unseen.push(format!("{unseen}: {why}"));
        }
    }

    /// The error is for the report.
    fn on_function(
        &mut self,
        hook: HookKind,
        functions: &[Function],
        environment: &Environment,
    ) -> Result<Option<&'static str>, Finding> {
        if !self.resolvable.files {
            return Err(unresolvable(hook));
        }
        let mut refused = None;
        for function in functions {
            if self.functions.get(function).is_some_and(|(known, _)| *known == hook) {
                return Ok(Some(function.symbol));
            }
            let attached = match hook {
                HookKind::Fentry => self.hooks.fentry(function.module, function.symbol),
                _ => self.hooks.kprobe(function.symbol),
            };
            match attached {
                Ok(attached) => {
                    self.functions.insert(*function, (hook, attached));
                    return Ok(Some(function.symbol));
                }
                // The first candidate is the most likely, so its error is reported.
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.map_or_else(|| unresolvable(hook), |error| refusal(hook, &error, environment)))
    }

    /// The error is for the report.
    fn on_syscalls(&mut self, hook: HookKind, environment: &Environment) -> Result<Option<&'static str>, Finding> {
        if !self.resolvable.descriptors || !self.resolvable.files {
            return Err(unresolvable(hook));
        }
        if self.syscall.as_ref().is_some_and(|(known, _)| *known == hook) {
            return Ok(None);
        }
        let attached = match hook {
            HookKind::Tracepoint => self.hooks.tracepoints(),
            _ => self.hooks.raw_tracepoints(),
        };
        self.syscall = Some((hook, attached.map_err(|error| refusal(hook, &error, environment))?));
        Ok(None)
    }
}

/// The programs could not resolve devices there.
fn unresolvable(hook: HookKind) -> Finding {
    let what = format!("no {hook}: it is not known where this kernel keeps the device of a file");
    Finding::warn(NAME, what)
        .with_remedy("use a kernel with CONFIG_DEBUG_INFO_BTF=y, or name a file with its BTF in ioctl.btf")
}

fn refusal(hook: HookKind, error: &HookError, environment: &Environment) -> Finding {
    tracing::debug!(
        hook = hook.as_str(),
        error = error as &dyn std::error::Error,
        "this hook cannot be used"
    );
    refusal::explain(hook, error, environment)
}

/// The function that these calls pass as well, if it is a candidate of another driver.
fn shared(functions: &[Function], all: &[Vec<Function>]) -> Option<Function> {
    let shared = drivers::shared_function(functions.first()?.symbol)?;
    all.iter()
        .filter_map(|functions| functions.first())
        .find(|function| function.symbol == shared)
        .copied()
}

#[cfg(test)]
#[path = "tests/selector.rs"]
mod tests;
