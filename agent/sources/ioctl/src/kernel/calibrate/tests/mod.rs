use std::collections::HashMap;

use super::reference::{Controller, ReferenceFile};
use super::*;

/// A kernel with offsets of its own.
#[derive(Default)]
struct Kernel {
    blocks: HashMap<u64, Vec<u8>>,
    next: u64,
}

impl Kernel {
    /// Room for a structure.
    fn make(&mut self, size: u64) -> u64 {
        let start = 0xffff_8880_0000_0000 + self.next;
        self.next += size.next_multiple_of(cache::BLOCK) + 4 * cache::BLOCK;
        for block in 0..size.div_ceil(cache::BLOCK) {
            self.blocks
                .insert(start + block * cache::BLOCK, vec![0; cache::BLOCK as usize]);
        }
        start
    }

    fn put(&mut self, address: u64, bytes: &[u8]) {
        for (at, byte) in (address..).zip(bytes) {
            self.blocks.get_mut(&(at - at % cache::BLOCK)).unwrap()[(at % cache::BLOCK) as usize] = *byte;
        }
    }

    fn word(&mut self, address: u64, value: u64) {
        self.put(address, &value.to_ne_bytes());
    }

    fn half(&mut self, address: u64, value: u32) {
        self.put(address, &value.to_ne_bytes());
    }
}

impl Memory for Kernel {
    fn read(&mut self, address: u64, into: &mut [u8]) -> bool {
        let found = self.blocks.get(&address);
        if let Some(bytes) = found {
            into.copy_from_slice(bytes);
        }
        found.is_some()
    }
}

fn file(descriptor: u32, name: &str, device: u32) -> ReferenceFile {
    ReferenceFile {
        descriptor,
        duplicate_of: None,
        device,
        mode: if device == 0 { 0o100_444 } else { 0o020_666 },
        number: 100 + u64::from(descriptor),
        name: name.into(),
        opened: 1,
        simple: true,
    }
}

/// Offsets unlike any kernel's.
fn truth() -> Offsets {
    Offsets {
        task_files: 800,
        files_fdt: 40,
        fdt_max_fds: 0,
        fdt_fd: 16,
        file_inode: 48,
        inode_mode: 4,
        inode_rdev: 84,
        task_mm: 400,
        mm_exe_file: 888,
        file_dentry: 104,
        dentry_name: 32,
        task_leader: 1000,
        task_started: 1208,
        task_comm: 1300,
        task_cgroups: 1400,
        css_set_subsys: 16,
        css_set_default: 80,
        css_cgroup: 0,
        cgroup_kn: 200,
        kn_id: 88,
        cgroup_root: 600,
        root_hierarchy: 24,
        task_pid: 700,
        task_tgid: 704,
        files_fd_array: 136,
        task_compat: u32::MAX,
        file_mode: 20,
    }
}

/// A kernel with these offsets, and the reference values of a thread in it.
fn machine() -> (Kernel, Reference) {
    let at = truth();
    let of = |base: u64, offset: u32| base + u64::from(offset);
    let mut kernel = Kernel::default();
    let (task, leader) = (kernel.make(4096), kernel.make(4096));
    for (one, pid, comm, started) in [
        (task, 78, "worker\0", 9_990_000_000_u64),
        (leader, 77, "agent\0", 5_550_000_000),
    ] {
        kernel.half(of(one, at.task_pid), pid);
        kernel.half(of(one, at.task_tgid), 77);
        kernel.word(of(one, at.task_leader), leader);
        kernel.put(of(one, at.task_comm), comm.as_bytes());
        kernel.word(of(one, at.task_started) - 8, started);
        kernel.word(of(one, at.task_started), started);
    }

    let mut files = vec![
        file(3, "null", 1 << 20 | 3),
        file(4, "zero", 1 << 20 | 5),
        file(5, "full", 1 << 20 | 7),
        file(6, "uptime", 0),
        file(7, "agent", 0),
    ];
    files[4].simple = false;
    (files[0].opened, files[1].opened) = (3, 1 << 14);
    let table = kernel.make(1024);
    kernel.word(of(task, at.task_files), table);
    // As in a real one, preceded by an empty list, which points to itself.
    kernel.word(table + 24, table + 24);
    kernel.word(of(table, at.files_fdt), table + 56);
    kernel.half(table + 56, 64);
    kernel.word(of(table + 56, at.fdt_fd), of(table, at.files_fd_array));
    for known in &files {
        let (file, inode, entry) = (kernel.make(256), kernel.make(512), kernel.make(192));
        kernel.word(of(table, at.files_fd_array) + 8 * u64::from(known.descriptor), file);
        // With bits that tell something else.
        kernel.half(of(file, at.file_mode), known.opened | 0x0a_8018);
        kernel.word(of(file, at.file_inode), inode);
        kernel.put(of(inode, at.inode_mode), &known.mode.to_ne_bytes());
        kernel.half(of(inode, at.inode_rdev), known.device);
        let number = if known.simple { known.number } else { 1 };
        kernel.word(inode + 72, number);
        kernel.word(of(file, at.file_dentry), entry);
        // An unaligned name.
        kernel.word(of(entry, at.dentry_name), entry + 101);
        kernel.put(entry + 101, &known.name);
        if known.name == b"agent" {
            let (mm, own) = (kernel.make(2048), kernel.make(256));
            kernel.word(of(own, at.file_inode), inode);
            kernel.word(of(mm, at.mm_exe_file), own);
            kernel.word(of(task, at.task_mm), mm);
            kernel.word(of(task, at.task_mm) + 8, mm);
        }
    }

    let controllers = [(4, 500), (9, 900), (0, 0)].map(|(hierarchy, id)| Controller {
        hierarchy,
        id: (id != 0).then_some(id),
    });
    let set = kernel.make(512);
    kernel.word(of(task, at.task_cgroups), set);
    kernel.word(set + 120, set + 120);
    let mut group = |hierarchy: u32, id: u64| {
        let (group, node, root) = (kernel.make(1024), kernel.make(256), kernel.make(256));
        kernel.word(of(group, at.css_cgroup), group);
        kernel.word(of(group, at.cgroup_kn), node);
        kernel.word(of(node, at.kn_id), id);
        kernel.word(of(group, at.cgroup_root), root);
        kernel.half(of(root, at.root_hierarchy), hierarchy);
        group
    };
    let unified = group(0, 4711);
    let groups = [group(4, 500), group(9, 900), unified];
    for (index, group) in groups.into_iter().enumerate() {
        let state = kernel.make(128);
        kernel.word(of(state, at.css_cgroup), group);
        kernel.word(of(set, at.css_set_subsys) + 8 * index as u64, state);
    }
    kernel.word(of(set, at.css_set_default), unified);

    let known = Reference {
        task,
        pid_tgid: (77 << 32) + 78,
        comm: b"worker".to_vec(),
        leader_comm: b"agent".to_vec(),
        started: [999, 555],
        tick: 10_000_000,
        executable: Some(4),
        files,
        cgroup: 4711,
        controllers: controllers.into(),
    };
    (kernel, known)
}

#[test]
fn everything_is_found_at_any_offset() {
    let (mut kernel, known) = machine();
    let found = calibrate(&mut kernel, &known);
    assert_eq!(super::super::offsets::differences(&found, &truth()), []);
}

#[test]
fn what_could_be_in_two_places_stays_unknown() {
    let (mut kernel, known) = machine();
    // A second field with every device's number.
    for file in &known.files {
        let table = u64::from_ne_bytes(*kernel.blocks[&known.task][800..].first_chunk().unwrap());
        let read = |kernel: &Kernel, address: u64| {
            let block = address - address % cache::BLOCK;
            u64::from_ne_bytes(
                *kernel.blocks[&block][(address - block) as usize..]
                    .first_chunk()
                    .unwrap(),
            )
        };
        let open = read(&kernel, table + 136 + 8 * u64::from(file.descriptor));
        let inode = read(&kernel, open + 48);
        kernel.half(inode + 200, file.device);
    }
    let found = calibrate(&mut kernel, &known);
    assert_eq!((found.inode_rdev, found.file_inode), (u32::MAX, u32::MAX));
    assert_eq!(found.task_files, 800, "what does not depend on it is known");
}

/// Seen on Linux 6.18: a per-task value near the end of the address space, where no structure fits.
#[test]
fn values_that_look_like_pointers_without_room_for_a_structure_are_none() {
    for end in [0xffff_ffff_ffff_eff8, 0xffff_ffff_ffff_c000, u64::MAX - 7, u64::MAX] {
        let (mut kernel, reference) = machine();
        // In the free words of the task and its leader, and at the end of each other structure.
        for (start, block) in &mut kernel.blocks {
            let is_tasks = (reference.task..reference.task + 9 * cache::BLOCK).contains(start);
            let (words, _) = block.as_chunks_mut();
            let places = if is_tasks {
                0..words.len()
            } else {
                words.len() - 1..words.len()
            };
            for word in words[places].iter_mut().filter(|word| **word == [0; 8]) {
                *word = u64::to_ne_bytes(end);
            }
        }
        assert_eq!(calibrate(&mut kernel, &reference), truth(), "{end:x}");
    }
}

#[test]
fn names_of_the_next_tasks_in_memory_are_not_the_tasks_own() {
    let (mut kernel, mut known) = machine();
    known.comm = b"calibrate".to_vec();
    let leader = {
        let block = &kernel.blocks[&known.task];
        u64::from_ne_bytes(*block[truth().task_leader as usize..].first_chunk().unwrap())
    };
    for (task, comm) in [(known.task, "calibrate\0"), (leader, "agent\0")] {
        for at in [truth().task_comm, 3000] {
            kernel.put(task + u64::from(at), comm.as_bytes());
        }
    }
    let found = calibrate(&mut kernel, &known);
    assert_eq!(super::super::offsets::differences(&found, &truth()), []);
}

#[test]
fn a_migration_of_tasks_during_the_search_hides_nothing() {
    let (mut kernel, known) = machine();
    let pointer = |kernel: &Kernel, address: u64| {
        let block = &kernel.blocks[&(address - address % cache::BLOCK)];
        u64::from_ne_bytes(*block[(address % cache::BLOCK) as usize..].first_chunk().unwrap())
    };
    let set = pointer(&kernel, known.task + u64::from(truth().task_cgroups));
    let first_state = pointer(&kernel, set + u64::from(truth().css_set_subsys));
    let other_group = pointer(&kernel, first_state + u64::from(truth().css_cgroup));
    let destination = set + 200;
    kernel.word(destination, other_group);
    assert_eq!(calibrate(&mut kernel, &known).task_cgroups, u32::MAX);
    let mut searches = 0;
    let found = repeated(|| {
        searches += 1;
        if searches == 2 {
            kernel.word(destination, 0);
        }
        Ok(calibrate(&mut kernel, &known))
    });
    assert_eq!(super::super::offsets::differences(&found.unwrap(), &truth()), []);
    assert_eq!(searches, 2);
}

#[test]
fn a_kernel_that_shows_nothing_leaves_all_unknown() {
    let (_, known) = machine();
    let found = calibrate(&mut Kernel::default(), &known);
    assert_eq!(found, Offsets::UNKNOWN);
}

#[test]
fn groups_that_are_all_roots_give_no_ids() {
    let (mut kernel, mut known) = machine();
    known.cgroup = 1;
    for controller in &mut known.controllers {
        controller.id = controller.id.map(|_| 1);
    }
    let found = calibrate(&mut kernel, &known);
    assert_eq!((found.cgroup_kn, found.kn_id), (u32::MAX, u32::MAX));
    assert_eq!(found.cgroup_root, truth().cgroup_root);
}
