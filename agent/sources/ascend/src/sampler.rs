//! The sampler: when the tool is asked, and what becomes of its answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::metrics::Counter;

use super::child::{Child, ChildError, Finished};
use super::identity::Node;
use super::npu_smi::{self, Cause, ParseError, Process, Skipped, Table, ToolError};
use super::points::{Points, point};
use super::settings::Settings;
use super::tool::{self, Tool};
use super::{admin, explain};
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::{accel, agent, ascend, hw};
use accelscope_core::metric::{Attributes, Batch, Instrument, Moment, Part, Timestamp, key};
use accelscope_core::sampler::{Descriptor, Outcome};
use accelscope_core::telemetry;

pub(super) const NAME: &str = "ascend";

/// Readings that are older than so many periods are no longer shown, nor integrated over.
pub(super) const FRESH: u32 = 6;
/// Most periods between two calls of a tool that is slow.
const SLOWEST: u32 = 8;

static INSTRUMENTS: [&Instrument; 18] = [
    &ascend::DEVICE_INFO,
    &ascend::HEALTH_STATUS,
    &ascend::AICORE_UTILIZATION,
    &ascend::AICPU_UTILIZATION,
    &ascend::NPU_UTILIZATION,
    &ascend::HUGEPAGES_USAGE,
    &ascend::HUGEPAGES_LIMIT,
    &ascend::PROCESS_COUNT,
    &ascend::TOOL_DURATION,
    &ascend::TOOL_LAST_SUCCESS,
    &hw::NPU_UTILIZATION,
    &hw::NPU_MEMORY_USAGE,
    &hw::NPU_MEMORY_LIMIT,
    &hw::POWER,
    &hw::ENERGY,
    &hw::TEMPERATURE,
    &hw::STATUS,
    &accel::PROCESS_MEMORY_USAGE,
];

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(
        "npu-smi ended with {status}{}: {}; {}",
        .code.map_or(String::new(), |code| format!(" (return code {code})")), .cause.meaning(), .cause.remedy()
    )]
    Status {
        status: std::process::ExitStatus,
        code: Option<i32>,
        cause: Cause,
    },
}

/// A table, and when it was read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What the tool told.
    pub table: Arc<Table>,
    /// When.
    pub time: Timestamp,
}

/// The sampler's newest good reading, for those who hand it on in a form of their own.
#[derive(Debug, Clone, Default)]
pub struct Latest(Arc<Mutex<Option<Reading>>>);

impl Latest {
    /// The newest, if there was any.
    pub fn get(&self) -> Option<Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reading: Reading) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }
}

/// The sampler `ascend`.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    roots: HostRoots,
    child: Child,
    points: Points,
    latest: Latest,
    good: Option<Moment>,
    /// Calls in a row that took more than half the period.
    slow: u32,
    not_before: Option<Instant>,
    warned_incomplete: bool,
    count_skipped: Counter<u64>,
}

impl Sampler {
    /// `node_name` becomes part of the chips' ids. Nothing is started before the first run.
    pub fn new(settings: Settings, roots: HostRoots, node_name: String) -> Self {
        let node = Node::new(&roots, node_name);
        Self {
            points: Points::new(node, Processes::new(&roots), settings.period * FRESH * 2),
            child: Child::default(),
            latest: Latest::default(),
            good: None,
            slow: 0,
            not_before: None,
            warned_incomplete: false,
            count_skipped: telemetry::counter(&agent::SAMPLER_SKIPPED),
            settings,
            roots,
        }
    }

    /// A handle to the newest good reading.
    pub fn latest(&self) -> Latest {
        self.latest.clone()
    }

    fn read(&mut self, tool: &Tool, skipped: &mut Skipped) -> Result<Table, ReadError> {
        let until = Instant::now() + self.settings.timeout;
        let mut table = read(&mut self.child, tool, self.settings.timeout)?;
        for npu in cut_short(&table) {
            let left = until.saturating_duration_since(Instant::now());
            match all_processes(&mut self.child, tool, npu, left) {
                // Fewer than the table has: the output was cut short, or some have ended in the second since.
                Ok(all) if all.len() >= table.processes.iter().filter(|process| process.npu == npu).count() => {
                    table.processes.retain(|process| process.npu != npu);
                    table.processes.extend(all);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(npu, %error, "only the first eight processes of each chip are known");
                    *skipped.entry("process_list").or_default() += 1;
                }
            }
        }
        Ok(table)
    }

    /// A tool that answers late is asked less often: each call presses the driver.
    fn note_duration(&mut self, took: Duration) {
        if took <= self.settings.period / 2 {
            if std::mem::take(&mut self.slow) > 0 {
                tracing::info!(seconds = took.as_secs_f64(), "npu-smi answers in time again");
            }
            self.not_before = None;
            return;
        }
        if self.slow == 0 {
            tracing::warn!(
                seconds = took.as_secs_f64(),
                "npu-smi took more than half of ascend.period: it is asked less often until it is faster; set a longer \
                 ascend.period, or let fewer others ask the Ascend driver"
            );
        }
        let periods = 1 << self.slow.min(SLOWEST.ilog2());
        self.slow = self.slow.saturating_add(1);
        self.not_before = Some(Instant::now() + self.settings.period * periods);
    }

    fn hand_on(&mut self, table: Table, mut skipped: Skipped, out: &mut Vec<Batch>) -> Outcome {
        let now = Moment::now();
        for (reason, count) in &table.skipped {
            *skipped.entry(reason).or_default() += count;
        }
        let points = self.points.build(&table, now, &mut skipped);
        for (reason, count) in skipped {
            let labels = [
                telemetry::label(key::AGENT_SAMPLER, NAME),
                telemetry::label(key::AGENT_REASON, reason),
            ];
            self.count_skipped.add(u64::from(count), &labels);
        }
        if table.driver_incomplete && !std::mem::replace(&mut self.warned_incomplete, true) {
            tracing::warn!(
                "npu-smi says that the Ascend driver is not installed completely: install its package again"
            );
        }
        self.good = Some(now);
        out.push(Batch {
            part: Part::whole(NAME),
            points,
        });
        let fault = table.fault.clone();
        let nothing = table.chips.is_empty();
        self.latest.set(Reading {
            table: table.into(),
            time: now.wall,
        });
        match fault {
            Some(fault) => Outcome::Retry(fault.into()),
            None if nothing => Outcome::NothingHere("npu-smi lists no NPU".to_owned()),
            None => Outcome::Sampled,
        }
    }

    /// The last readings stay for a while; then nothing is shown rather than what was true once.
    fn fail(&mut self, error: ReadError, out: &mut Vec<Batch>) -> Outcome {
        let is_fresh = |good: Moment| good.instant.elapsed() < self.settings.period * FRESH;
        if !self.good.is_some_and(is_fresh) {
            out.push(Batch {
                part: Part::whole(NAME),
                points: Vec::new(),
            });
        }
        if let ReadError::Parse(ParseError::Tool(ToolError {
            cause: Cause::NoCard, ..
        })) = error
        {
            return Outcome::NothingHere("npu-smi says that there is no NPU card".to_owned());
        }
        Outcome::Retry(error.into())
    }

    fn tell_duration(&self, took: Duration, out: &mut Vec<Batch>) {
        let now = Timestamp::now();
        let none = Arc::new(Attributes::empty());
        let mut points = vec![point(&ascend::TOOL_DURATION, none.clone(), took.as_secs_f64(), now)];
        points.extend(self.good.map(|good| {
            let seconds = good.wall.unix_nanos() as f64 / 1e9;
            point(&ascend::TOOL_LAST_SUCCESS, none, seconds, now)
        }));
        out.push(Batch {
            part: Part {
                sampler: NAME,
                name: "npu-smi".into(),
            },
            points,
        });
    }
}

impl accelscope_core::sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.settings.period,
            deadline: self.settings.timeout + Duration::from_secs(2),
            instruments: &INSTRUMENTS,
        }
    }

    fn wait(&mut self, until: Instant) {
        let until = self.not_before.map_or(until, |not_before| until.max(not_before));
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let Some(tool) = tool::find(&self.roots, &self.settings) else {
            return Outcome::NothingHere(tool::absence(&self.roots));
        };
        if let Some(why) = admin::missing().filter(|_| self.settings.require_admin) {
            return Outcome::Gone(explain::not_permitted(&why));
        }
        let mut skipped = Skipped::new();
        let started = Instant::now();
        let read = self.read(&tool, &mut skipped);
        let took = started.elapsed();
        self.note_duration(took);
        let outcome = match read {
            Ok(table) => self.hand_on(table, skipped, out),
            Err(error) => self.fail(error, out),
        };
        self.tell_duration(took, out);
        outcome
    }
}

/// One table. An error that the tool told in words says more than its exit status.
pub(super) fn read(child: &mut Child, tool: &Tool, timeout: Duration) -> Result<Table, ReadError> {
    let finished = call(child, tool, &["info"], timeout)?;
    match npu_smi::parse(&finished.stdout) {
        Ok(mut table) => {
            if !finished.status.success() && table.fault.is_none() {
                let error = status(&finished);
                table.fault = Some(ToolError {
                    cause: error.1,
                    code: error.0,
                    line: finished.status.to_string(),
                });
            }
            Ok(table)
        }
        Err(ParseError::NoTable { .. }) if !finished.status.success() => {
            let (code, cause) = status(&finished);
            Err(ReadError::Status {
                status: finished.status,
                code,
                cause,
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn status(finished: &Finished) -> (Option<i32>, Cause) {
    let code = finished.status.code().and_then(npu_smi::code_of_exit);
    (code, code.map_or(Cause::Other, Cause::of_code))
}

fn all_processes(child: &mut Child, tool: &Tool, npu: u32, timeout: Duration) -> Result<Vec<Process>, ReadError> {
    let arguments = ["info", "-t", "proc-mem", "-i", &npu.to_string()];
    let finished = call(child, tool, &arguments, timeout)?;
    Ok(npu_smi::processes(&finished.stdout, npu)?)
}

fn call(child: &mut Child, tool: &Tool, arguments: &[&str], timeout: Duration) -> Result<Finished, ChildError> {
    child.run(&tool.path, arguments, &[("LD_LIBRARY_PATH", &tool.libraries)], timeout)
}

/// The NPUs of which some chip has as many processes as the tool prints at most: there may be more.
fn cut_short(table: &Table) -> Vec<u32> {
    let mut counts = std::collections::BTreeMap::<(u32, u32), usize>::new();
    for process in &table.processes {
        *counts.entry((process.npu, process.chip)).or_default() += 1;
    }
    let full = counts.into_iter().filter(|(_, count)| *count >= Table::MOST_PROCESSES);
    let mut npus: Vec<u32> = full.map(|((npu, _), _)| npu).collect();
    npus.dedup();
    npus
}
