//! The kernel's description of its own types (BPF Type Format, `Documentation/bpf/btf.rst`).
//!
//! A reader of its own, because aya's keeps members to itself, does not know the types of modules, and takes several
//! times the memory: this one walks the bytes. Everything in them is checked: the file of `ioctl.btf` is the user's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Larger than any kernel's.
const MOST_BYTES: u64 = 64 << 20;
const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// Depth of nested types that is followed.
const DEPTH: u32 = 16;

const KIND_PTR: u32 = 2;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_TYPE_TAG: u32 = 18;

/// Why there is no type information.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not BTF, or damaged.
    #[error("{} is not BTF of this machine: {what}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
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
    /// How many types (void included) and bytes of strings the base has; 0 where there is none.
    base: (u32, u32),
}

#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    flag: bool,
    /// Size or type.
    of: u32,
    /// What follows, of the length that the kind says.
    rest: &'a [u8],
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

    /// Reads a module's, e.g. `/sys/kernel/btf/nvidia`, whose types refer to the kernel's.
    pub fn read_module(path: &Path, kernel: &Self) -> Result<Self, BtfError> {
        let base = (kernel.types.len() as u32 + 1, kernel.strings.len() as u32);
        Self::read_with(path, base)
    }

    fn read_with(path: &Path, base: (u32, u32)) -> Result<Self, BtfError> {
        use std::io::Read;
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
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
            at += 12 + trailing(info).ok_or("it has a kind of type that is not known")?;
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
        let rest = at + 12;
        Some(Type {
            name: word(&self.bytes, at)?,
            kind: (info >> 24) & 0x1f,
            flag: info >> 31 == 1,
            of: word(&self.bytes, at + 8)?,
            rest: self.bytes.get(rest..rest + trailing(info)?)?,
        })
    }

    /// Whether the string at an offset is `text`. Strings of the base are not looked at.
    fn says(&self, offset: u32, text: &str) -> bool {
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
            .filter(move |(_, found)| kinds.contains(&found.kind) && self.says(found.name, name))
    }

    /// Id of the type of a function.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.named(name, &[KIND_FUNC]).next().map(|(id, _)| id)
    }

    /// Id of the type of a module's function, whose name stands among the kernel's strings if that has the same one.
    pub fn function_beside(&self, name: &str, kernel: &Self) -> Option<u32> {
        let shared = kernel.string(name);
        let named = |found: &Type<'_>| Some(found.name) == shared || self.says(found.name, name);
        self.ids().find(|id| {
            self.get(*id)
                .is_some_and(|found| found.kind == KIND_FUNC && named(&found))
        })
    }

    /// Id of a struct.
    pub fn structure(&self, name: &str) -> Option<u32> {
        self.named(name, &[KIND_STRUCT]).next().map(|(id, _)| id)
    }

    /// Id of a name for another type.
    pub fn typedef(&self, name: &str) -> Option<u32> {
        self.named(name, &[KIND_TYPEDEF]).next().map(|(id, _)| id)
    }

    /// Where a string stands.
    fn string(&self, text: &str) -> Option<u32> {
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
            .rest
            .chunks_exact(8)
            .find(|entry| word(entry, 0).is_some_and(|name| self.says(name, enumerator)))
            .and_then(|entry| word(entry, 4))
    }

    /// Offset in bytes of a field of a struct, through members and unnamed structs and unions: `f_path`, `dentry` of
    /// `file`. Bit fields have none.
    pub fn offset(&self, name: &str, path: &[&str]) -> Option<u32> {
        // The same name may stand for an unlike struct of some driver: the first that has the field.
        self.named(name, &[KIND_STRUCT, KIND_UNION])
            .find_map(|(id, _)| self.follow(id, path))
    }

    /// The same for many, in one pass: the structs' ids by name. Each pass goes through all types.
    pub fn structures<'n>(&self, names: &[&'n str]) -> HashMap<&'n str, Vec<u32>> {
        let mut found = HashMap::<_, Vec<u32>>::new();
        for id in self.ids() {
            let Some(one) = self.get(id).filter(|one| matches!(one.kind, KIND_STRUCT | KIND_UNION)) else {
                continue;
            };
            if let Some(name) = names.iter().find(|name| one.name != 0 && self.says(one.name, name)) {
                found.entry(*name).or_default().push(id);
            }
        }
        found
    }

    /// Offset in bytes of a field of the first of these structs that has it; see [`offset`](Self::offset).
    pub fn offset_in(&self, structures: &[u32], path: &[&str]) -> Option<u32> {
        structures.iter().find_map(|id| self.follow(*id, path))
    }

    fn follow(&self, mut id: u32, path: &[&str]) -> Option<u32> {
        let mut offset = 0;
        for name in path {
            let (at, of) = self.member(self.plain(id)?, name, DEPTH)?;
            offset += at;
            id = of;
        }
        Some(offset)
    }

    /// The type without its typedefs and qualifiers.
    fn plain(&self, mut id: u32) -> Option<u32> {
        for _ in 0..DEPTH {
            let found = self.get(id)?;
            match found.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => id = found.of,
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
        found.rest.chunks_exact(12).find_map(|member| {
            let (label, of, place) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            let (bits, width) = if found.flag {
                (place & 0x00ff_ffff, place >> 24)
            } else {
                (place, 0)
            };
            if label == 0 {
                let (at, of) = self.member(self.plain(of)?, name, depth - 1)?;
                return Some((bits / 8 + at, of));
            }
            (width == 0 && bits % 8 == 0 && self.says(label, name)).then_some((bits / 8, of))
        })
    }

    /// Whether a member is a pointer, e.g. `true` for `files` of `task_struct`.
    #[cfg(test)]
    fn is_pointer(&self, name: &str, member: &str) -> bool {
        self.named(name, &[KIND_STRUCT])
            .filter_map(|(id, _)| self.member(id, member, DEPTH))
            .filter_map(|(_, of)| self.get(self.plain(of)?))
            .any(|found| found.kind == KIND_PTR)
    }
}

/// How many bytes follow a type's common part.
fn trailing(info: u32) -> Option<usize> {
    let entries = (info & 0xffff) as usize;
    Some(match (info >> 24) & 0x1f {
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // The last two are a section and a 64-bit enumeration.
        KIND_STRUCT | KIND_UNION | 15 | 19 => entries * 12,
        // Enumeration, function's prototype.
        KIND_ENUM | 13 => entries * 8,
        KIND_PTR | 7..=KIND_FUNC | 16 | KIND_TYPE_TAG => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes BTF, for what the running kernel does not have.
    #[derive(Default)]
    struct Writer {
        types: Vec<u8>,
        strings: Vec<u8>,
        first_string: u32,
    }

    impl Writer {
        fn name(&mut self, name: &str) -> u32 {
            if name.is_empty() {
                return 0;
            }
            if self.strings.is_empty() && self.first_string == 0 {
                self.strings.push(0);
            }
            let at = self.first_string + self.strings.len() as u32;
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
            at
        }

        fn put(&mut self, words: &[u32]) {
            self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        }

        fn composite(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) {
            let label = self.name(name);
            self.put(&[label, kind << 24 | members.len() as u32, 64]);
            for (name, of, bits) in members {
                let label = self.name(name);
                self.put(&[label, *of, *bits]);
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            let mut all = Vec::from(MAGIC.to_ne_bytes());
            all.extend([1, 0]);
            all.extend(
                [24, 0, types, types, strings]
                    .iter()
                    .flat_map(|word: &u32| word.to_ne_bytes()),
            );
            all.extend(&self.types);
            all.extend(&self.strings);
            all
        }
    }

    fn sample() -> Writer {
        let mut writer = Writer::default();
        // 1: int
        let int = writer.name("int");
        writer.put(&[int, 1 << 24, 4, 32]);
        // 2: struct path { int mnt; int dentry; }
        writer.composite(KIND_STRUCT, "path", &[("mnt", 1, 0), ("dentry", 1, 64)]);
        // 3: const struct path
        writer.put(&[0, KIND_CONST << 24, 2]);
        // 4: union { const struct path f_path; struct path __f_path; }
        writer.composite(KIND_UNION, "", &[("f_path", 3, 0), ("__f_path", 2, 0)]);
        // 5: struct file { int a; union {..}; }
        writer.composite(KIND_STRUCT, "file", &[("a", 1, 0), ("", 4, 256)]);
        // 6: a union that holds itself, which no compiler writes.
        writer.composite(KIND_UNION, "loop", &[("", 6, 0)]);
        // 7: enum
        let (name, one, two) = (
            writer.name("cgroup_subsys_id"),
            writer.name("memory_cgrp_id"),
            writer.name("pids_cgrp_id"),
        );
        writer.put(&[name, KIND_ENUM << 24 | 2, 4, one, 4, two, 11]);
        writer
    }

    #[test]
    fn fields_are_found_through_unnamed_unions_and_qualifiers() {
        let btf = Btf::parse(sample().bytes(), (0, 0)).unwrap();
        assert_eq!(btf.offset("file", &["f_path", "dentry"]), Some(40));
        assert_eq!(btf.offset("file", &["f_inode"]), None);
        assert_eq!(btf.offset("fil", &["a"]), None, "a part of a name is not the name");
        assert_eq!(btf.offset("loop", &["x"]), None, "an endless type ends");
        assert_eq!(btf.enumerator("cgroup_subsys_id", "pids_cgrp_id"), Some(11));
    }

    #[test]
    fn a_modules_types_go_on_where_the_kernels_end() {
        let kernel = Btf::parse(sample().bytes(), (0, 0)).unwrap();
        let mut module = Writer {
            first_string: kernel.strings.len() as u32,
            ..Writer::default()
        };
        let name = module.name("hailo_ioctl");
        module.put(&[name, KIND_FUNC << 24, 1]);
        let base = (kernel.types.len() as u32 + 1, kernel.strings.len() as u32);
        let module = Btf::parse(module.bytes(), base).unwrap();
        assert_eq!(module.function("hailo_ioctl"), Some(8), "the kernel has 7");
        assert_eq!(module.function_beside("hailo_ioctl", &kernel), Some(8));
        let name = kernel.string("dentry").unwrap();
        let mut sharing = Writer::default();
        sharing.put(&[name, KIND_FUNC << 24, 1]);
        let sharing = Btf::parse(sharing.bytes(), base).unwrap();
        assert_eq!(
            sharing.function_beside("dentry", &kernel),
            Some(8),
            "by the kernel's string"
        );
        assert_eq!(kernel.function("hailo_ioctl"), None);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let whole = sample().bytes();
        for length in 0..whole.len() {
            assert!(Btf::parse(whole[..length].to_vec(), (0, 0)).is_err(), "{length} bytes");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                if let Ok(btf) = Btf::parse(bytes, (0, 0)) {
                    // Whatever it says; only that it says it.
                    let _answers = (
                        btf.offset("file", &["f_path", "dentry"]),
                        btf.enumerator("cgroup_subsys_id", "pids_cgrp_id"),
                        btf.function("hailo_ioctl"),
                    );
                }
            }
        }
    }

    #[test]
    fn the_running_kernels_are_read() {
        let path = Path::new("/sys/kernel/btf/vmlinux");
        let Ok(btf) = Btf::read(path) else {
            assert!(
                !std::env::var("ACCELSCOPE_REQUIRE").is_ok_and(|list| list.split(',').any(|word| word == "btf")),
                "{} cannot be read",
                path.display()
            );
            eprintln!("SKIPPED: this kernel has no BTF");
            return;
        };
        assert_eq!(btf.offset("path", &["dentry"]), Some(8));
        assert!(btf.is_pointer("task_struct", "files") && btf.offset("task_struct", &["files"]).is_some());
        assert!(btf.function("vfs_read").is_some());
    }
}
