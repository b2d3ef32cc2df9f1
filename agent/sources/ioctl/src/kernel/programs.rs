//! Loading and attaching the programs; see [`sys`] for why this is not done through aya.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aya_obj::generated::{bpf_attach_type, bpf_prog_type};

use super::btf::{Btf, KIND_FUNC, KIND_TYPEDEF};
use super::hooks::{HookError, Hooks};
use super::object::Program;
use super::sys::{self, Load};
use super::tracefs::Tracefs;

/// The group of the agent's own probes in tracefs.
const GROUP: &str = "accelscope";
/// Limit of calls of one function in flight with a visible return (`maxactive`). The kernel's maximum.
const MAX_ACTIVE: u32 = 4096;
/// The function for ioctl(2) of 32-bit programs.
const COMPAT_IOCTL: &str = if cfg!(target_arch = "aarch64") {
    "__arm64_compat_sys_ioctl"
} else {
    "__ia32_compat_sys_ioctl"
};
/// Directories of modules.
const MODULES: &str = "/sys/module";
/// Directory that describes kprobes as perf events.
const KPROBE: &str = "/sys/bus/event_source/devices/kprobe";

/// An attached pair of programs, detached on drop.
#[derive(Debug)]
pub(super) struct Attached {
    /// Dropped first, so that no call begins without a visible return.
    _entry: OwnedFd,
    _exit: OwnedFd,
    /// Dropped last: a probe in use cannot be removed.
    _probe: Option<Probe>,
    /// The entry program, whose skipped runs are counted as long as it is attached.
    _program: Arc<OwnedFd>,
}

/// A probe in tracefs, which stays after the process has ended unless it is removed.
#[derive(Debug)]
struct Probe {
    tracefs: Arc<Tracefs>,
    name: String,
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Err(error) = self.tracefs.probe(&format!("-:{GROUP}/{}", self.name)) {
            tracing::warn!(
                probe = self.name,
                error = &error as &dyn std::error::Error,
                "a kernel probe that is no longer used could not be removed; it does nothing, and a restart of the agent \
                 tries again"
            );
        }
    }
}

/// All programs, each loaded when it is needed first.
#[derive(Debug)]
pub(super) struct Programs {
    code: HashMap<String, Program>,
    loaded: HashMap<String, Arc<OwnedFd>>,
    tracefs: Option<Arc<Tracefs>>,
    /// The directory with the kernel's type information.
    types: PathBuf,
    probes: u32,
    entries: Vec<Entry>,
}

/// A loaded program that sees entries.
#[derive(Debug)]
struct Entry {
    program: Arc<OwnedFd>,
    /// How often the kernel had skipped it at the last look.
    skipped: u64,
}

impl Programs {
    pub(super) fn new(code: HashMap<String, Program>, types: &Path) -> Self {
        Self {
            code,
            loaded: HashMap::new(),
            tracefs: None,
            types: types.to_owned(),
            probes: 0,
            entries: Vec::new(),
        }
    }

    /// How often the kernel has skipped programs that see entries since the last call: those calls are not counted.
    pub(super) fn take_skipped(&mut self) -> u64 {
        let mut sum = 0;
        for entry in &mut self.entries {
            match sys::skipped(entry.program.as_fd()) {
                Ok(now) => sum += now.saturating_sub(std::mem::replace(&mut entry.skipped, now)),
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the kernel does not say how often it has skipped a program; the next reading tries again"
                ),
            }
        }
        let loaded = &self.loaded;
        let is_shared = |program: &Arc<OwnedFd>| loaded.values().any(|one| Arc::ptr_eq(one, program));
        self.entries
            .retain(|entry| Arc::strong_count(&entry.program) > 1 || is_shared(&entry.program));
        sum
    }

    fn attached(&mut self, program: &Arc<OwnedFd>, entry: OwnedFd, exit: OwnedFd) -> Attached {
        if !self.entries.iter().any(|one| Arc::ptr_eq(&one.program, program)) {
            self.entries.push(Entry {
                program: Arc::clone(program),
                skipped: 0,
            });
        }
        Attached {
            _entry: entry,
            _exit: exit,
            _probe: None,
            _program: Arc::clone(program),
        }
    }

    #[cfg(test)]
    pub(super) fn loaded(&self) -> Vec<&str> {
        self.loaded.keys().map(String::as_str).collect()
    }

    fn code(&self, name: &str) -> Result<&Program, HookError> {
        self.code.get(name).ok_or_else(|| HookError::NoProgram(name.to_owned()))
    }

    fn load(
        &self,
        name: &str,
        kind: bpf_prog_type,
        attach: u32,
        function: Option<(u32, Option<BorrowedFd<'_>>)>,
    ) -> Result<OwnedFd, HookError> {
        let program = self.code(name)?;
        sys::load(Load {
            name,
            instructions: &program.instructions,
            licence: &program.licence,
            kind: kind as u32,
            attach,
            function,
        })
        .map_err(|source| HookError::Load {
            name: name.to_owned(),
            source,
        })
    }

    /// A program that does not depend on the function it attaches to, loaded once.
    fn shared(&mut self, name: &str, kind: bpf_prog_type) -> Result<Arc<OwnedFd>, HookError> {
        if let Some(loaded) = self.loaded.get(name) {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(self.load(name, kind, 0, None)?);
        self.loaded.insert(name.to_owned(), Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Entry and return program in the variant `NAME_direct`, or `NAME_probed` where the kernel refuses that. Always both
    /// of the same variant, because the variants keep calls in flight in different maps.
    fn pair(&mut self, names: [&str; 2], kind: bpf_prog_type) -> Result<[Arc<OwnedFd>; 2], HookError> {
        let mut both = |variant: &str| -> Result<_, HookError> {
            let [entry, exit] = names.map(|name| format!("{name}_{variant}"));
            Ok([self.shared(&entry, kind)?, self.shared(&exit, kind)?])
        };
        both("direct").or_else(|direct| {
            let refused = matches!(direct.errno(), Some(libc::EPERM));
            tracing::debug!(
                error = &direct as &dyn std::error::Error,
                "the kernel refuses programs with typed pointers"
            );
            if refused { Err(direct) } else { both("probed") }
        })
    }

    /// Loads a direct program, to determine whether the kernel accepts them.
    pub(super) fn try_direct(&mut self) -> Result<(), HookError> {
        self.shared("ioctl_enter_direct", bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT)
            .map(drop)
    }

    fn tracefs(&mut self) -> Result<Arc<Tracefs>, HookError> {
        if let Some(tracefs) = &self.tracefs {
            return Ok(Arc::clone(tracefs));
        }
        let kernel = self.types.parent().unwrap_or(&self.types);
        let tracefs = Arc::new(Tracefs::open(kernel).map_err(HookError::Tracefs)?);
        remove_left_over(&tracefs);
        Ok(Arc::clone(self.tracefs.insert(tracefs)))
    }

    fn tracepoint(&mut self, event: &str, program: &OwnedFd) -> Result<OwnedFd, HookError> {
        let id = self
            .tracefs()?
            .id(event)
            .map_err(HookError::attach(format!("tracepoint {event}")))?;
        sys::perf_tracepoint(id, program.as_fd()).map_err(HookError::attach(format!("tracepoint {event}")))
    }

    /// A kprobe and a kretprobe with programs of these names on a function.
    fn probe(&mut self, names: [&str; 2], symbol: &str) -> Result<Attached, HookError> {
        let kind = std::fs::read_to_string(Path::new(KPROBE).join("type"))
            .and_then(|text| text.trim().parse().map_err(io::Error::other))
            .map_err(HookError::attach(KPROBE))?;
        let [program, exit] = self.pair(names, bpf_prog_type::BPF_PROG_TYPE_KPROBE)?;
        // Only tracefs takes `maxactive`; the default of a perf event is too low for drivers with blocking calls.
        let tracefs = self.tracefs()?;
        self.probes += 1;
        let name = format!("r{}_{}", std::process::id(), self.probes);
        tracefs
            .probe(&format!("r{MAX_ACTIVE}:{GROUP}/{name} {symbol}"))
            .map_err(HookError::attach(format!("kretprobe on {symbol}")))?;
        let probe = Probe {
            tracefs,
            name: name.clone(),
        };
        let exit = self.tracepoint(&format!("{GROUP}/{name}"), &exit)?;
        let symbol_name = CString::new(symbol).map_err(|error| HookError::attach(symbol)(io::Error::other(error)))?;
        let entry = sys::perf_kprobe(kind, &symbol_name, program.as_fd())
            .map_err(HookError::attach(format!("kprobe on {symbol}")))?;
        Ok(Attached {
            _probe: Some(probe),
            ..self.attached(&program, entry, exit)
        })
    }

    fn typed_raw_tracepoints(&mut self) -> Result<Attached, HookError> {
        let kernel = self.kernel_types()?;
        let attach = |program: &str, point: &str| {
            let id = kernel
                .id(KIND_TYPEDEF, &format!("btf_trace_{point}"))
                .ok_or_else(|| HookError::NoTypes(format!("the kernel's types do not contain {point}")))?;
            let raw = bpf_attach_type::BPF_TRACE_RAW_TP as u32;
            let program = self.load(program, bpf_prog_type::BPF_PROG_TYPE_TRACING, raw, Some((id, None)))?;
            let link = sys::raw_tracepoint(program.as_fd(), None)
                .map_err(HookError::attach(format!("raw tracepoint {point}")))?;
            Ok((link, program))
        };
        let (exit, _) = attach("raw_exit_direct", "sys_exit")?;
        let (entry, program) = attach("raw_enter_direct", "sys_enter")?;
        Ok(self.attached(&Arc::new(program), entry, exit))
    }

    fn kernel_types(&self) -> Result<Btf, HookError> {
        Btf::read(&self.types.join("vmlinux")).map_err(|error| HookError::NoTypes(error.to_string()))
    }

    /// The raw tracepoints `cgroup_mkdir` and `cgroup_rename`. Their programs report new and renamed control groups.
    pub(super) fn cgroups(&mut self) -> Result<[OwnedFd; 2], HookError> {
        let made = self.shared("cgroup_mkdir", bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT)?;
        let renamed = self.shared("cgroup_rename", bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT)?;
        Ok([
            raw_tracepoint(&made, c"cgroup_mkdir")?,
            raw_tracepoint(&renamed, c"cgroup_rename")?,
        ])
    }

    /// The raw tracepoint `signal_deliver`. Its program ends calls that a signal has interrupted.
    pub(super) fn signals(&mut self) -> Result<OwnedFd, HookError> {
        let program = self.shared("signal_deliver", bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT)?;
        raw_tracepoint(&program, c"signal_deliver")
    }

    /// The program that copies kernel memory for the calibration.
    pub(super) fn peek(&mut self) -> Result<OwnedFd, HookError> {
        let program = self.shared("peek", bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT)?;
        self.tracepoint("syscalls/sys_enter_ioctl", &program)
    }
}

impl Hooks for Programs {
    type Attached = Attached;

    fn fentry(&mut self, module: &str, symbol: &str) -> Result<Attached, HookError> {
        let path = self.types.join(module);
        let missing = || {
            HookError::NoTypes(format!(
                "there are no types for {module} ({}), nor of {symbol} in the kernel",
                path.display()
            ))
        };
        // Only loadable modules have it. The kernel's own types, which take long to read, do not have their functions.
        let is_loaded = Path::new(MODULES).join(module).join("initstate").exists();
        if is_loaded && !path.exists() && self.types.join("vmlinux").exists() {
            return Err(missing());
        }
        let kernel = self.kernel_types()?;
        let unknown = |place: &str| HookError::NoTypes(format!("the types of {place} do not contain {symbol}"));
        let (id, types) = if path.exists() {
            let own = Btf::read_module(&path, &kernel).map_err(|error| HookError::NoTypes(error.to_string()))?;
            let id = own.module_function(symbol, &kernel).ok_or_else(|| unknown(module))?;
            let types = sys::module_types(module).map_err(|source| HookError::ModuleTypes {
                module: module.to_owned(),
                source,
            })?;
            (id, Some(types))
        } else {
            (kernel.id(KIND_FUNC, symbol).ok_or_else(missing)?, None)
        };
        drop(kernel);
        let function = Some((id, types.as_ref().map(AsFd::as_fd)));
        let attach = |program: &str, at: bpf_attach_type| {
            let program = self.load(program, bpf_prog_type::BPF_PROG_TYPE_TRACING, at as u32, function)?;
            let link = sys::raw_tracepoint(program.as_fd(), None).map_err(HookError::attach(symbol))?;
            Ok((link, program))
        };
        let (exit, _) = attach("hook_fexit", bpf_attach_type::BPF_TRACE_FEXIT)?;
        let (entry, program) = attach("hook_fentry", bpf_attach_type::BPF_TRACE_FENTRY)?;
        Ok(self.attached(&Arc::new(program), entry, exit))
    }

    fn kprobe(&mut self, symbol: &str) -> Result<Attached, HookError> {
        self.probe(["hook_kprobe", "hook_kretprobe"], symbol)
    }

    fn compat(&mut self) -> Result<Attached, HookError> {
        self.probe(["compat_kprobe", "compat_kretprobe"], COMPAT_IOCTL)
    }

    fn tracepoints(&mut self) -> Result<Attached, HookError> {
        let [program, exit] = self.pair(["ioctl_enter", "ioctl_exit"], bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT)?;
        let exit = self.tracepoint("syscalls/sys_exit_ioctl", &exit)?;
        let entry = self.tracepoint("syscalls/sys_enter_ioctl", &program)?;
        Ok(self.attached(&program, entry, exit))
    }

    fn raw_tracepoints(&mut self) -> Result<Attached, HookError> {
        self.typed_raw_tracepoints().or_else(|typed| {
            tracing::debug!(
                error = &typed as &dyn std::error::Error,
                "the kernel refuses typed raw tracepoints"
            );
            let kind = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT;
            let program = self.shared("raw_enter_probed", kind)?;
            let exit = self.shared("raw_exit_probed", kind)?;
            let exit = raw_tracepoint(&exit, c"sys_exit")?;
            let entry = raw_tracepoint(&program, c"sys_enter")?;
            Ok(self.attached(&program, entry, exit))
        })
    }

    fn module(&self, module: &str) -> Option<u64> {
        // Each loading creates a new directory, and so a new inode.
        Some(std::fs::metadata(Path::new(MODULES).join(module)).ok()?.ino())
    }
}

/// Attaches a program to a raw tracepoint.
fn raw_tracepoint(program: &OwnedFd, point: &CStr) -> Result<OwnedFd, HookError> {
    let name = format!("raw tracepoint {}", point.to_string_lossy());
    sys::raw_tracepoint(program.as_fd(), Some(point)).map_err(HookError::attach(name))
}

/// Removes the probes of agents that ended without removing them.
fn remove_left_over(tracefs: &Tracefs) {
    for name in tracefs.probes(GROUP) {
        let owner = name
            .strip_prefix('r')
            .and_then(|rest| rest.split_once('_'))
            .and_then(|(pid, _)| pid.parse::<u32>().ok());
        let lives = owner.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists());
        if lives && owner != Some(std::process::id()) {
            continue;
        }
        if let Err(error) = tracefs.probe(&format!("-:{GROUP}/{name}")) {
            tracing::debug!(
                probe = name,
                error = &error as &dyn std::error::Error,
                "a left-over probe could not be removed"
            );
        }
    }
}
