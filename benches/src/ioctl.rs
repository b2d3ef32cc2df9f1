//! The prebuilt eBPF programs, with a loader that is independent of the agent's.

use std::path::Path;
use std::process::Command;

use accelscope_ioctl::kernel::btf::Btf;
use accelscope_ioctl::kernel::{cast_ids, offsets};
use agent_ebpf::{
    COUNTERS, ChannelKey, ErrorKey, HailoCommand, HailoKey, Ident, RECORDS, Record, SLOTS, Settings, Slot,
    WATCHED_PLACES, WATCHED_PROBES, Watched, cast, watched_place,
};
use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, HashMap, Queue};
use aya::programs::{Program, ProgramError, TracePoint};
use aya::{Ebpf, EbpfLoader, Pod};

/// A map's key or value.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: used for the layouts of `agent_ebpf` only, which are `repr(C)` and have no padding.
#[expect(unsafe_code, reason = "the layouts belong to another crate, as does the trait")]
unsafe impl<T: Copy + 'static> Pod for Plain<T> {}

/// Programs and maps; the programs stay attached until this is dropped.
#[derive(Debug)]
pub struct Programs(Ebpf);

impl Programs {
    /// Loads the maps. `v1` is the number of the v1 controller with the control group that is part of the key, `quota`
    /// as in [`Settings::quota`]. Fails if the kernel has no BTF or refuses the maps.
    pub fn load(v1: Option<u32>, quota: u32) -> Result<Self> {
        let btf = Btf::read(Path::new("/sys/kernel/btf/vmlinux"))?;
        let ids = cast_ids::find(&btf);
        let mut object = agent_ebpf::OBJECT.to_vec();
        if let Some(ids) = ids {
            ensure!(
                cast::patch(&mut object, ids.function) > 0,
                "no placeholder in the object"
            );
        }
        let settings = Settings {
            offsets: offsets::from_btf(&btf),
            v1_subsystem: v1.unwrap_or(0),
            v1: v1.is_some().into(),
            per_process: 0,
            agent: 0,
            quota,
            shares: RECORDS / 4,
            files_type: ids.map_or(0, |ids| ids.files),
            verify: 0,
            current: ids.map_or(cast::Current::UNKNOWN, |ids| ids.current),
        };
        let mut programs = EbpfLoader::new()
            .override_global("SETTINGS", &Plain(settings), true)
            .load(&object)?;
        let free = programs.map_mut("FREE").context("no map FREE")?;
        let mut free: Queue<_, u32> = Queue::try_from(free)?;
        for number in 0..RECORDS {
            free.push(number, 0)?;
        }
        Ok(Self(programs))
    }

    /// Watches a device by its number in the kernel's encoding.
    pub fn watch(&mut self, watched: Watched) -> Result<()> {
        let table = self.0.map_mut(".bss.WATCHED").context("no map WATCHED")?;
        let mut table: Array<_, Plain<[Watched; WATCHED_PLACES as usize]>> = Array::try_from(table)?;
        let mut all = table.get(&0, 0)?;
        let free = (0..WATCHED_PROBES)
            .map(|probe| watched_place(watched.number, probe) as usize)
            .find(|place| all.0[*place].number == 0);
        all.0[free.context("no place in the table")?] = watched;
        Ok(table.set(0, all, 0)?)
    }

    /// Describes the arguments of a Hailo command to the programs.
    pub fn hailo(&mut self, key: HailoKey, command: HailoCommand) -> Result<()> {
        let map = self.0.map_mut("HAILO").context("no map HAILO")?;
        Ok(HashMap::try_from(map)?.insert(Plain(key), Plain(command), 0)?)
    }

    /// Attaches `ioctl_enter_KIND` and `ioctl_exit_KIND` to the system call's tracepoints.
    pub fn attach(&mut self, kind: &str) -> Result<()> {
        tracepoint(&mut self.0, &format!("ioctl_exit_{kind}"), "sys_exit_ioctl")?;
        tracepoint(&mut self.0, &format!("ioctl_enter_{kind}"), "sys_enter_ioctl")
    }

    /// Loads every program into the verifier without attaching it; `hooked` is a kernel function with the first
    /// arguments of a driver's ioctl function. Returns the programs' names, each with the reason if it was refused.
    pub fn verify(&mut self, hooked: &str) -> Result<Vec<(String, Result<(), ProgramError>)>> {
        let types = aya::Btf::from_sys_fs()?;
        let mut verdicts = Vec::new();
        for (name, program) in self.0.programs_mut() {
            let verdict = match program {
                Program::TracePoint(program) => program.load(),
                Program::KProbe(program) => program.load(),
                Program::RawTracePoint(program) => program.load(),
                Program::BtfTracePoint(program) if name.contains("enter") => program.load("sys_enter", &types),
                Program::BtfTracePoint(program) => program.load("sys_exit", &types),
                Program::FEntry(program) => program.load(hooked, &types),
                Program::FExit(program) => program.load(hooked, &types),
                _ => continue,
            };
            verdicts.push((name.to_owned(), verdict));
        }
        Ok(verdicts)
    }

    /// All records in use, with their numbers.
    pub fn records(&self) -> Result<Vec<(u32, Ident, Record)>> {
        let records: Array<_, Plain<Record>> = Array::try_from(self.0.map("RECORDS").context("no map RECORDS")?)?;
        let idents: Array<_, Plain<Ident>> = Array::try_from(self.0.map("IDENTS").context("no map IDENTS")?)?;
        let mut found = Vec::new();
        for number in 0..RECORDS {
            let ident = idents.get(&number, 0)?.0;
            if ident.valid == 1 {
                found.push((number, ident, records.get(&number, 0)?.0));
            }
        }
        Ok(found)
    }

    /// Failed calls.
    pub fn errors(&self) -> Result<Vec<(ErrorKey, u64)>> {
        self.table("ERRORS")
    }

    /// Launches by channel.
    pub fn channels(&self) -> Result<Vec<(ChannelKey, u64)>> {
        self.table("CHANNELS")
    }

    fn table<K: Copy + 'static>(&self, name: &str) -> Result<Vec<(K, u64)>> {
        let map: HashMap<_, Plain<K>, u64> = HashMap::try_from(self.0.map(name).context("no such map")?)?;
        Ok(map
            .iter()
            .map(|entry| entry.map(|(key, count)| (key.0, count)))
            .collect::<Result<_, _>>()?)
    }

    /// Calls in flight, from both maps.
    pub fn in_flight(&self) -> Result<Vec<Slot>> {
        let over: HashMap<_, u32, Plain<Slot>> = HashMap::try_from(self.0.map("OVERFLOW").context("no map OVERFLOW")?)?;
        let mut found = Vec::new();
        found.extend(self.slots()?);
        for entry in &over {
            found.push(entry?.1.0);
        }
        Ok(found)
    }

    /// Runs on a thread of its own: the value is too large for the stack of most threads.
    fn slots(&self) -> Result<Vec<Slot>> {
        let map = self.0.map(".bss.SLOTS").context("no map SLOTS")?;
        let read = || -> Result<Vec<Slot>> {
            let slots: Array<_, Plain<[Slot; SLOTS as usize]>> = Array::try_from(map)?;
            let all = slots.get(&0, 0)?.0;
            Ok(all.iter().filter(|slot| slot.owner != 0).copied().collect())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(64 * size_of::<[Slot; SLOTS as usize]>());
            let read = thread.spawn_scoped(scope, read)?.join();
            read.unwrap_or_else(|_| anyhow::bail!("the reader of the slots failed"))
        })
    }

    /// Value of one of [`agent_ebpf::counter`].
    pub fn counter(&self, place: u32) -> Result<u64> {
        let counters: Array<_, Plain<[u64; COUNTERS as usize]>> =
            Array::try_from(self.0.map(".bss.COUNTERS").context("no map COUNTERS")?)?;
        let all = counters.get(&0, 0)?.0;
        all.get(place as usize).copied().context("no such counter")
    }
}

/// Mounts tracefs, which has the tracepoints' numbers, unless it is mounted; in a container it may not be.
fn tracefs() -> Result<()> {
    let folder = Path::new("/sys/kernel/tracing");
    if !folder.join("events").is_dir() {
        let status = Command::new("mount")
            .args(["-t", "tracefs", "tracefs"])
            .arg(folder)
            .status()?;
        ensure!(
            // Another test or program may have done so in the meantime.
            status.success() || folder.join("events").is_dir(),
            "tracefs is not mounted on {}, and could not be",
            folder.display()
        );
    }
    Ok(())
}

/// Loads one program and attaches it to a tracepoint of `syscalls`.
pub fn tracepoint(programs: &mut Ebpf, name: &str, point: &str) -> Result<()> {
    tracefs()?;
    let program: &mut TracePoint = programs
        .program_mut(name)
        .with_context(|| format!("no program {name}"))?
        .try_into()?;
    if program.fd().is_err() {
        program.load().with_context(|| format!("{name} was refused"))?;
    }
    program
        .attach("syscalls", point)
        .with_context(|| format!("cannot attach to {point}"))?;
    Ok(())
}

/// ioctl(2) with an argument; the negative errno if it failed.
#[expect(unsafe_code, reason = "the call that is counted and timed")]
pub fn ioctl(file: &impl std::os::fd::AsRawFd, command: u32, argument: u64) -> i32 {
    // SAFETY: callers pass commands that do not write through their argument, or the address of memory that they own.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), command.into(), argument) };
    if result < 0 {
        -std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
    } else {
        result
    }
}
