//! Type information of the kernel and its modules (BPF Type Format, `Documentation/bpf/btf.rst`).
//!
//! Not `aya_obj::Btf` (aya-obj 0.3), because that has no public access to the members of structures (aya-rs/aya pull
//! request 530, open), does not read type information of modules, which refers to that of the kernel (pull request 1248,
//! open), and allocates every type (issue 1172, open): with the 5.3 MiB of Linux 6.18, 22 MiB become resident. This reader
//! keeps the file's bytes and the offset of each type, 7 MiB, until the programs are attached. All of it is checked, since the file of `ioctl.btf` comes from the user.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use accelscope_core::host::bounded::open_regular;

/// Bytes that are read at most; all kernels have less.
const MAX_BYTES: u64 = 64 << 20;
const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// Depth up to which nested types are followed.
const MAX_DEPTH: u32 = 16;

const KIND_PTR: u32 = 2;
/// The kind of structs.
pub const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
/// The kind of names for other types.
pub const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
/// The kind of functions.
pub const KIND_FUNC: u32 = 12;
const KIND_VAR: u32 = 14;
const KIND_SECTION: u32 = 15;
/// The section of the variables that each processor has for itself.
const PROCESSORS: &str = ".data..percpu";
const KIND_TYPE_TAG: u32 = 18;

/// Type information could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// It is not BTF, or damaged.
    #[error("{} is not BTF of this machine: {what}", path.display())]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// The first fault.
        what: &'static str,
    },
}

/// Type information of a kernel or, with a base, of one of its modules.
#[derive(Debug)]
pub struct Btf {
    bytes: Vec<u8>,
    /// Offset of each type in `bytes`.
    types: Vec<u32>,
    strings: std::ops::Range<usize>,
    /// Number of types (including void) and bytes of strings of the base; 0 without a base.
    base: (u32, u32),
}

#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    flag: bool,
    /// Id of the type that it refers to; the size for kinds that refer to none.
    target: u32,
    /// Members, enumerators and so on, depending on the kind.
    entries: &'a [u8],
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

impl Btf {
    /// Reads a file such as `/sys/kernel/btf/vmlinux`.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        Self::read_with(path, (0, 0))
    }

    /// Reads that of a module, such as `/sys/kernel/btf/amdgpu`, which refers to types and strings of the kernel.
    pub fn read_module(path: &Path, kernel: &Self) -> Result<Self, BtfError> {
        let base = (kernel.types.len() as u32 + 1, kernel.strings.len() as u32);
        Self::read_with(path, base)
    }

    fn read_with(path: &Path, base: (u32, u32)) -> Result<Self, BtfError> {
        use std::io::Read;
        let mut bytes = Vec::new();
        open_regular(path)
            .and_then(|file| {
                bytes.reserve_exact(file.metadata()?.len().min(MAX_BYTES) as usize);
                file.take(MAX_BYTES).read_to_end(&mut bytes)
            })
            .map_err(|source| BtfError::Read {
                path: path.to_owned(),
                source,
            })?;
        Self::parse(bytes, base).map_err(|what| BtfError::Malformed {
            path: path.to_owned(),
            what,
        })
    }

    fn parse(bytes: Vec<u8>, base: (u32, u32)) -> Result<Self, &'static str> {
        let field = |at| word(&bytes, at).ok_or("it is too short");
        if bytes.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err("it does not begin as BTF does (an ELF file is not taken: extract its section .BTF)");
        }
        let header = field(4)? as usize;
        if header < HEADER || bytes.len() < header {
            return Err("its header is too short");
        }
        let section = |offset: u32, length: u32| {
            let start = header.checked_add(offset as usize)?;
            let end = start.checked_add(length as usize)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let types_section = section(field(8)?, field(12)?).ok_or("its types are cut off")?;
        let strings = section(field(16)?, field(20)?).ok_or("its strings are cut off")?;
        let mut types = Vec::new();
        let mut at = types_section.start;
        while at < types_section.end {
            types.push(at as u32);
            let info = word(&bytes, at + 4).ok_or("its types are cut off")?;
            at += 12 + entries_len(info).ok_or("it has a kind of type that is not known")?;
        }
        if at != types_section.end {
            return Err("its types are cut off");
        }
        Ok(Self {
            bytes,
            types,
            strings,
            base,
        })
    }

    fn get(&self, id: u32) -> Option<Type<'_>> {
        let index = if self.base.0 == 0 {
            id.checked_sub(1)?
        } else {
            id.checked_sub(self.base.0)?
        };
        let at = *self.types.get(index as usize)? as usize;
        let info = word(&self.bytes, at + 4)?;
        let entries = at + 12;
        Some(Type {
            name: word(&self.bytes, at)?,
            kind: (info >> 24) & 0x1f,
            flag: info >> 31 == 1,
            target: word(&self.bytes, at + 8)?,
            entries: self.bytes.get(entries..entries + entries_len(info)?)?,
        })
    }

    /// Whether the string at an offset is `text`; false for strings of the base.
    fn is_string(&self, offset: u32, text: &str) -> bool {
        let Some(offset) = offset.checked_sub(self.base.1) else {
            return false;
        };
        let start = self.strings.start + offset as usize;
        let end = start + text.len();
        end < self.strings.end && self.bytes[start..end] == *text.as_bytes() && self.bytes[end] == 0
    }

    fn ids(&self) -> impl Iterator<Item = u32> + use<> {
        let first = self.base.0.max(1);
        first..first + self.types.len() as u32
    }

    fn named(&self, name: &str, kinds: &[u32]) -> impl Iterator<Item = (u32, Type<'_>)> {
        self.ids()
            .filter_map(|id| Some((id, self.get(id)?)))
            .filter(move |(_, found)| kinds.contains(&found.kind) && self.is_string(found.name, name))
    }

    /// Id of the first type of that name and kind.
    pub fn id(&self, kind: u32, name: &str) -> Option<u32> {
        self.named(name, &[kind]).next().map(|(id, _)| id)
    }

    /// Id of the type of a module's function. Its name is one of the kernel's strings if the kernel has the same string.
    pub fn module_function(&self, name: &str, kernel: &Self) -> Option<u32> {
        let shared = kernel.string_offset(name);
        let named = |found: &Type<'_>| Some(found.name) == shared || self.is_string(found.name, name);
        self.ids().find(|id| {
            self.get(*id)
                .is_some_and(|found| found.kind == KIND_FUNC && named(&found))
        })
    }

    /// Offset of a variable among those that each processor has for itself.
    pub fn processors_variable(&self, name: &str) -> Option<u32> {
        let variable = self.id(KIND_VAR, name)?;
        let (_, section) = self.named(PROCESSORS, &[KIND_SECTION]).next()?;
        // The variable, its offset, its size.
        let mut all = section.entries.chunks_exact(12);
        all.find(|entry| word(entry, 0) == Some(variable))
            .and_then(|entry| word(entry, 4))
    }

    /// Offset of a string.
    fn string_offset(&self, text: &str) -> Option<u32> {
        let mut at = 0;
        self.bytes[self.strings.clone()]
            .split(|byte| *byte == 0)
            .find_map(|string| {
                let start = at;
                at += string.len() as u32 + 1;
                (string == text.as_bytes()).then_some(start)
            })
    }

    /// Value of an enumerator of the enumeration `name`, e.g. `pids_cgrp_id` of `cgroup_subsys_id`.
    pub fn enumerator(&self, name: &str, enumerator: &str) -> Option<u32> {
        let (_, found) = self.named(name, &[KIND_ENUM]).next()?;
        found
            .entries
            .chunks_exact(8)
            .find(|entry| word(entry, 0).is_some_and(|name| self.is_string(name, enumerator)))
            .and_then(|entry| word(entry, 4))
    }

    /// Ids of structs and unions by name, found in one pass over all types.
    pub fn structures<'n>(&self, names: &[&'n str]) -> HashMap<&'n str, Vec<u32>> {
        let mut found = HashMap::<_, Vec<u32>>::new();
        for id in self.ids() {
            let Some(one) = self.get(id).filter(|one| matches!(one.kind, KIND_STRUCT | KIND_UNION)) else {
                continue;
            };
            if let Some(name) = names
                .iter()
                .find(|name| one.name != 0 && self.is_string(one.name, name))
            {
                found.entry(*name).or_default().push(id);
            }
        }
        found
    }

    /// Offset in bytes of a field of the first of these structs that has it, by its path through members: `f_path`, `dentry`
    /// of `file`. Unnamed structs and unions are not part of the path. Bit fields have no offset.
    pub fn offset_in(&self, structures: &[u32], path: &[&str]) -> Option<u32> {
        structures.iter().find_map(|id| self.follow(*id, path))
    }

    fn follow(&self, mut id: u32, path: &[&str]) -> Option<u32> {
        let mut offset = 0;
        for name in path {
            let (at, of) = self.member(self.unqualified(id)?, name, MAX_DEPTH)?;
            offset += at;
            id = of;
        }
        Some(offset)
    }

    /// The type without typedefs and qualifiers.
    fn unqualified(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let found = self.get(id)?;
            match found.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => id = found.target,
                _ => return Some(id),
            }
        }
        None
    }

    fn member(&self, id: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        let found = self.get(id)?;
        if depth == 0 || !matches!(found.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        found.entries.chunks_exact(12).find_map(|member| {
            let (label, of, place) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            let (bits, width) = if found.flag {
                (place & 0x00ff_ffff, place >> 24)
            } else {
                (place, 0)
            };
            if label == 0 {
                let (at, of) = self.member(self.unqualified(of)?, name, depth - 1)?;
                return Some((bits / 8 + at, of));
            }
            (width == 0 && bits % 8 == 0 && self.is_string(label, name)).then_some((bits / 8, of))
        })
    }
}

/// Bytes that follow a type's common part.
fn entries_len(info: u32) -> Option<usize> {
    let count = (info & 0xffff) as usize;
    Some(match (info >> 24) & 0x1f {
        // Integer, variable and declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // 15 is a data section, 19 a 64-bit enumeration.
        KIND_STRUCT | KIND_UNION | KIND_SECTION | 19 => count * 12,
        // 13 is a function prototype.
        KIND_ENUM | 13 => count * 8,
        KIND_PTR | 7..=KIND_FUNC | 16 | KIND_TYPE_TAG => 0,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "tests/btf.rs"]
mod tests;
