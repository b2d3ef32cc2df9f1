//! Getting programs and maps into the kernel.

use std::path::Path;

use agent_ebpf::Offsets;

use super::btf::Btf;
use super::budget::Machine;
use super::calibrate::{self, Peeker};
use super::object::{self, ObjectError};
use super::programs::{HookError, Programs};

/// The process id namespace that every machine begins with (`PROC_PID_INIT_INO`).
const FIRST_NAMESPACE: &str = "pid:[4026531836]";

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error("the agent could not look at its own task: {0}")]
    Peek(#[source] std::io::Error),
}

/// What programs need that give an address a type (`agent_ebpf::cast`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    function: u32,
    files_type: u32,
}

impl Cast {
    /// Nothing before Linux 6.2.
    pub(super) fn of(btf: &Btf) -> Option<Self> {
        Some(Self {
            function: btf.function("bpf_rdonly_cast")?,
            files_type: btf.structure("files_struct")?,
        })
    }
}

/// Makes the maps and takes up the programs: those that cast where the kernel takes them.
pub(super) fn take(
    settings: &mut agent_ebpf::Settings,
    cast: Option<Cast>,
    machine: Machine,
    types: &Path,
    direct: bool,
) -> Result<(object::Loaded, Programs), LoadError> {
    let mut with = |cast: Option<Cast>| -> Result<_, LoadError> {
        settings.files_type = cast.map_or(0, |cast| cast.files_type);
        let mut loaded = object::load(settings, machine, cast.map(|cast| cast.function))?;
        if !direct {
            loaded.programs.retain(|name, _| !name.ends_with("_direct"));
        }
        let mut programs = Programs::new(std::mem::take(&mut loaded.programs), types);
        if cast.is_some() {
            programs.try_direct()?;
        }
        Ok((loaded, programs))
    };
    match with(cast) {
        Err(error) if cast.is_some() => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "programs that cast are not taken"
            );
            with(None)
        }
        result => result,
    }
}

/// Offsets that the agent finds by looking at a task of its own.
pub(super) fn calibrated(machine: Machine, types: &Path) -> Result<Offsets, LoadError> {
    let settings = agent_ebpf::Settings {
        agent: own_pid(),
        ..agent_ebpf::Settings::NONE
    };
    let mut object = object::load(&settings, machine, None)?;
    let map = object.maps.remove("PEEK").ok_or(ObjectError::Architecture)?;
    let link = Programs::new(object.programs, types).peek()?;
    let mut peeker = Peeker::new(map, link);
    calibrate::wait_for_ticks();
    // On a thread, whose task is not the one that leads its group.
    let look = move || {
        let caller = peeker.caller()?;
        let (known, _open) = calibrate::gather(caller.task, caller.pid_tgid, caller.cgroup);
        Ok(calibrate::calibrate(&mut peeker, &known))
    };
    let thread = std::thread::Builder::new().name("calibrate".to_owned());
    let found = thread.spawn(look).map_err(LoadError::Peek)?.join();
    found
        .unwrap_or_else(|_| Err(std::io::Error::other("the search failed")))
        .map_err(LoadError::Peek)
}

/// Only kernels before 5.11 count locked memory for it; never fatal.
pub(super) fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Memlock);
    let none = Rlimit {
        current: None,
        maximum: None,
    };
    // Without CAP_SYS_RESOURCE up to the hard limit.
    let hard = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Memlock, none).or_else(|_| setrlimit(Resource::Memlock, hard)) {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "RLIMIT_MEMLOCK stays as it is"
        );
    }
}

/// The agent's process id as the kernel has it, 0 in a namespace of its own.
pub(super) fn own_pid() -> u32 {
    let first = std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == FIRST_NAMESPACE);
    if first { std::process::id() } else { 0 }
}
