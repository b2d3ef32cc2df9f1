mod held;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use agent_ebpf::{Ident, Record};

use self::held::{all, descriptors, held, mappings, memory};
use super::super::btf::Btf;
use super::super::budget;
use super::super::load::calibrate_offsets;
use super::*;
use accelscope_core::holders::Holders;
use accelscope_core::host::cgroups::Cgroups;

/// Held by each test, since they count what the kernel holds.
static ALONE: Mutex<()> = Mutex::new(());

const COMMAND: u32 = 0xabcd;

fn device(path: &str) -> Device {
    use std::os::unix::fs::MetadataExt;
    Device {
        number: std::fs::metadata(path).unwrap().rdev(),
        name: path.rsplit('/').next().unwrap().into(),
        family: &crate::families::OTHER,
        module: None,
        abi: None,
        driver_version: None,
        address: None,
        hw_id: None,
        node: Some(path.into()),
        extra: true,
    }
}

fn on(root: &Path, configuration: &Configuration) -> LiveKernel {
    let roots = HostRoots::new(root);
    let context = Context {
        cgroups: Cgroups::new(&roots),
        holders: Holders::default(),
        roots,
        node_name: String::new(),
        once: false,
        per_process: false,
        sources: &[],
        faults: accelscope_core::faults::Faults::default(),
    };
    LiveKernel::new(configuration, &context)
}

fn live(hooks: Option<Vec<HookKind>>) -> LiveKernel {
    let configuration = Configuration {
        hooks: hooks.map_or(Hooks::Auto, Hooks::Only),
        ..Configuration::default()
    };
    on(Path::new("/"), &configuration)
}

/// Watches a device; false where this machine does not allow it.
fn watching(live: &mut LiveKernel, device: &Device) -> bool {
    live.watch(&[(3, device)]);
    let seen = live.report().drivers[0].hook != HookKind::Scan;
    if !seen {
        skip_test::skip("ebpf", &format!("{:#?}", live.report()));
    }
    seen
}

#[expect(unsafe_code, reason = "the call that is counted")]
fn call(file: &File, command: u32) {
    // SAFETY: a request that no driver knows, with no argument.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), command.into(), 0) };
    assert_eq!(result, -1);
}

/// What the programs have counted.
fn counts(live: &mut LiveKernel) -> &mut dyn Counts {
    live.counts().expect("the programs are loaded")
}

/// Time limit of every wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// Drains until that many calls of the command have returned.
fn drained(live: &mut LiveKernel, calls: u64) -> BTreeMap<u32, (Ident, Record)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut records = BTreeMap::new();
        counts(live).events(&mut |_| {});
        counts(live).records(&mut |number, ident, record| {
            if ident.key.command == COMMAND && ident.pid == std::process::id() {
                records.insert(number, (*ident, *record));
            }
        });
        counts(live).free_retired(&mut |_| {});
        let sum: u64 = records.values().map(|(_, record)| record.returned()).sum();
        if sum >= calls || Instant::now() > deadline {
            return records;
        }
        std::thread::yield_now();
    }
}

fn counts_every_call(hook: HookKind) {
    let _alone = ALONE.lock();
    counted(live(Some(vec![hook])), hook);
}

fn counted(mut live: LiveKernel, hook: HookKind) {
    const THREADS: usize = 4;
    const EACH: usize = 5_000;
    let device = device("/dev/full");
    if !watching(&mut live, &device) {
        return;
    }
    assert_eq!(live.report().drivers[0].hook, hook);
    let other = File::open("/dev/null").unwrap();
    let file = File::open("/dev/full").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    call(&file, COMMAND);
                    call(&other, COMMAND);
                }
            });
        }
    });
    let all = (THREADS * EACH) as u64;
    let records = drained(&mut live, all);
    // One for all processors, and one for each of those that made calls at a time.
    let of_all: Vec<_> = records.values().filter(|(ident, _)| !ident.key.is_share()).collect();
    let [(ident, _)] = of_all[..] else {
        panic!("{records:?}")
    };
    let sum = |of: fn(&Record) -> u64| records.values().map(|(_, record)| of(record)).sum::<u64>();
    let sums = [
        sum(|record| record.entered),
        sum(Record::returned),
        sum(|record| record.failed),
    ];
    assert_eq!(sums, [all; 3]);
    assert!(records.values().all(|(ident, _)| ident.key.device == 3), "{records:?}");
    let name = std::ffi::CStr::from_bytes_until_nul(&ident.name)
        .unwrap()
        .to_str()
        .unwrap();
    let executable = std::env::current_exe().unwrap();
    assert!(
        executable.file_name().unwrap().to_str().unwrap().starts_with(name),
        "{name}"
    );
    let mut errors = BTreeMap::new();
    counts(&mut live).errors(&mut |key, count| {
        if records.contains_key(&key.record) {
            *errors.entry(key.errno).or_default() += count;
        }
    });
    assert_eq!(errors, BTreeMap::from([(libc::ENOTTY as u32, all)]));
    let counters = counts(&mut live).counters();
    assert_eq!(counters[agent_ebpf::counter::KEY_FULL as usize], 0, "{counters:?}");
    assert_eq!(counters[agent_ebpf::counter::READ_FAILED as usize], 0, "{counters:?}");
    assert!(counts(&mut live).ready().is_some());
}

#[test]
fn tracepoints_count_every_call_and_no_other() {
    counts_every_call(HookKind::Tracepoint);
}

#[test]
fn raw_tracepoints_count_every_call_and_no_other() {
    counts_every_call(HookKind::RawTracepoint);
}

#[test]
fn typed_programs_are_taken_where_the_kernel_has_types() {
    let _alone = ALONE.lock();
    let mut live = live(Some(vec![HookKind::Tracepoint]));
    if !watching(&mut live, &device("/dev/full")) || live.report().offsets.as_deref() != Some("kernel BTF") {
        return;
    }
    let loaded = live.loaded.as_mut().unwrap().selector.hooks().loaded();
    assert!(loaded.contains(&"ioctl_enter_direct"), "{loaded:?}");
    assert!(!loaded.contains(&"ioctl_enter_probed"), "{loaded:?}");
}

/// This machine with a kernel that has no type information.
fn untyped() -> (tempfile::TempDir, LiveKernel) {
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
    let mut live = on(root.path(), &Configuration::default());
    live.direct = false;
    (root, live)
}

#[test]
fn without_types_and_typed_programs_every_call_is_counted_too() {
    let _alone = ALONE.lock();
    let (_root, live) = untyped();
    counted(live, HookKind::Tracepoint);
}

#[test]
fn without_types_the_report_says_what_is_used_instead() {
    let _alone = ALONE.lock();
    let (_root, mut live) = untyped();
    if !watching(&mut live, &device("/dev/full")) {
        return;
    }
    assert_eq!(live.report().offsets.as_deref(), Some("calibration"));
    assert_eq!(live.report().obstacles, [], "nothing is lost on this machine");
    let loaded = live.loaded.as_mut().unwrap().selector.hooks().loaded();
    assert!(loaded.contains(&"ioctl_exit_probed"), "{loaded:?}");
}

#[test]
fn without_types_a_call_by_the_path_alone_is_no_call_of_the_device() {
    use std::os::unix::fs::OpenOptionsExt;
    let _alone = ALONE.lock();
    let (_root, mut live) = untyped();
    if !watching(&mut live, &device("/dev/full")) {
        return;
    }
    let path = File::options().read(true).custom_flags(libc::O_PATH).open("/dev/full");
    let path = path.unwrap();
    (0..5).for_each(|_| call(&path, COMMAND));
    call(&File::open("/dev/full").unwrap(), COMMAND);
    let records = drained(&mut live, 1);
    let entered: u64 = records.values().map(|(_, record)| record.entered).sum();
    assert_eq!(entered, 1, "{records:?}");
}

/// A user's file with the running kernel's type information, modified; nothing where the kernel has none.
fn file_of_types(change: impl FnOnce(&mut Vec<u8>)) -> Option<tempfile::NamedTempFile> {
    let Ok(mut types) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("SKIPPED: this kernel has no BTF that could be given as a file");
        return None;
    };
    change(&mut types);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), types).unwrap();
    Some(file)
}

#[test]
fn a_file_of_types_is_used_where_the_kernel_has_none() {
    let _alone = ALONE.lock();
    let Some(file) = file_of_types(|_| {}) else { return };
    let (_root, mut live) = untyped();
    live.configuration.btf = Some(file.path().to_owned());
    if !watching(&mut live, &device("/dev/full")) {
        return;
    }
    assert_eq!(live.report().offsets, Some(file.path().display().to_string()));
    assert_eq!(live.report().obstacles, []);
    counted(live, HookKind::Tracepoint);
}

/// Moves all members of that name from one offset (bits) to another, and returns their number.
fn move_member(types: &mut [u8], name: &str, from: u32, to: u32) -> usize {
    let word = |types: &[u8], at: usize| u32::from_ne_bytes(*types[at..].first_chunk().unwrap());
    let header = word(types, 4) as usize;
    let strings = header + word(types, 16) as usize;
    let quoted = [b"\0", name.as_bytes(), b"\0"].concat();
    let label = types[strings..]
        .windows(quoted.len())
        .position(|text| text == quoted)
        .unwrap() as u32
        + 1;
    let mut moved = 0;
    for at in (header..strings - 12).step_by(4) {
        if word(types, at) == label && word(types, at + 8) == from {
            types[at + 8..at + 12].copy_from_slice(&to.to_ne_bytes());
            moved += 1;
        }
    }
    moved
}

#[test]
fn a_file_of_types_that_is_no_good_is_named_once_and_calls_are_counted_without_it() {
    let _alone = ALONE.lock();
    // Types of a different kernel: `struct task_struct` has the descriptors at another offset.
    let foreign = |types: &mut Vec<u8>| {
        let btf = Btf::read(Path::new("/sys/kernel/btf/vmlinux")).unwrap();
        let files = btf.offset("task_struct", &["files"]).unwrap();
        let member = move_member(types, "files", 8 * files, 8 * (files + 8));
        assert!(member > 0, "no such member");
    };
    let shorter = |types: &mut Vec<u8>| types.truncate(types.len() / 2);
    let elf = |types: &mut Vec<u8>| *types = std::fs::read("/proc/self/exe").unwrap();
    let cases: [(Option<tempfile::NamedTempFile>, &str); 4] = [
        (
            file_of_types(foreign),
            "is of another kernel: it tells of task_struct.files at",
        ),
        (file_of_types(shorter), "cut off"),
        (file_of_types(elf), "an ELF file is not taken"),
        (file_of_types(Vec::clear), "does not begin as BTF does"),
    ];
    for (file, why) in cases {
        let Some(file) = file else { return };
        let (_root, mut live) = untyped();
        live.configuration.btf = Some(file.path().to_owned());
        if !watching(&mut live, &device("/dev/full")) {
            return;
        }
        let report = live.report();
        assert_eq!(report.offsets.as_deref(), Some("calibration"));
        let [obstacle] = report.obstacles.as_slice() else {
            panic!("{:?}", report.obstacles);
        };
        let path = file.path().display().to_string();
        assert!(
            obstacle.what.contains(&path) && obstacle.what.contains(why),
            "{obstacle:?}"
        );
        assert!(
            obstacle.remedy.as_ref().unwrap().contains("BTF of Linux"),
            "{obstacle:?}"
        );
        counted(live, HookKind::Tracepoint);
    }
}

#[test]
fn a_retired_key_loses_nothing_and_its_number_is_used_again() {
    let _alone = ALONE.lock();
    let device = device("/dev/full");
    let mut live = live(None);
    if !watching(&mut live, &device) {
        return;
    }
    let file = File::open("/dev/full").unwrap();
    call(&file, COMMAND);
    let number = *drained(&mut live, 1).first_key_value().unwrap().0;
    counts(&mut live).retire(number);
    call(&file, COMMAND);
    let both = drained(&mut live, 2);
    assert_eq!(
        both.len(),
        2,
        "the old record is still there, the new call has another: {both:?}"
    );
    let deadline = Instant::now() + PATIENCE;
    let mut freed = Vec::new();
    while freed.is_empty() && Instant::now() < deadline {
        counts(&mut live).free_retired(&mut |number| freed.push(number));
        std::thread::yield_now();
    }
    assert_eq!(freed, [number]);
    let left = drained(&mut live, 1);
    assert!(!left.contains_key(&number) && left.len() == 1, "{left:?}");
    let mut errors = 0;
    counts(&mut live).errors(&mut |key, _| errors += u32::from(key.record == number));
    assert_eq!(errors, 0, "what belonged to it is gone");
}

#[test]
fn maps_are_resident_only_while_they_are_read() {
    let _alone = ALONE.lock();
    let mut live = live(None);
    if !watching(&mut live, &device("/dev/full")) {
        return;
    }
    call(&File::open("/dev/full").unwrap(), COMMAND);
    assert_eq!(drained(&mut live, 1).len(), 1);
    counts(&mut live).slots(&mut |_| {});
    assert_eq!(mappings(), 2, "the counters and the watched devices");
}

#[test]
fn nothing_is_attached_without_a_device() {
    let _alone = ALONE.lock();
    let mut live = live(None);
    let before = held();
    live.watch(&[]);
    assert_eq!((held(), live.memory()), (before, 0));
    if !watching(&mut live, &device("/dev/full")) {
        return;
    }
    let file = File::open("/dev/full").unwrap();
    live.watch(&[]);
    assert_eq!(live.report().drivers, []);
    let links = held().into_iter().filter(|(name, _)| *name == "link_id").count();
    assert_eq!(links, 0);
    call(&file, COMMAND);
    assert!(drained_now(&mut live).is_empty());
}

fn drained_now(live: &mut LiveKernel) -> Vec<u32> {
    let mut numbers = Vec::new();
    counts(live).events(&mut |_| {});
    counts(live).records(&mut |number, ident, _| {
        if ident.key.command == COMMAND {
            numbers.push(number);
        }
    });
    numbers
}

#[test]
fn loading_and_unloading_a_hundred_times_leaves_nothing_behind() {
    let _alone = ALONE.lock();
    let device = device("/dev/full");
    let mut first = live(None);
    if !watching(&mut first, &device) {
        return;
    }
    drop(first);
    let before = (descriptors(), mappings());
    let file = File::open("/dev/full").unwrap();
    let mut made = BTreeSet::new();
    for _ in 0..100 {
        let mut live = live(None);
        live.watch(&[(0, &device)]);
        call(&file, COMMAND);
        assert_eq!(live.report().drivers[0].hook, HookKind::Tracepoint);
        made.extend(held());
    }
    drop(file);
    assert!(
        made.len() >= 100 * 17,
        "{} were made, fewer than there are maps",
        made.len()
    );
    assert_eq!((descriptors(), mappings()), before);
    // The kernel frees programs and maps a while after their last user. Others may load theirs at the same time.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left: Vec<_> = all().intersection(&made).copied().collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?} are still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_computed_memory_is_the_kernels_own_account() {
    let _alone = ALONE.lock();
    let mut live = live(None);
    if !watching(&mut live, &device("/dev/full")) {
        return;
    }
    let mut sum = 0;
    let maps = memory();
    assert_eq!(maps.iter().map(|(_, computed, _)| computed).sum::<u64>(), live.memory());
    for (name, computed, locked) in maps {
        eprintln!("{name}: computed {computed} bytes, the kernel has {locked}");
        sum += locked;
        // Before 6.4, the kernel reports less than it allocates.
        assert!(
            computed >= locked,
            "{name}: computed {computed}, the kernel has {locked}"
        );
    }
    let computed = live.memory();
    eprintln!("all: computed {computed} bytes, the kernel has {sum}");
    assert!(
        computed - sum < computed / 50,
        "computed {computed}, the kernel has {sum}"
    );
    assert!(computed <= budget::BUDGET);
}

#[test]
fn calibration_finds_what_the_kernels_types_describe() {
    let _alone = ALONE.lock();
    let own = HostRoots::new("/").sys().join("kernel/btf");
    let Ok(btf) = Btf::read(&own.join("vmlinux")) else {
        eprintln!("SKIPPED: this kernel has no BTF to compare with");
        return;
    };
    if !watching(&mut live(None), &device("/dev/full")) {
        return;
    }
    let began = Instant::now();
    let found = calibrate_offsets(Machine::here(), &own).unwrap();
    eprintln!("calibrated in {:?}", began.elapsed());
    let expected = offsets::from_btf(&btf);
    for (name, found, expected) in offsets::differences(&found, &expected) {
        eprintln!("{name}: found {found}, the types have {expected}");
        assert_eq!(found, u32::MAX, "{name} is wrong, which is worse than unknown");
    }
    let missing = offsets::missing(&found);
    assert!(missing.is_empty(), "{missing:?}");
    assert_ne!(
        found.file_mode,
        u32::MAX,
        "descriptors of the path alone are not told apart"
    );
}

#[test]
fn a_scan_that_was_asked_for_loads_nothing() {
    let _alone = ALONE.lock();
    let mut live = live(Some(vec![HookKind::Scan]));
    live.watch(&[(0, &device("/dev/full"))]);
    assert_eq!((live.memory(), live.report().drivers[0].hook), (0, HookKind::Scan));
    assert_eq!(live.report().obstacles, []);
}

#[test]
fn raw_tracepoints_are_tried_last_where_perf_event_paranoid_forbids_the_others() {
    use HookKind::{Fentry, Kprobe, RawTracepoint, Scan, Tracepoint};
    use rustix::thread::CapabilitySet;
    let of = |paranoid, capabilities| {
        kinds(
            &Hooks::Auto,
            &Environment {
                capabilities: Some(capabilities),
                perf_event_paranoid: Some(paranoid),
                ..Environment::default()
            },
        )
    };
    let least = CapabilitySet::BPF | CapabilitySet::PERFMON;
    assert_eq!(of(3, least), [Fentry, Kprobe, Tracepoint, RawTracepoint, Scan]);
    for others in [of(2, least), of(3, CapabilitySet::all()), of(3, CapabilitySet::empty())] {
        assert_eq!(others, [Fentry, Kprobe, Tracepoint, Scan]);
    }
}
