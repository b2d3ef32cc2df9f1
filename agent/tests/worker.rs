//! Isolation of vendor code that hangs, crashes, floods or returns wrong values.
//!
//! This program is its own worker: called with `act BEHAVIOUR` it acts as the vendor's code.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::unnecessary_wraps,
    clippy::zombie_processes,
    clippy::large_stack_arrays,
    reason = "a test program, part of which plays a badly written one"
)]

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accelscope_core::budget::Budget;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Batch, Instrument, Part, Point, Resource, Timestamp, Value};
use accelscope_core::sampler::{Descriptor, Outcome, Sampler};
use accelscope_core::telemetry::{Build, OwnMetrics};
use accelscope_core::worker::{Reply, WireOutcome, WirePart, WirePoint, Worker, WorkerError, WorkerSampler, serve};
use accelscope_hailo::catalogue as hailo;
use accelscope_pipeline::attribution::{Attribution, Settings};
use accelscope_pipeline::energy::Energy;
use accelscope_pipeline::{Limits, SeriesRegistry, Started};
use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn() -> Result<(), Failed>;

/// Deadline of a worker that will miss it.
const DEADLINE: Duration = Duration::from_millis(500);
/// Deadline of one that will not, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the samplers' workers may send.
static MAY_EMIT: &[&[&Instrument]] = &[&[&hw::NPU_UTILIZATION, &hailo::NETWORK_FRAMES]];
/// Name of the variable with a worker's configuration.
const CONFIG: &str = "ACCELSCOPE_WORKER_CONFIG";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, act, behaviour] = arguments.as_slice()
        && act == "act"
    {
        return play(behaviour);
    }
    let tests: Vec<(&str, Test)> = vec![
        ("an_honest_worker_answers_again_and_again", honest),
        ("a_worker_that_hangs_is_killed_at_its_deadline", hangs),
        ("a_worker_that_crashes_is_reported_with_its_last_words", crashes),
        ("a_worker_that_floods_costs_no_memory", floods),
        ("a_worker_that_complains_without_end_still_answers", complains),
        ("a_worker_that_answers_another_request_is_killed", answers_another),
        ("what_a_worker_may_not_say_is_refused_and_the_rest_believed", lies),
        ("a_device_that_a_worker_no_longer_names_ends", forgets),
        ("a_worker_takes_the_daemons_that_it_has_made_along", daemons),
        ("a_worker_has_no_variable_of_the_agents", environment),
        ("a_killed_worker_takes_its_descendants_along", descendants),
        ("a_hanging_worker_costs_no_other_sampler_its_period", neighbours),
        ("a_worker_that_failed_is_not_started_again_at_once", backs_off),
        (
            "a_worker_that_asks_for_it_is_replaced_at_once_with_its_configuration",
            renews,
        ),
    ];
    let trials = tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn play(behaviour: &str) {
    match behaviour {
        "honest" => answer(|id| reply(id, vec![point(hw::NPU_UTILIZATION.name, Value::Double(0.5))])),
        "hang" => std::thread::sleep(Duration::from_secs(3600)),
        "renew" => answer(|id| {
            let config = std::env::var(CONFIG).unwrap();
            Reply {
                reason: format!("{config} {}", std::process::id()),
                renewal: (config == "first").then(|| "second".to_owned()),
                ..reply(id, vec![])
            }
        }),
        "crash" => {
            eprintln!("driver/library version mismatch");
            std::process::abort();
        }
        "flood" => flood(),
        "complain" => answer(|id| {
            for _ in 0..20_000 {
                eprintln!("a warning that nobody asked for, again and again");
            }
            reply(id, vec![])
        }),
        "other" => answer(|id| reply(id + 1, vec![])),
        "lie" => answer(|id| {
            let foreign = |name: &str, value: &str| {
                let attributes = serde_json::value::to_raw_value(&serde_json::json!({ name: value })).unwrap();
                WirePoint {
                    attributes: Some(Cow::Owned(attributes)),
                    ..point(hw::NPU_UTILIZATION.name, Value::Double(0.25))
                }
            };
            let mut future = point(hw::NPU_UTILIZATION.name, Value::Double(0.75));
            future.time = Timestamp::from_unix_nanos(u64::MAX);
            reply(
                id,
                vec![
                    foreign("hw.id", "true one"),
                    foreign("invented", "x"),
                    point("agent.build.info", Value::Int(1)),
                    point("no.such.thing", Value::Int(1)),
                    point(hailo::NETWORK_FRAMES.name, Value::Int(1)),
                    future,
                ],
            )
        }),
        "forget" => answer(|id| {
            let mut reply = reply(id, vec![point(hw::NPU_UTILIZATION.name, Value::Double(0.5))]);
            if id == 1 {
                reply.parts.push(WirePart {
                    name: "gpu1".into(),
                    ..reply.parts[0].clone()
                });
            }
            reply
        }),
        "daemon" => answer(|id| {
            // Forks twice, in a session of its own.
            let script = "(setsid sh -c 'sleep 3600 & echo $!')";
            let mut command = Command::new("sh");
            command.args(["-c", script]).stderr(Stdio::null()).stdin(Stdio::null());
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut pid = String::new();
            BufReader::new(child.stdout.take().unwrap())
                .read_line(&mut pid)
                .unwrap();
            Reply {
                reason: format!("{} {}", pid.trim(), std::env::vars_os().count()),
                ..reply(id, vec![])
            }
        }),
        "descend" => answer(|id| {
            if id > 1 {
                std::thread::sleep(Duration::from_secs(3600));
            }
            let child = Command::new("sleep").arg("3600").spawn().unwrap();
            Reply {
                reason: child.id().to_string(),
                ..reply(id, vec![])
            }
        }),
        other => panic!("no such part: {other}"),
    }
}

fn answer(sample: impl FnMut(u64) -> Reply<'static>) {
    serve(sample).unwrap();
}

/// Announces four gigabytes and begins to send them.
fn flood() {
    let mut request = [0; 4];
    std::io::stdin().read_exact(&mut request).unwrap();
    let mut output = std::io::stdout();
    output.write_all(&u32::MAX.to_le_bytes()).unwrap();
    while output.write_all(&[b'x'; 1 << 16]).is_ok() {}
}

fn reply(id: u64, points: Vec<WirePoint<'static>>) -> Reply<'static> {
    let parts = vec![WirePart {
        name: "gpu0".into(),
        points,
    }];
    Reply {
        id,
        outcome: WireOutcome::Sampled,
        reason: String::new(),
        parts,
        skipped: [].into(),
        renewal: None,
        renewal_reason: None,
        successor: None,
    }
}

fn point(name: &'static str, value: Value) -> WirePoint<'static> {
    WirePoint {
        name: name.into(),
        attributes: None,
        owner: None,
        time: Timestamp::from_unix_nanos(1),
        start: None,
        value,
    }
}

fn command(behaviour: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["act", behaviour]);
    command
}

fn worker(behaviour: &str) -> Worker {
    Worker::new(command(behaviour))
}

fn honest() -> Result<(), Failed> {
    let mut worker = worker("honest");
    for _ in 0..3 {
        let value = worker.request(PATIENCE, |reply| reply.parts[0].points[0].value.clone())?;
        assert_eq!(value, Value::Double(0.5));
    }
    assert!(worker.age().is_some() && worker.stuck().is_none());
    Ok(())
}

fn hangs() -> Result<(), Failed> {
    let mut worker = worker("hang");
    let asked = Instant::now();
    let error = worker.request(DEADLINE, |_| ()).unwrap_err();
    assert!(matches!(error, WorkerError::Deadline(_)), "{error}");
    // Its worker sleeps for an hour.
    assert!(asked.elapsed() >= DEADLINE && asked.elapsed() < PATIENCE);
    assert_eq!(worker.age(), None, "the hanging worker is still in use");
    Ok(())
}

fn crashes() -> Result<(), Failed> {
    let error = worker("crash").request(PATIENCE, |_| ()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, WorkerError::Exited { .. }), "{text}");
    assert!(
        text.contains("SIGABRT") && text.contains("driver/library version mismatch"),
        "{text}"
    );
    Ok(())
}

fn floods() -> Result<(), Failed> {
    let error = worker("flood").request(PATIENCE, |_| ()).unwrap_err();
    assert!(matches!(error, WorkerError::Protocol(_)), "{error}");
    Ok(())
}

fn complains() -> Result<(), Failed> {
    let mut worker = worker("complain");
    assert_eq!(worker.request(PATIENCE, |reply| reply.outcome)?, WireOutcome::Sampled);
    assert_eq!(worker.request(PATIENCE, |reply| reply.outcome)?, WireOutcome::Sampled);
    Ok(())
}

fn answers_another() -> Result<(), Failed> {
    let error = worker("other").request(PATIENCE, |_| ()).unwrap_err();
    assert!(
        error.to_string().contains("an answer to request 2 while 1 was asked"),
        "{error}"
    );
    Ok(())
}

fn lies() -> Result<(), Failed> {
    let descriptor = Descriptor {
        name: "test",
        period: Duration::from_secs(1),
        deadline: PATIENCE,
    };
    let mut sampler = WorkerSampler::new(descriptor, MAY_EMIT, &[], worker("lie"));
    let mut batches: Vec<Batch> = Vec::new();
    assert!(matches!(sampler.sample(&mut batches), Outcome::Sampled));
    let [batch] = batches.as_slice() else {
        panic!("{batches:?}")
    };
    let values: Vec<_> = batch.points.iter().map(|point| point.value.clone()).collect();
    assert_eq!(values, [Value::Double(0.25), Value::Double(0.75)]);
    let now = accelscope_core::metric::Timestamp::now();
    assert!(
        batch.points.iter().all(|point| point.time <= now),
        "a reading from the future"
    );
    Ok(())
}

fn forgets() -> Result<(), Failed> {
    let descriptor = Descriptor {
        name: "test",
        period: PATIENCE,
        deadline: PATIENCE,
    };
    let mut sampler = WorkerSampler::new(descriptor, MAY_EMIT, &[], worker("forget"));
    let mut parts = || {
        let mut batches: Vec<Batch> = Vec::new();
        assert!(matches!(sampler.sample(&mut batches), Outcome::Sampled));
        let mut seen: Vec<_> = batches
            .iter()
            .map(|batch| (batch.part.name.to_string(), batch.points.len()))
            .collect();
        seen.sort();
        seen
    };
    assert_eq!(parts(), [("gpu0".to_owned(), 1), ("gpu1".to_owned(), 1)]);
    assert_eq!(parts(), [("gpu0".to_owned(), 1), ("gpu1".to_owned(), 0)]);
    assert_eq!(parts(), [("gpu0".to_owned(), 1)]);
    Ok(())
}

fn descendants() -> Result<(), Failed> {
    let mut worker = worker("descend");
    let child = worker.request(PATIENCE, |reply| reply.reason)?;
    assert!(!has_ended(&child), "{child}");
    let error = worker.request(DEADLINE, |_| ()).unwrap_err();
    assert!(matches!(error, WorkerError::Deadline(_)), "{error}");
    wait_for_end(&child);
    Ok(())
}

/// Whether the process has ended; one that is not waited for has.
fn has_ended(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[track_caller]
fn wait_for_end(pid: &str) {
    let until = Instant::now() + PATIENCE;
    while !has_ended(pid) {
        assert!(Instant::now() < until, "process {pid} has outlived the worker");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Reads at a short period and records the times.
struct Ticker {
    times: Arc<Mutex<Vec<Instant>>>,
}

impl Sampler for Ticker {
    fn descriptor(&self) -> Descriptor {
        let period = Duration::from_millis(20);
        Descriptor {
            name: "ticker",
            period,
            deadline: period,
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        self.times.lock().unwrap().push(Instant::now());
        let point = Point::new(&hw::NPU_UTILIZATION, Attributes::empty(), 0.5, Timestamp::now());
        out.push(Batch {
            part: Part::whole("ticker"),
            points: vec![point],
        });
        Outcome::Sampled
    }
}

fn daemons() -> Result<(), Failed> {
    let mut worker = worker("daemon");
    let reason = worker.request(PATIENCE, |reply| reply.reason)?;
    let pid = reason.split(' ').next().unwrap().to_owned();
    assert!(!has_ended(&pid), "{reason}");
    drop(worker);
    wait_for_end(&pid);
    Ok(())
}

fn environment() -> Result<(), Failed> {
    let mut worker = worker("daemon");
    let reason = worker.request(PATIENCE, |reply| reply.reason)?;
    // PATH, LANG, LC_ALL and the memory that is handed over.
    assert_eq!(reason.split(' ').nth(1), Some("4"), "{reason}");
    Ok(())
}

struct Panics;

impl Sampler for Panics {
    fn descriptor(&self) -> Descriptor {
        let second = Duration::from_secs(1);
        Descriptor {
            name: "panics",
            period: second,
            deadline: second,
        }
    }

    fn sample(&mut self, _: &mut Vec<Batch>) -> Outcome {
        panic!("a fault of the sampler, made for this test");
    }
}

fn renews() -> Result<(), Failed> {
    let mut command = command("renew");
    command.env(CONFIG, "first");
    let mut worker = Worker::new(command);
    let mut said = || worker.request(PATIENCE, |reply| reply.reason).unwrap();
    let (first, second, third) = (said(), said(), said());
    assert!(
        first.starts_with("first ") && second.starts_with("second "),
        "{first}, {second}"
    );
    assert_eq!(second, third, "the replacement stays");
    let gone = first.trim_start_matches("first ");
    let state = std::fs::read_to_string(format!("/proc/{gone}/stat")).unwrap_or_default();
    assert!(
        state.is_empty() || state.contains(") Z "),
        "process {gone} still runs: {state}"
    );
    Ok(())
}

fn neighbours() -> Result<(), Failed> {
    // The sampler's panic message would hide that of a failed test.
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("sampler-panics") {
            others(panic);
        }
    }));
    let hanging = Duration::from_secs(12);
    let descriptor = Descriptor {
        name: "vendor",
        period: Duration::from_secs(600),
        deadline: hanging,
    };
    let times = Arc::new(Mutex::new(Vec::new()));
    let samplers: Vec<Box<dyn Sampler>> = vec![
        Box::new(WorkerSampler::new(descriptor, MAY_EMIT, &[], worker("hang"))),
        Box::new(Panics),
        Box::new(Ticker { times: times.clone() }),
    ];
    let limits = Limits {
        series_per_instrument: 10,
        series: 100,
    };
    let registry = Arc::new(SeriesRegistry::new(
        &Budget::default(),
        OwnMetrics::install(Build::default()),
        Resource::default(),
        limits,
        false,
        None,
    ));
    let attribution = Attribution::new(&HostRoots::new("/"), Settings::default());
    let started = Started::launch(samplers, registry.clone(), attribution, Energy::none())?;
    let until = Instant::now() + PATIENCE;
    // One that is overdue has reported too, but not what.
    while started.statuses.iter().any(|status| status.last().is_none()) {
        assert!(Instant::now() < until, "no report of the sampler whose worker hangs");
        std::thread::sleep(Duration::from_millis(10));
    }
    let times = times.lock().unwrap().clone();
    // A thread that waits for the vendor's answer has one run before it and one after; this one has 600, or fewer on a slow machine.
    assert!(times.len() > 4, "{} runs", times.len());
    let details: Vec<_> = started
        .statuses
        .iter()
        .map(|status| status.last().unwrap().detail)
        .collect();
    assert!(
        details[0].contains("gave no answer within 12.0 s and was killed"),
        "{details:?}"
    );
    assert!(details[1].contains("the sampler panicked"), "{details:?}");
    assert!(
        registry
            .live()
            .iter()
            .any(|series| series.instrument == &hw::NPU_UTILIZATION)
    );
    Ok(())
}

fn backs_off() -> Result<(), Failed> {
    let mut worker = worker("crash");
    worker.request(PATIENCE, |_| ()).unwrap_err();
    let error = worker.request(PATIENCE, |_| ()).unwrap_err();
    assert!(matches!(error, WorkerError::BackingOff(_)), "{error}");
    Ok(())
}
