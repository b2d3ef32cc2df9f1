//! Cost of parsing one table of `npu-smi`, and of one sample including the tool's process.
//!
//! The tool is this program itself, called with `npu-smi`: the real tool takes at least as long.

#![expect(
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a benchmark prints its counts, and cannot run without its tool"
)]

use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use std::time::Duration;

use accelscope_ascend::{Sampler, Settings, npu_smi};
use accelscope_core::host::HostRoots;
use accelscope_core::sampler::Sampler as _;
use criterion::{BenchmarkId, Criterion, Throughput};
use fake_npu_smi::{Family, Options, main as play, table};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("npu-smi") {
        return play(std::env::args_os().skip(2)).into();
    }
    let mut criterion = Criterion::default().configure_from_args();
    parse(&mut criterion);
    sample(&mut criterion);
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// Number of samples for the CPU time, which the kernel counts in ticks of 10 ms.
const RUNS: u32 = 200;

/// Eight cards of two chips with four processes each; and the maximum that the tool's table can show.
fn options() -> [(&'static str, Options); 3] {
    let of = |family, cards, processes: u32| Options {
        family,
        cards,
        pids: (4_000_000..4_000_000 + processes).collect(),
        ..Options::default()
    };
    [
        ("16 chips, no process", of(Family::A3, 8, 0)),
        ("16 chips, 64 processes", of(Family::A3, 8, 64)),
        ("128 chips, 1024 processes", of(Family::A3V26, 64, 1024)),
    ]
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("npu_smi/parse");
    for (name, options) in options() {
        let text = table(&options, 7);
        let used = allocation_counter::measure(|| drop(black_box(npu_smi::parse(black_box(&text)))));
        let (count, most) = (used.count_total, used.bytes_max);
        eprintln!(
            "{name}: {} bytes of text, {count} allocations, at most {most} bytes at once",
            text.len()
        );
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), text.as_str(), |bencher, text| {
            bencher.iter(|| npu_smi::parse(black_box(text)));
        });
    }
    group.finish();
}

fn sample(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let tool = directory.path().join("npu-smi");
    let own = std::env::current_exe().expect("a program knows its path");
    let pids: Vec<String> = (4_000_000..4_000_064_u32).map(|pid| pid.to_string()).collect();
    let flags = format!("--family a3 --cards 8 --pids {}", pids.join(","));
    let script = format!("#!/bin/sh\nexec {} npu-smi {flags} \"$@\"\n", own.display());
    std::fs::write(&tool, script).expect("a file can be written");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    let settings = Settings {
        npu_smi: Some(tool),
        require_admin: false,
        timeout: Duration::from_secs(60),
        ..Settings::default()
    };
    let mut sampler = Sampler::new(settings, HostRoots::new("/"), "node".to_owned());
    let mut run = || {
        let mut batches = Vec::new();
        sampler.sample(&mut batches);
        batches
    };
    let before = cpu_seconds();
    for _ in 0..RUNS {
        black_box(run());
    }
    let [own, children] = [0, 1].map(|which| (cpu_seconds()[which] - before[which]) * 1e3 / f64::from(RUNS));
    eprintln!("a sample of 16 chips, 64 processes: {own:.2} ms of CPU in the agent, {children:.2} ms in the tool");
    criterion.bench_function("npu_smi/sample with its child", |bencher| bencher.iter(&mut run));
}

/// CPU time of this process and of its children that have ended: fields 14 to 17 of `/proc/self/stat`, in ticks.
fn cpu_seconds() -> [f64; 2] {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
    let ticks: Vec<f64> = fields.take(4).filter_map(|field| field.parse().ok()).collect();
    let seconds = |pair: &[f64]| pair.iter().sum::<f64>() / 100.0;
    ticks
        .chunks(2)
        .map(seconds)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap_or_default()
}
