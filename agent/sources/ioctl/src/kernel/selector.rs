//! Selection of a hook for each driver.

use std::collections::BTreeMap;

use super::drivers;
use super::environment::Environment;
use super::hooks::{HookError, Hooks, Side};
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

/// A driver's function that is hooked.
#[derive(Debug)]
struct Hooked<A> {
    kind: HookKind,
    _own: A,
    /// On the function for 32-bit programs, where that is another; or why it is not hooked.
    compat: Option<Result<A, String>>,
}

/// The hooks in use.
#[derive(Debug)]
pub(super) struct HookSelector<H: Hooks> {
    hooks: H,
    /// The kinds that may be used, the best first.
    allowed: Vec<HookKind>,
    resolvable: Resolvable,
    functions: BTreeMap<Function, Hooked<H::Attached>>,
    syscall: Option<(HookKind, H::Attached)>,
    /// The next selection leaves hooks on functions attached that are no longer needed.
    hand_over: bool,
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
            hand_over: false,
        }
    }

    pub(super) fn hooks(&mut self) -> &mut H {
        &mut self.hooks
    }

    /// Whether one of the hooks in use is of such a kind.
    pub(super) fn uses(&self, is_such: impl Fn(HookKind) -> bool) -> bool {
        let functions = self.functions.values().map(|hooked| hooked.kind);
        functions.chain(self.syscall.iter().map(|(kind, _)| *kind)).any(is_such)
    }

    /// Changes the kinds that may be used. At the next selection the hooks in use stay attached beside the new ones, which
    /// take over the calls that begin from then on; at the one after that, hooks that are no longer needed are detached.
    pub(super) fn allow(&mut self, allowed: Vec<HookKind>) {
        if self.allowed != allowed {
            self.allowed = allowed;
            self.hand_over = true;
        }
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
        if !std::mem::take(&mut self.hand_over) {
            self.functions.retain(|function, _| used.contains(function));
        }
        if !syscalls {
            self.syscall = None;
        }
        selections
    }

    /// Whether functions are hooked that are used no longer.
    pub(super) fn has_left_over(&self, selections: &[Selection<'_>]) -> bool {
        self.functions.keys().any(|function| {
            selections
                .iter()
                .all(|selection| selection.driver.symbol.as_deref() != Some(function.symbol))
        })
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
                    driver.unseen.extend(self.unseen(hook, symbol, environment));
                    driver.unseen.extend(environment.preemption.loss(hook, environment));
                    return;
                }
                Err(obstacle) => driver.obstacles.push(obstacle),
            }
        }
    }

    /// Why calls of 32-bit programs are not seen, where that is so.
    fn unseen(&self, hook: HookKind, symbol: Option<&str>, environment: &Environment) -> Option<String> {
        let why = match hook {
            HookKind::Fentry | HookKind::Kprobe => {
                let mut hooked = self.functions.iter().filter(|(of, _)| Some(of.symbol) == symbol);
                match hooked.find_map(|(_, hooked)| hooked.compat.as_ref())? {
                    Ok(_) => return None,
                    Err(why) => why.as_str(),
                }
            }
            HookKind::Tracepoint if !environment.lacks("CONFIG_COMPAT") => {
                "the tracepoints of ioctl(2) do not fire for them; raw_tracepoint in ioctl.hooks does"
            }
            _ => return None,
        };
        Some(format!("calls of 32-bit programs are not seen ({why})"))
    }

    /// Hooks the function for 32-bit programs, where that is another.
    fn on_compat(
        &mut self,
        hook: HookKind,
        function: &Function,
        environment: &Environment,
    ) -> Option<Result<H::Attached, String>> {
        let symbol = drivers::compat_function(function.symbol).filter(|_| !environment.lacks("CONFIG_COMPAT"))?;
        let attached = match hook {
            HookKind::Fentry => self.hooks.fentry(function.module, symbol, Side::Compat),
            _ => self.hooks.kprobe(symbol, Side::Compat),
        };
        match attached {
            Ok(attached) => Some(Ok(attached)),
            // The kernel's configuration is not known, and it runs no 32-bit programs.
            Err(HookError::NoTypes(_)) if environment.options.is_empty() => None,
            Err(error) if error.errno() == Some(libc::ENOENT) && environment.options.is_empty() => None,
            Err(error) => Some(Err(format!("{symbol}: {error}"))),
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
            if self.functions.get(function).is_some_and(|known| known.kind == hook) {
                return Ok(Some(function.symbol));
            }
            let attached = match hook {
                HookKind::Fentry => self.hooks.fentry(function.module, function.symbol, Side::Own),
                _ => self.hooks.kprobe(function.symbol, Side::Own),
            };
            match attached {
                Ok(own) => {
                    let hooked = Hooked {
                        kind: hook,
                        _own: own,
                        compat: self.on_compat(hook, function, environment),
                    };
                    self.functions.insert(*function, hooked);
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
