//! Time that the eBPF programs add to a system call, compared with a plain reference in C and with empty programs, in
//! one run: by one thread, and by two on two CPUs whose calls are counted under one key.
//!
//! Needs root, tracefs, and clang with libbpf's headers (Debian: clang libbpf-dev) for the reference. Time is the
//! thread's own CPU time, so that other load on the machine disturbs less; each figure is the lower quartile of many
//! short rounds that alternate.
#![expect(clippy::print_stdout, reason = "the result is for who runs it")]

use std::fs::File;
use std::process::Command;
use std::sync::Barrier;

use agent_ebpf::{HOOK_SYSCALL, Watched};
use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::HashMap;
use benches::ioctl::{Programs, ioctl, tracepoint};
use rustix::thread::{CpuSet, sched_setaffinity};

const CALLS: u32 = 10_000;
const ROUNDS: usize = 25;
/// CPUs of the case in which several call at a time.
const CPUS: usize = 2;
/// A command that every character device implements, so that the call itself is short.
const GRANTED: u32 = 0x5451;
/// A command that these devices do not implement.
const UNKNOWN: u32 = 0x5401;
/// `/dev/full` and its major number.
const FULL: u32 = 1 << 20 | 7;
const FULL_MAJOR: u32 = 1;

const WAYS: [&str; 5] = ["bare", "empty", "reference", "direct", "probed"];
const COLUMNS: [&str; 5] = ["watched", "with error", "unwatched", "no device", "getppid"];
/// Upper limits as fractions of the reference's cost, by column; they apply to the variant `direct`.
const GOALS: [Option<f64>; 5] = [Some(0.5), Some(0.5), Some(0.6), None, Some(1.0)];

/// Programs that must stay loaded while a variant is measured.
enum Attached {
    Nothing,
    Reference(#[expect(dead_code, reason = "detaches when it is dropped")] Ebpf),
    Ours(#[expect(dead_code, reason = "detaches when it is dropped")] Programs),
}

fn main() -> Result<()> {
    let reference = reference()?;
    let cases: &[usize] = if std::thread::available_parallelism()?.get() < CPUS {
        println!("SKIPPED: two CPUs at a time, as there is only one");
        &[1]
    } else {
        &[1, CPUS]
    };
    let mut rounds = vec![vec![Vec::with_capacity(ROUNDS); WAYS.len()]; cases.len()];
    for _ in 0..ROUNDS {
        for (way, name) in WAYS.iter().enumerate() {
            let _attached = attach(name, &reference)?;
            for (cpus, rounds) in cases.iter().zip(&mut rounds) {
                rounds[way].push(on(*cpus)?);
            }
        }
    }
    for (cpus, rounds) in cases.iter().zip(&rounds) {
        print(*cpus, rounds);
    }
    Ok(())
}

/// Times the calls on that many CPUs at a time, all with one key; the mean of all. On one, by the only thread of the
/// process; on several, by a thread on each of them.
fn on(cpus: usize) -> Result<[f64; COLUMNS.len()]> {
    if cpus == 1 {
        return times(&Barrier::new(1));
    }
    let start = Barrier::new(cpus);
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus)
            .map(|cpu| {
                let start = &start;
                scope.spawn(move || {
                    let mut only = CpuSet::new();
                    only.set(cpu);
                    sched_setaffinity(None, &only)?;
                    times(start)
                })
            })
            .collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|times| times.map_err(|_| anyhow::anyhow!("a thread failed"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(std::array::from_fn(|column| {
        times.iter().map(|times| times[column]).sum::<f64>() / cpus as f64
    }))
}

/// Times each column by this thread, on files of its own; all threads begin each of them together.
fn times(start: &Barrier) -> Result<[f64; COLUMNS.len()]> {
    let full = File::open("/dev/full").context("cannot open /dev/full")?;
    // Its major number differs from that of the watched device, as the reference requires.
    let other = File::open("/dev/ptmx").context("cannot open /dev/ptmx")?;
    let folder = File::open("/").context("cannot open /")?;
    let time = |call: &dyn Fn() -> i32| {
        start.wait();
        per_call(call)
    };
    time(&|| ioctl(&full, GRANTED, 0));
    Ok([
        time(&|| ioctl(&full, GRANTED, 0)),
        time(&|| ioctl(&full, UNKNOWN, 0)),
        time(&|| ioctl(&other, GRANTED, 0)),
        time(&|| ioctl(&folder, GRANTED, 0)),
        time(&getppid),
    ])
}

fn print(cpus: usize, rounds: &[Vec<[f64; COLUMNS.len()]>]) {
    let figure = |way: usize, column: usize| {
        let mut all: Vec<f64> = rounds[way].iter().map(|round| round[column]).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 4]
    };
    println!(
        "on {cpus} CPU{}: ns a call, and what each way adds; in brackets: of what the reference adds",
        if cpus == 1 { "" } else { "s at a time, one key" }
    );
    println!("{:10} {}", "", COLUMNS.map(|column| format!("{column:>16}")).join(" "));
    for (way, name) in WAYS.iter().enumerate() {
        let cell = |column: usize| {
            let added = |way: usize| figure(way, column) - figure(0, column);
            match way {
                0 => format!("{:16.1}", figure(0, column)),
                1 | 2 => format!("{:16.1}", added(way)),
                _ => format!("{:9.1} ({:.2})", added(way), added(way) / added(2)),
            }
        };
        println!(
            "{name:10} {}",
            (0..COLUMNS.len()).map(cell).collect::<Vec<_>>().join(" ")
        );
    }
    let goals = GOALS.map(|goal| goal.map_or(format!("{:16}", ""), |goal| format!("{:>16}", format!("({goal:.2})"))));
    println!("{:10} {}", "aim", goals.join(" "));
}

fn attach(way: &str, reference: &[u8]) -> Result<Attached> {
    Ok(match way {
        "bare" => Attached::Nothing,
        "empty" => {
            let mut programs = Ebpf::load(reference)?;
            tracepoint(&mut programs, "empty", "sys_exit_ioctl")?;
            tracepoint(&mut programs, "empty", "sys_enter_ioctl")?;
            Attached::Reference(programs)
        }
        "reference" => {
            let mut programs = Ebpf::load(reference)?;
            let majors = programs.map_mut("MAJORS").context("no map MAJORS")?;
            HashMap::try_from(majors)?.insert(FULL_MAJOR, 1_u32, 0)?;
            tracepoint(&mut programs, "reference_exit", "sys_exit_ioctl")?;
            tracepoint(&mut programs, "reference_enter", "sys_enter_ioctl")?;
            Attached::Reference(programs)
        }
        kind => {
            let mut programs = Programs::load(None, 1024)?;
            programs.watch(Watched {
                number: FULL,
                device: 0,
                arguments: 0,
                hook: HOOK_SYSCALL,
            })?;
            programs.attach(kind)?;
            Attached::Ours(programs)
        }
    })
}

/// The reference's object, compiled anew.
fn reference() -> Result<Vec<u8>> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/reference/ioctl_reference.bpf.c");
    let folder = tempfile::tempdir()?;
    let object = folder.path().join("reference.o");
    let status = Command::new("clang")
        .args(["-O2", "-g", "-target", "bpf", "-c", source, "-o"])
        .arg(&object)
        .status()
        .context("clang is missing: apt-get install clang libbpf-dev")?;
    ensure!(
        status.success(),
        "the reference does not build; it needs libbpf's headers (libbpf-dev)"
    );
    Ok(std::fs::read(object)?)
}

fn getppid() -> i32 {
    std::os::unix::process::parent_id() as i32
}

fn per_call(call: &dyn Fn() -> i32) -> f64 {
    let before = own_time();
    for _ in 0..CALLS {
        std::hint::black_box(call());
    }
    (own_time() - before) * 1e9 / f64::from(CALLS)
}

/// CPU time of this thread in seconds.
fn own_time() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
