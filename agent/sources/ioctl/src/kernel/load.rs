//! Creating the maps and loading the first program, with the features that the kernel has.

use std::path::Path;

use agent_ebpf::Offsets;
use agent_ebpf::cast::{self, Current};

use super::budget::Machine;
use super::calibrate::{self, KernelReader};
use super::hooks::HookError;
use super::object::{self, ObjectError};
use super::programs::Programs;

/// The initial process id namespace (`PROC_PID_INIT_INO`).
const INITIAL_NAMESPACE: &str = "pid:[4026531836]";

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error("the agent could not look at its own task: {0}")]
    Calibration(#[source] std::io::Error),
}

/// Creates the maps and prepares the programs: those that cast if the kernel accepts them. `types` is the directory with
/// the kernel's type information; `direct` permits programs with typed pointers.
pub(super) fn load(
    settings: &mut agent_ebpf::Settings,
    cast: Option<cast::Ids>,
    machine: Machine,
    types: &Path,
    direct: bool,
) -> Result<(object::Loaded, Programs), LoadError> {
    let mut with = |cast: Option<cast::Ids>| -> Result<_, LoadError> {
        settings.files_type = cast.map_or(0, |cast| cast.files);
        settings.current = cast.map_or(Current::UNKNOWN, |cast| cast.current);
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
                "the kernel refuses programs that cast"
            );
            with(None)
        }
        result => result,
    }
}

/// Finds offsets by searching the agent's own task in kernel memory.
pub(super) fn calibrate_offsets(machine: Machine, types: &Path) -> Result<Offsets, LoadError> {
    let settings = agent_ebpf::Settings {
        agent: own_pid(),
        ..agent_ebpf::Settings::NONE
    };
    let mut object = object::load(&settings, machine, None)?;
    let map = object.maps.remove("PEEK").ok_or(ObjectError::Architecture)?;
    let link = Programs::new(object.programs, types).peek()?;
    let mut reader = KernelReader::new(map, link).map_err(ObjectError::map("PEEK"))?;
    calibrate::wait_for_ticks();
    let search = || {
        let caller = reader.caller()?;
        let (reference, _open) = calibrate::gather(caller.task, caller.pid_tgid, caller.cgroup);
        Ok(calibrate::calibrate(&mut reader, &reference))
    };
    calibrate::repeated(search).map_err(LoadError::Calibration)
}

/// Raises `RLIMIT_MEMLOCK`, which limits maps and programs before Linux 5.11; failing is not fatal. Returns what it is then.
pub(super) fn raise_memlock() -> Option<u64> {
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
    getrlimit(Resource::Memlock).current
}

/// The agent's process id in the initial namespace; 0 if it runs in another.
pub(super) fn own_pid() -> u32 {
    let initial = std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == INITIAL_NAMESPACE);
    if initial { std::process::id() } else { 0 }
}
