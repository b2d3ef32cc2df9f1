//! The system calls bpf(2) and perf_event_open(2), for what aya does not offer: programs on functions of modules, and
//! kretprobes with room for every thread.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{
    PERF_FLAG_FD_CLOEXEC, bpf_attr, bpf_btf_info, bpf_cmd, bpf_insn, perf_event_attr, perf_type_id,
};

/// Most bytes of the verifier's account that are kept.
const LOG: usize = 64 << 10;

/// A command that the kernel's headers number in one order with everything else.
fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: every caller in this file fills the attributes of its command, with addresses and lengths of live buffers;
    // the size is the union's own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw mut *attributes,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn empty() -> bpf_attr {
    // SAFETY: all members are plain numbers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

fn owned(descriptor: i64) -> OwnedFd {
    // SAFETY: only called with what a system call just returned as a new descriptor; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(descriptor as i32) }
}

fn label(name: &str) -> [libc::c_char; 16] {
    let mut label = [0; 16];
    for (to, from) in label.iter_mut().take(15).zip(name.bytes()) {
        // Linux takes letters, digits, '_' and '.'.
        *to = if from.is_ascii_alphanumeric() || from == b'.' {
            from
        } else {
            b'_'
        } as libc::c_char;
    }
    label
}

/// A map's kind and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// `BPF_MAP_TYPE_*`.
    pub(super) kind: u32,
    /// Bytes of a key.
    pub(super) key: u32,
    /// Bytes of a value.
    pub(super) value: u32,
    /// Most entries; for a ring buffer its bytes.
    pub(super) entries: u32,
    /// `BPF_F_*`.
    pub(super) flags: u32,
}

/// A map in the kernel, which ends with its last descriptor.
#[derive(Debug)]
pub(super) struct Map {
    fd: OwnedFd,
    shape: Shape,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Map {
    /// A new map.
    pub(super) fn create(name: &str, shape: Shape) -> io::Result<Self> {
        let mut attributes = empty();
        // SAFETY: the member of this command; the rest stays zero.
        let map = unsafe { &mut attributes.__bindgen_anon_1 };
        map.map_type = shape.kind;
        map.key_size = shape.key;
        map.value_size = shape.value;
        map.max_entries = shape.entries;
        map.map_flags = shape.flags;
        map.map_name = label(name);
        let fd = owned(bpf(bpf_cmd::BPF_MAP_CREATE, &mut attributes)?);
        Ok(Self { fd, shape })
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// `value` is the address of a value of this map's size, or 0.
    fn element(&self, command: bpf_cmd, key: &[u8], value: u64) -> io::Result<()> {
        if key.len() != self.shape.key as usize {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut attributes = empty();
        // SAFETY: the member of these commands.
        let element = unsafe { &mut attributes.__bindgen_anon_2 };
        element.map_fd = self.fd.as_raw_fd() as u32;
        // A queue's keys are none, not empty.
        element.key = if key.is_empty() { 0 } else { key.as_ptr() as u64 };
        element.__bindgen_anon_1.value = value;
        bpf(command, &mut attributes).map(drop)
    }

    /// Sets a value. For a queue, whose keys are empty, adds one.
    pub(super) fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if value.len() != self.shape.value as usize {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        self.element(bpf_cmd::BPF_MAP_UPDATE_ELEM, key, value.as_ptr() as u64)
    }

    /// Removes a key.
    pub(super) fn delete(&self, key: &[u8]) -> io::Result<()> {
        self.element(bpf_cmd::BPF_MAP_DELETE_ELEM, key, 0)
    }

    /// A key's value.
    pub(super) fn lookup(&self, key: &[u8]) -> io::Result<Vec<u8>> {
        let mut value = vec![0_u8; self.shape.value as usize];
        self.element(bpf_cmd::BPF_MAP_LOOKUP_ELEM, key, value.as_mut_ptr() as u64)?;
        Ok(value)
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        let mut attributes = empty();
        // SAFETY: the member of this command.
        let element = unsafe { &mut attributes.__bindgen_anon_2 };
        element.map_fd = self.fd.as_raw_fd() as u32;
        element.key = key.map_or(0, |key| key.as_ptr() as u64);
        element.__bindgen_anon_1.next_key = next.as_mut_ptr() as u64;
        match bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attributes) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Every key and value of a hash map: in batches where the kernel has them (Linux 5.6), else one by one. What is
    /// added or removed meanwhile may be missing or come twice.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        match self.each_batch(visit) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.each_single(visit),
            result => result,
        }
    }

    fn each_batch(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        const BATCH: u32 = 256;
        let (key, value) = (self.shape.key as usize, self.shape.value as usize);
        let mut room = BATCH.min(self.shape.entries);
        let mut at: Option<u32> = None;
        loop {
            let mut keys = vec![0_u8; key * room as usize];
            let mut values = vec![0_u8; value * room as usize];
            let mut next = 0_u32;
            let mut attributes = empty();
            // SAFETY: the member of this command.
            let batch = unsafe { &mut attributes.batch };
            batch.map_fd = self.fd.as_raw_fd() as u32;
            batch.in_batch = at.as_ref().map_or(0, |at| &raw const *at as u64);
            batch.out_batch = &raw mut next as u64;
            batch.keys = keys.as_mut_ptr() as u64;
            batch.values = values.as_mut_ptr() as u64;
            batch.count = room;
            let result = bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attributes);
            // SAFETY: the member of this command, into which the kernel wrote.
            let count = unsafe { attributes.batch.count }.min(room) as usize;
            let ended = match result {
                Ok(_) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // One bucket holds more than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < self.shape.entries => {
                    room = room.saturating_mul(4).min(self.shape.entries);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (key, value) in keys.chunks_exact(key).zip(values.chunks_exact(value)).take(count) {
                visit(key, value);
            }
            if ended {
                return Ok(());
            }
            at = Some(next);
        }
    }

    fn each_single(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let mut key = vec![0_u8; self.shape.key as usize];
        let mut more = self.next_key(None, &mut key)?;
        // A key that was removed meanwhile lets the kernel begin anew: never more than the map can hold.
        for _ in 0..self.shape.entries {
            if !more {
                break;
            }
            match self.lookup(&key) {
                Ok(value) => visit(&key, &value),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
            let former = key.clone();
            more = self.next_key(Some(&former), &mut key)?;
        }
        Ok(())
    }

    /// Lets nobody write from user space any more, so that the verifier takes the values for constants.
    pub(super) fn freeze(&self) -> io::Result<()> {
        let mut attributes = empty();
        // SAFETY: the member of this command.
        unsafe { &mut attributes.__bindgen_anon_2 }.map_fd = self.fd.as_raw_fd() as u32;
        bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attributes).map(drop)
    }

    /// Kernel memory in bytes as the kernel tells it (`memlock` of `/proc/self/fdinfo/`): exact since Linux 6.4, before
    /// that without what the entries cost besides key and value.
    #[cfg(test)]
    pub(super) fn told_memory(&self) -> Option<u64> {
        let path = format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd());
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("memlock:"))?;
        line.trim().parse().ok()
    }
}

/// How a program is loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) name: &'a str,
    pub(super) instructions: &'a [bpf_insn],
    pub(super) licence: &'a CStr,
    /// `BPF_PROG_TYPE_*`.
    pub(super) kind: u32,
    /// `BPF_TRACE_*`, 0 where the kind has none.
    pub(super) attach: u32,
    /// The function: its type's id, and the module's types where it is not the kernel's own.
    pub(super) function: Option<(u32, Option<BorrowedFd<'a>>)>,
}

/// The kernel did not take a program.
#[derive(Debug, thiserror::Error)]
#[error("{source}{}", if log.is_empty() { String::new() } else { format!(" ({log})") })]
pub(super) struct LoadError {
    /// Its error.
    pub(super) source: io::Error,
    /// The end of the verifier's account, on one line; empty where it gave none.
    pub(super) log: String,
}

/// Loads a program.
pub(super) fn load(program: Load<'_>) -> Result<OwnedFd, LoadError> {
    // The account costs time, so it is asked for only of a program that was refused.
    let refused = match load_with(program, &mut []) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    if matches!(refused.raw_os_error(), Some(libc::EPERM | libc::ENOMEM | libc::E2BIG)) {
        return Err(LoadError {
            source: refused,
            log: String::new(),
        });
    }
    let mut log = vec![0_u8; LOG];
    match load_with(program, &mut log) {
        Ok(fd) => Ok(fd),
        Err(source) => Err(LoadError {
            source,
            log: last_words(&log),
        }),
    }
}

fn load_with(program: Load<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attributes = empty();
    // SAFETY: the member of this command.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = program.kind;
    load.expected_attach_type = program.attach;
    load.insn_cnt = program.instructions.len() as u32;
    load.insns = program.instructions.as_ptr() as u64;
    load.license = program.licence.as_ptr() as u64;
    load.prog_name = label(program.name);
    if let Some((id, module)) = program.function {
        load.attach_btf_id = id;
        load.__bindgen_anon_1.attach_btf_obj_fd = module.map_or(0, |fd| fd.as_raw_fd() as u32);
    }
    if !log.is_empty() {
        load.log_level = 1;
        load.log_size = log.len() as u32;
        load.log_buf = log.as_mut_ptr() as u64;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes).map(owned)
}

/// The last lines before the statistics, which say what the verifier did not like.
fn last_words(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("processed ") && !line.starts_with("verification time"))
        .collect();
    lines[lines.len().saturating_sub(2)..].join("; ")
}

/// Attaches a program to a raw tracepoint, or without a name to the function that it was loaded for.
pub(super) fn raw_tracepoint(program: BorrowedFd<'_>, name: Option<&CStr>) -> io::Result<OwnedFd> {
    let mut attributes = empty();
    // SAFETY: the member of this command.
    let link = unsafe { &mut attributes.raw_tracepoint };
    link.prog_fd = program.as_raw_fd() as u32;
    link.name = name.map_or(0, |name| name.as_ptr() as u64);
    bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attributes).map(owned)
}

/// Kinds of things in the kernel that have ids.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ids {
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests count them"))]
    Programs,
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests count them"))]
    Maps,
    Types,
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests count them"))]
    Links,
}

/// The id after `id`. Needs CAP_SYS_ADMIN.
pub(super) fn next_id(kind: Ids, id: u32) -> io::Result<Option<u32>> {
    let command = match kind {
        Ids::Programs => bpf_cmd::BPF_PROG_GET_NEXT_ID,
        Ids::Maps => bpf_cmd::BPF_MAP_GET_NEXT_ID,
        Ids::Types => bpf_cmd::BPF_BTF_GET_NEXT_ID,
        Ids::Links => bpf_cmd::BPF_LINK_GET_NEXT_ID,
    };
    let mut attributes = empty();
    // SAFETY: the member of these commands.
    unsafe { &mut attributes.__bindgen_anon_6 }.__bindgen_anon_1.start_id = id;
    match bpf(command, &mut attributes) {
        // SAFETY: the member of these commands, into which the kernel wrote.
        Ok(_) => Ok(Some(unsafe { attributes.__bindgen_anon_6 }.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The types of a module as the kernel holds them.
pub(super) fn module_types(module: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    while let Some(next) = next_id(Ids::Types, id)? {
        id = next;
        let mut attributes = empty();
        // SAFETY: the member of this command.
        unsafe { &mut attributes.__bindgen_anon_6 }.__bindgen_anon_1.btf_id = id;
        let fd = match bpf(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &mut attributes) {
            Ok(fd) => owned(fd),
            // It went away meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(error) => return Err(error),
        };
        let mut name = [0_u8; 64];
        // SAFETY: all members are plain numbers, for which zero is a value.
        let mut info: bpf_btf_info = unsafe { std::mem::zeroed() };
        info.name = name.as_mut_ptr() as u64;
        info.name_len = name.len() as u32;
        let mut attributes = empty();
        // SAFETY: the member of this command.
        let ask = unsafe { &mut attributes.info };
        ask.bpf_fd = fd.as_raw_fd() as u32;
        ask.info_len = size_of::<bpf_btf_info>() as u32;
        ask.info = &raw mut info as u64;
        bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
        let told = CStr::from_bytes_until_nul(&name).unwrap_or_default();
        if info.kernel_btf == 1 && told.to_bytes() == module.as_bytes() {
            return Ok(fd);
        }
    }
    Err(io::Error::from(io::ErrorKind::NotFound))
}

/// A perf event of all processors that runs a program at each tracepoint; it ends with the descriptor.
pub(super) fn perf_tracepoint(id: u64, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = perf();
    attributes.type_ = perf_type_id::PERF_TYPE_TRACEPOINT as u32;
    attributes.config = id;
    perf_event(&mut attributes, program)
}

/// The same at a function's entry. `kind` is the number in `/sys/bus/event_source/devices/kprobe/type`.
pub(super) fn perf_kprobe(kind: u32, symbol: &CStr, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = perf();
    attributes.type_ = kind;
    attributes.__bindgen_anon_3.kprobe_func = symbol.as_ptr() as u64;
    perf_event(&mut attributes, program)
}

fn perf() -> perf_event_attr {
    // SAFETY: all members are plain numbers, for which zero is a value.
    let mut attributes: perf_event_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<perf_event_attr>() as u32;
    attributes.set_disabled(1);
    attributes
}

fn perf_event(attributes: &mut perf_event_attr, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const ENABLE: libc::c_ulong = 0x2400;
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    // SAFETY: the attributes are whole and outlive the call, names that they point to as well.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw mut *attributes,
            -1,
            0,
            -1,
            libc::c_ulong::from(PERF_FLAG_FD_CLOEXEC),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let event = owned(result);
    for (request, argument) in [(SET_BPF, program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: requests of perf_event_open(2) that take a number.
        if unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

/// An ioctl(2) on no descriptor, whose argument a program looks at.
pub(super) fn knock(argument: u64) {
    // SAFETY: there is no descriptor -1, so nothing is done with the argument.
    let _refused = unsafe { libc::ioctl(-1, 0, argument) };
}
