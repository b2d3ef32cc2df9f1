use super::*;

/// Writes type information that the running kernel does not have.
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
    // 6: a union that contains itself, which no compiler writes.
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

impl Btf {
    /// As [`offset_in`](Self::offset_in), of the structs and unions of that name.
    pub(in super::super) fn offset(&self, name: &str, path: &[&str]) -> Option<u32> {
        self.offset_in(self.structures(&[name]).get(name)?, path)
    }

    /// Whether a member is a pointer, e.g. `true` for `files` of `task_struct`.
    fn is_pointer(&self, name: &str, member: &str) -> bool {
        self.named(name, &[KIND_STRUCT])
            .filter_map(|(id, _)| self.member(id, member, MAX_DEPTH))
            .filter_map(|(_, of)| self.get(self.unqualified(of)?))
            .any(|found| found.kind == KIND_PTR)
    }
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
fn a_modules_types_continue_after_the_kernels() {
    let kernel = Btf::parse(sample().bytes(), (0, 0)).unwrap();
    let mut module = Writer {
        first_string: kernel.strings.len() as u32,
        ..Writer::default()
    };
    let name = module.name("acme_ioctl");
    module.put(&[name, KIND_FUNC << 24, 1]);
    let base = (kernel.types.len() as u32 + 1, kernel.strings.len() as u32);
    let module = Btf::parse(module.bytes(), base).unwrap();
    assert_eq!(module.id(KIND_FUNC, "acme_ioctl"), Some(8), "the kernel has 7");
    assert_eq!(module.module_function("acme_ioctl", &kernel), Some(8));
    let name = kernel.string_offset("dentry").unwrap();
    let mut sharing = Writer::default();
    sharing.put(&[name, KIND_FUNC << 24, 1]);
    let sharing = Btf::parse(sharing.bytes(), base).unwrap();
    assert_eq!(
        sharing.module_function("dentry", &kernel),
        Some(8),
        "by the kernel's string"
    );
    assert_eq!(kernel.id(KIND_FUNC, "acme_ioctl"), None);
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
                // Any result is fine.
                let _results = (
                    btf.offset("file", &["f_path", "dentry"]),
                    btf.enumerator("cgroup_subsys_id", "pids_cgrp_id"),
                    btf.id(KIND_FUNC, "acme_ioctl"),
                );
            }
        }
    }
}

#[test]
fn the_running_kernels_are_read() {
    let path = Path::new("/sys/kernel/btf/vmlinux");
    let Ok(btf) = Btf::read(path) else {
        return skip_test::skip("btf", &format!("{} cannot be read", path.display()));
    };
    assert_eq!(btf.offset("path", &["dentry"]), Some(8));
    assert!(btf.is_pointer("task_struct", "files") && btf.offset("task_struct", &["files"]).is_some());
    assert!(btf.id(KIND_FUNC, "vfs_read").is_some());
}
