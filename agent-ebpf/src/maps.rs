// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! The maps' keys and values.

/// What the names of those maps begin with in the object whose address the programs know: arrays of one element, which holds
/// what is called the map's values elsewhere here. The agent makes them so that they can be mapped into memory.
pub const GLOBAL: &str = ".bss.";
/// Most distinct keys ([`Key`]) at a time, by default; sized at load.
pub const RECORDS: u32 = 8192;
/// Calls in flight that are kept in [`Slot`]s; a power of two. More than that fit the overflow map.
pub const SLOTS: u32 = 4096;
/// How many slots are tried for a thread before the overflow map is used.
pub const SLOT_PROBES: u32 = 4;
/// Bounds of the duration's buckets: 1 µs, 4 µs, … 4^11 µs; one bucket more than bounds.
pub const BUCKETS: usize = 13;
/// Processors whose variable with the current task is kept ([`crate::cast`]); the others find it by a helper.
pub const PROCESSORS: u32 = 1024;
/// Places in `COUNTERS`.
pub const COUNTERS: u32 = 16;
/// Longest name of an executable, with its terminating zero: file systems have none with more than 255 bytes.
pub const NAME: usize = 256;
/// In [`Key::variant`]: the key stands for all commands of a device beyond those that are told apart.
pub const OTHER_COMMANDS: u32 = 1 << 31;
/// In [`Key::variant`]: the key stands for all executables of a control group beyond those that are told apart.
pub const OTHER_EXECUTABLES: u32 = 1 << 30;
/// In [`Key::variant`]: 0, or one more than the number of the share of processors whose calls are counted here.
pub const SHARE: u32 = 0xff;
/// Most shares of processors ([`SHARE`]) that one key is divided into; a power of two. Processors beyond it use the same
/// shares again.
pub const SHARES: u32 = 64;
/// In [`Key::executable`]: the hash is of the text itself, as the kernel has none of it.
pub const HASHED_TEXT: u64 = 1 << 63;

/// Whose calls, to which device, with which command. Key of the hash map `INDEX`, whose value is the number (`u32`) of a
/// [`Record`] and an [`Ident`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Id of the task's control group in the unified hierarchy (`bpf_get_current_cgroup_id`).
    pub cgroup_v2: u64,
    /// The kernfs id of its control group in the first of the v1 hierarchies that [`crate::Settings::v1_subsystem`] names in
    /// which that is not the root, with [`crate::V1_PLACE`] and [`crate::V1_SET`] above it; the root's if there is none.
    pub cgroup_v1: u64,
    /// The name by which the executable was run, as a number: hash and length from the directory's entry
    /// (`mm->exe_file->f_path.dentry->d_name`), where the kernel has computed it over the name and the address of the
    /// directory; where it has not (a file in memory, no file at all) one of the text that is shown, with
    /// [`HASHED_TEXT`]. Not the file's number: files may have several names, and change them, and their numbers are those
    /// of other files on another file system or later. 0 where it is not known or not told apart.
    pub executable: u64,
    /// What was folded ([`OTHER_COMMANDS`], [`OTHER_EXECUTABLES`]), and which processors' calls these are ([`SHARE`]).
    pub variant: u32,
    /// Process id (`tgid`) where it is part of the key, else 0.
    pub pid: u32,
    /// Which watched device: [`crate::Watched::device`].
    pub device: u32,
    /// The command as passed to ioctl(2), with an inner number in its place ([`crate::nvidia_inner`]); any number. 0 with
    /// [`OTHER_COMMANDS`].
    pub command: u32,
}

impl Key {
    /// Whether it stands for all commands beyond those that are told apart.
    pub const fn is_other_commands(&self) -> bool {
        self.variant & OTHER_COMMANDS != 0
    }

    /// Whether it stands for all executables beyond those that are told apart.
    pub const fn is_other_executables(&self) -> bool {
        self.variant & OTHER_EXECUTABLES != 0
    }

    /// Whether it counts the calls of some processors only, beside the key of all.
    pub const fn is_share(&self) -> bool {
        self.variant & SHARE != 0
    }
}

/// What one key did. Value of the memory-mapped array `RECORDS`. Three lines of the processor's cache, so that records in
/// use by different processors share none; a short call changes only the first.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Record {
    /// Calls, counted at entry.
    pub entered: u64,
    /// The processor that counted the last entry, in the upper half, and in the lower one how often another had counted
    /// the one before, since [`Self::since`].
    pub turns: u64,
    /// Sum of the durations of all that returned, ns.
    pub duration: u64,
    /// Calls that returned an error; by errno in the map `ERRORS`.
    pub failed: u64,
    /// Calls that returned, by duration: their sum is how many returned.
    pub buckets: [u64; BUCKETS],
    /// Hailo launch: buffers that were handed over, host to device and device to host.
    pub transfers: [u64; 2],
    /// Hailo launch: their bytes, host to device and device to host.
    pub bytes: [u64; 2],
    /// Hailo firmware control: changes of the context-switch status (a model switch).
    pub switches: u64,
    /// Arguments that could not be read or were not plausible, so that nothing was counted but the call.
    pub implausible: u64,
    /// Since when [`Self::turns`] counts, ns of `CLOCK_MONOTONIC`.
    pub since: u64,
}

const _: () = assert!(size_of::<Record>() == 192);

impl Record {
    /// Calls, counted at return.
    pub const fn returned(&self) -> u64 {
        let mut sum = 0;
        let mut bucket = 0;
        while bucket < BUCKETS {
            sum += self.buckets[bucket];
            bucket += 1;
        }
        sum
    }
}

/// Whose record that is. Value of the memory-mapped array `IDENTS`, written once when its key is made.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Ident {
    /// The key.
    pub key: Key,
    /// Process that made it: `tgid`.
    pub pid: u32,
    /// 1 as soon as everything else here is valid (written last); 0: the number is free.
    pub valid: u32,
    /// When that process's leader started, ns since boot (`start_boottime`); 0 where it is not known.
    pub started: u64,
    /// 1 as soon as several processors have used the record at a time: from then on each uses one of its own ([`SHARE`]).
    pub shared: u64,
    /// Base name of the executable, ended by a zero; the thread group leader's `comm` where it has no executable. Empty where it
    /// changed while it was read.
    pub name: [u8; NAME],
}

/// A call in flight. Value of the global array `SLOTS` ([`GLOBAL`]); also of the hash map `OVERFLOW`, keyed by thread id (`u32`),
/// where no slot was free and on kernels without atomic exchange.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Slot {
    /// Thread id (`pid` of the kernel) in the lower half and process id (`tgid`) in the upper; 0: free. Claimed by
    /// compare-and-exchange, cleared last.
    pub owner: u64,
    /// When the call began, ns of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`); 0 while the slot is being filled.
    pub began: u64,
    /// Number of the key's record.
    pub record: u32,
    /// Which watched device.
    pub device: u32,
    /// The command, also where the key is that of others ([`OTHER_COMMANDS`]).
    pub command: u32,
    /// What the return program has to look at, [`FINISH_NOTHING`] or another; the level of the hook that saw the entry
    /// ([`level_of`]); and, once the call was interrupted, [`INTERRUPTED`] with what it returned ([`restart_code`]).
    pub finish: u32,
    /// The argument, an address in the caller's memory; or what was read there at entry, as [`Self::finish`] says.
    pub argument: u64,
    /// Command (upper half) and argument as the caller passed them.
    pub passed: u64,
}

/// [`Slot::passed`].
#[inline]
pub const fn passed(command: u32, argument: u64) -> u64 {
    (command as u64) << 32 | argument & 0xffff_ffff
}

/// Nothing but duration and error.
pub const FINISH_NOTHING: u32 = 0;
/// A Hailo "mark as in use": the byte at the argument tells whether the device was busy.
pub const FINISH_HAILO_MARK: u32 = 1;
/// A Hailo launch: the argument holds a packed [`crate::Launch`].
pub const FINISH_HAILO_LAUNCH: u32 = 2;
/// A Hailo control that switches the model.
pub const FINISH_HAILO_SWITCH: u32 = 3;

/// The bits of [`Slot::finish`] with what the return program has to look at.
pub const FINISH: u32 = 0xff;
/// The hook on a driver's own function, which those of higher levels may enclose.
pub const LEVEL_FUNCTION: u32 = 0;
/// The hook on the kernel's function for ioctl(2) of 32-bit programs.
pub const LEVEL_COMPAT: u32 = 1;
/// The hooks on the system call.
pub const LEVEL_SYSCALL: u32 = 2;
const LEVEL_SHIFT: u32 = 8;
/// A bit of [`Slot::finish`]: the call was interrupted, and the kernel either restarts it, which is not another call, or
/// delivers a signal whose handler ends it with `EINTR`.
pub const INTERRUPTED: u32 = 1 << 12;
const CODE_SHIFT: u32 = 16;

/// The level of the hook that saw the entry of a call, from [`Slot::finish`].
#[inline]
pub const fn level_of(finish: u32) -> u32 {
    finish >> LEVEL_SHIFT & 3
}

/// A level as part of [`Slot::finish`].
#[inline]
pub const fn at_level(level: u32) -> u32 {
    level << LEVEL_SHIFT
}

/// What an interrupted call returned, from [`Slot::finish`].
#[inline]
pub const fn restart_code(finish: u32) -> u32 {
    finish >> CODE_SHIFT
}

/// [`Slot::finish`] of a call that was interrupted with this code.
#[inline]
pub const fn interrupted(finish: u32, code: u32) -> u32 {
    finish & !(u32::MAX << CODE_SHIFT) | INTERRUPTED | code << CODE_SHIFT
}

/// Key of the hash map `ERRORS`, whose value is a count (`u64`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorKey {
    /// Number of the record.
    pub record: u32,
    /// The errno, positive.
    pub errno: u32,
}

/// Key of the hash map `QUOTA`, whose value is the number (`u32`) of keys made for a control group. The agent takes one off
/// when it removes a key, and removes the value with the group's last key.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuotaKey {
    /// [`Key::cgroup_v2`].
    pub cgroup_v2: u64,
    /// [`Key::cgroup_v1`].
    pub cgroup_v1: u64,
}

/// Key of the hash map `CHANNELS`, whose value is a count (`u64`) of launches: a frame is one launch on each input channel,
/// so the busiest input channel's launches are the frames submitted.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelKey {
    /// Number of the record.
    pub record: u32,
    /// Engine (upper 16 bits) and channel, as the caller passed them.
    pub channel: u32,
}

/// Places in the global array `COUNTERS` (`u64` each): what was not recorded, and why.
pub mod counter {
    /// No number or no room for a new key: the call was not counted elsewhere.
    pub const KEY_FULL: u32 = 0;
    /// No slot and no room in the overflow map: the call's return will not be seen.
    pub const SLOT_FULL: u32 = 1;
    /// A thread entered anew while its former call had not returned.
    pub const RETURN_MISSED: u32 = 2;
    /// A return without an entry (the programs were attached in between).
    pub const ENTRY_MISSED: u32 = 3;
    /// No room in `ERRORS`: failed calls without their errno.
    pub const ERROR_FULL: u32 = 4;
    /// No room in `CHANNELS`.
    pub const CHANNEL_FULL: u32 = 5;
    /// No room in the ring buffer: an event was lost; the agent scans instead.
    pub const EVENT_LOST: u32 = 6;
    /// A kernel structure could not be read.
    pub const READ_FAILED: u32 = 7;
    /// Calls that went to [`super::OTHER_COMMANDS`] or [`super::OTHER_EXECUTABLES`].
    pub const FOLDED: u32 = 8;
    /// Not a counter: entries now in `OVERFLOW`. Whoever removes one takes one off, atomically.
    pub const OVERFLOWING: u32 = 9;
    /// Not a counter: keys of shares of processors ([`super::SHARE`]) that exist now. The agent takes one off when it
    /// removes such a key.
    pub const SHARES: u32 = 10;
}
