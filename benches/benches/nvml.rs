//! Cost of one full sample of 8 GPUs with 16 processes each: CPU time and allocations in the agent, CPU time and memory
//! of the worker. Compared with a program that is started for each sample, loads the same library and reads the same
//! values, which is a lower bound for executing `nvidia-smi` once per sample.
//!
//! The worker is this program itself, called with `worker nvidia`. The library is the tests' fake, which examines its
//! state file in every call: most of the worker's time is the fake's.
#![expect(
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a benchmark says what it counted, and cannot go on without its library"
)]

use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::metric::Batch;
use accelscope_core::sampler::{Outcome, Sampler as _};
use accelscope_core::worker::WorkerSampler;
use accelscope_nvidia::{Launch, Settings, sampler, serve};
use criterion::Criterion;
use serde_json::{Value, json};

const GPUS: u64 = 8;
const PROCESSES: u64 = 16;
/// Number of samples for the CPU time, which the kernel counts in ticks of 10 ms.
const RUNS: u32 = 200;
/// Number of programs started for the comparison.
const STARTS: u32 = 50;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("worker") {
        return serve().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let mut criterion = Criterion::default().configure_from_args();
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let library = folder.path().join("libnvidia-ml.so.1");
    let own = std::env::current_exe().expect("a program knows its path");
    let built = own.with_file_name("libfake_nvml.so");
    std::fs::copy(built, &library).expect("Cargo built the fake library beside this program");
    std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    std::fs::write(folder.path().join("libnvidia-ml.so.1.json"), state().to_string()).expect("a file can be written");

    let mut resident = worker(&library);
    let points = run(&mut resident);
    let mut allocations = 0;
    for _ in 0..2 {
        allocations = allocation_counter::measure(|| {
            black_box(run(&mut resident));
        })
        .count_total;
    }
    let pid = child().expect("the worker runs");
    let before = (cpu(std::process::id()), cpu(pid), Instant::now());
    for _ in 0..RUNS {
        black_box(run(&mut resident));
    }
    let each = |seconds: f64| seconds * 1e3 / f64::from(RUNS);
    let (agent, in_worker) = (each(cpu(std::process::id()) - before.0), each(cpu(pid) - before.1));
    let wall = each(before.2.elapsed().as_secs_f64());
    eprintln!(
        "{GPUS} GPUs, {PROCESSES} processes each, {points} points: {agent:.2} ms of CPU and {allocations} allocations in the \
         agent, {in_worker:.2} ms of CPU in the worker, {wall:.2} ms in all; worker {:.1} MiB resident, of it {:.1} MiB its \
         own",
        memory(pid, "Rss:"),
        memory(pid, "Private_Dirty:"),
    );

    let before = children();
    let started = Instant::now();
    for _ in 0..STARTS {
        let mut once = worker(&library);
        black_box(run(&mut once));
    }
    let each = |seconds: f64| seconds * 1e3 / f64::from(STARTS);
    let (cpu, wall_once) = (each(children() - before), each(started.elapsed().as_secs_f64()));
    eprintln!(
        "the same by a program started for each sample: {cpu:.2} ms of CPU in it, {wall_once:.2} ms in all: {:.1} times the \
         CPU, {:.1} times the time",
        cpu / in_worker,
        wall_once / wall
    );
    criterion.bench_function("nvml/8 gpus, 128 processes", |bencher| {
        bencher.iter(|| run(&mut resident));
    });
    criterion.final_summary();
    ExitCode::SUCCESS
}

fn worker(library: &Path) -> WorkerSampler {
    let settings = Settings {
        library: Some(library.to_owned()),
        ..Settings::default()
    };
    let launch = Launch {
        patience: Duration::from_secs(60),
        ..Launch::new(&settings, &HostRoots::new("/"), "node").expect("a program knows its path")
    };
    sampler(launch).expect("the order can be written")
}

/// Number of points.
fn run(worker: &mut WorkerSampler) -> usize {
    let mut batches: Vec<Batch> = Vec::new();
    let outcome = worker.sample(&mut batches);
    assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
    batches.iter().map(|batch| batch.points.len()).sum()
}

/// Data-centre GPUs with all values that the fake supports; one of the processes is this one, the others do not exist.
fn state() -> Value {
    let pids: Vec<u64> = std::iter::once(u64::from(std::process::id()))
        .chain(4_000_000..)
        .take(PROCESSES as usize)
        .collect();
    let gpu = |index: u64| {
        let compute: Vec<Value> = pids.iter().map(|pid| json!({"pid": pid, "memory": 1 << 30})).collect();
        let busy: Vec<Value> = pids
            .iter()
            .map(|pid| json!({"pid": pid, "time": 1, "sm": 5, "memory": 1, "encoder": 0, "decoder": 0}))
            .collect();
        json!({
            "values": values(index),
            "fields": {
                "82": {"type": 1, "value": 60}, "138": {"type": 3, "value": 1000}, "139": {"type": 3, "value": 2000},
                "165": {"type": 1, "value": 1}, "161": {"type": 3, "value": 0}, "162": {"type": 3, "value": 0},
                "163": {"type": 3, "value": 0}, "197": {"type": 3, "value": 5}, "198": {"type": 3, "value": 5},
            },
            "compute": compute, "graphics": [], "mps": [], "utilization": busy,
            "samples": {"1": [], "2": []},
            "gpm": {"supported": 0, "metrics": {}, "instances": {}},
            "mig": {"mode": 0, "slots": []},
        })
    };
    json!({
        "generation": 1,
        "values": {
            "nvmlSystemGetDriverVersion": "580.95.05", "nvmlSystemGetNVMLVersion": "13.580.95.05",
            "nvmlSystemGetCudaDriverVersion": 13000,
        },
        "events": [],
        "devices": (0..GPUS).map(gpu).collect::<Vec<_>>(),
    })
}

fn values(index: u64) -> Value {
    let clocks = json!({"0": 1755, "1": 1755, "2": 2619, "3": 1395});
    let mut all = serde_json::Map::new();
    for (name, value) in [
        ("Name", json!("NVIDIA H100 80GB HBM3")),
        ("UUID", json!(format!("GPU-00000000-0000-0000-0000-{index:012}"))),
        ("Serial", json!(format!("165082400{index:04}"))),
        ("VbiosVersion", json!("96.00.99.00.01")),
        ("PciInfo", json!(format!("00000000:{:02X}:00.0", 0x10 + index))),
        ("MinorNumber", json!(index)),
        ("Architecture", json!(9)),
        ("UtilizationRates", json!([40, 20])),
        ("EncoderUtilization", json!([3, 167_000])),
        ("DecoderUtilization", json!([4, 167_000])),
        ("JpgUtilization", json!([5, 167_000])),
        ("OfaUtilization", json!([6, 167_000])),
        (
            "MemoryInfo",
            json!([80_u64 << 30, 60_u64 << 30, 19_u64 << 30, 1_u64 << 30]),
        ),
        ("PowerUsage", json!(250_000)),
        ("PowerManagementLimit", json!(700_000)),
        ("PowerManagementDefaultLimit", json!(700_000)),
        ("EnforcedPowerLimit", json!(700_000)),
        ("TotalEnergyConsumption", json!(123_456_789)),
        ("Temperature", json!({"0": 45})),
        ("TemperatureThreshold", json!({"0": 92, "1": 89, "2": 95, "3": 87})),
        ("ClockInfo", clocks.clone()),
        ("MaxClockInfo", clocks),
        ("CurrentClocksEventReasons", json!(4)),
        ("SupportedClocksEventReasons", json!(0x1ff)),
        ("PerformanceState", json!(0)),
        ("CurrPcieLinkGeneration", json!(5)),
        ("MaxPcieLinkGeneration", json!(5)),
        ("CurrPcieLinkWidth", json!(16)),
        ("MaxPcieLinkWidth", json!(16)),
        ("PcieReplayCounter", json!(7)),
        ("EccMode", json!([1, 1])),
        ("TotalEccErrors", json!({"0,0": 11, "0,1": 13, "1,0": 12, "1,1": 14})),
        ("RemappedRows", json!([1, 2, 0, 0])),
    ] {
        all.insert(format!("nvmlDeviceGet{name}"), value);
    }
    Value::Object(all)
}

/// The only child of this process.
fn child() -> Option<u32> {
    let pid = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Ticks of fields 14 and 15, or 16 and 17, of a process's `stat`, in seconds.
fn ticks(pid: u32, skip: usize) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(skip);
    let ticks: f64 = fields.take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn cpu(pid: u32) -> f64 {
    ticks(pid, 11)
}

/// CPU time of this process's children that have ended.
fn children() -> f64 {
    ticks(std::process::id(), 13)
}

/// Memory in MiB.
fn memory(pid: u32, field: &str) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
