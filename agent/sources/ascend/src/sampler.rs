//! Sampler that calls `npu-smi`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::npu_smi::{COLUMNS, Cause, Skipped, Table};
use super::points::Points;
use super::reader::{ReadError, Reader};
use super::settings::{MAX_AGE_PERIODS, NAME, Settings};
use super::{admin, tool};
use crate::catalogue as ascend;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Attributes, Batch, Moment, Point, Timestamp};
use accelscope_core::sampler::{Descriptor, Outcome};
use accelscope_core::telemetry::ReasonCounter;

/// Reasons for a reading without a point, beside those of the columns.
const REASONS: &[&str] = &[
    "card_without_chip",
    "chip_twice",
    "process_list",
    "process_not_found",
    "process_row",
    "row",
    "table_twice",
    "utilization_zero",
];

/// Most periods between two calls of a slow tool.
const MAX_PAUSE_PERIODS: u32 = 8;
/// Most durations of its call after which a slow tool is called again: it then runs a fifth of the time.
const MAX_PAUSE_CALLS: u32 = 4;

/// The sampler `ascend`.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    roots: HostRoots,
    reader: Reader,
    points: Points,
    last_success: Option<Moment>,
    /// Number of consecutive calls that took more than half the period.
    slow_calls: u32,
    not_before: Option<Instant>,
    warned_incomplete: bool,
    /// Whether the counters of rare events have begun, which they do when there is a chip.
    counts: bool,
    count_skipped: ReasonCounter,
}

impl Sampler {
    /// `node_name` becomes part of the chips' ids. The tool is first called by the first run.
    pub fn new(settings: Settings, roots: HostRoots, node_name: String) -> Self {
        Self {
            points: Points::new(&roots, node_name, settings.period * MAX_AGE_PERIODS * 2),
            reader: Reader::default(),
            last_success: None,
            slow_calls: 0,
            not_before: None,
            warned_incomplete: false,
            counts: false,
            count_skipped: ReasonCounter::new(&agent::SAMPLER_SKIPPED, NAME),
            settings,
            roots,
        }
    }

    /// With the agent's own program as the supervisor of the tool: nothing of a call then outlives it, nor the agent. Without
    /// one, what leaves the tool's process group does.
    #[must_use]
    pub fn supervised_by(mut self, program: PathBuf) -> Self {
        self.reader = Reader::supervised_by(program);
        self
    }

    /// Calls a slow tool less often, because each call adds load to the driver.
    fn note_duration(&mut self, took: Duration) {
        if took <= self.settings.period / 2 {
            if std::mem::take(&mut self.slow_calls) > 0 {
                tracing::info!(seconds = took.as_secs_f64(), "npu-smi answers in time again");
            }
            self.not_before = None;
            return;
        }
        let period = self.settings.period;
        if self.slow_calls == 0 {
            tracing::warn!(
                seconds = took.as_secs_f64(),
                period = period.as_secs_f64(),
                "npu-smi took more than half of ascend.period: it is asked less often until it is faster; set a longer \
                 ascend.period, or let fewer others ask the Ascend driver"
            );
        }
        let periods = 1 << self.slow_calls.min(MAX_PAUSE_PERIODS.ilog2());
        self.slow_calls = self.slow_calls.saturating_add(1);
        let pause = (period * periods).min(took * MAX_PAUSE_CALLS).max(period);
        self.not_before = Some(Instant::now() + pause);
    }

    fn publish(&mut self, table: Table, mut skipped: Skipped, out: &mut Vec<Batch>) -> Outcome {
        let now = Moment::now();
        for (reason, count) in &table.skipped {
            *skipped.entry(reason).or_default() += count;
        }
        let points = self.points.build(&table, now, &mut skipped);
        if !table.chips.is_empty() && !std::mem::replace(&mut self.counts, true) {
            self.count_skipped.begin(REASONS.iter().chain(COLUMNS).copied());
        }
        for (reason, count) in skipped {
            self.count_skipped.add(count.into(), reason);
        }
        if table.driver_incomplete && !std::mem::replace(&mut self.warned_incomplete, true) {
            tracing::warn!(
                "npu-smi reports that the Ascend driver is not installed completely: install its package again"
            );
        }
        self.last_success = Some(now);
        out.push(Batch::whole(NAME, points));
        match table.error {
            Some(error) => Outcome::Retry(error.into()),
            None if table.chips.is_empty() => Outcome::NothingHere("npu-smi lists no NPU".to_owned()),
            None => Outcome::Sampled,
        }
    }

    /// Keeps the last points for a while, then withdraws them because they are outdated.
    fn fail(&mut self, error: ReadError, out: &mut Vec<Batch>) -> Outcome {
        let is_fresh = |last: Moment| last.instant.elapsed() < self.settings.period * MAX_AGE_PERIODS;
        if !self.last_success.is_some_and(is_fresh) {
            out.push(Batch::whole(NAME, Vec::new()));
        }
        if error.tool().is_some_and(|error| error.cause == Cause::NoCard) {
            return Outcome::NothingHere("npu-smi reports that there is no NPU card".to_owned());
        }
        Outcome::Retry(error.into())
    }

    fn push_duration(&self, took: Duration, out: &mut Vec<Batch>) {
        let now = Timestamp::now();
        let none = Arc::new(Attributes::empty());
        let mut points = vec![Point::new(
            &ascend::TOOL_DURATION,
            none.clone(),
            took.as_secs_f64(),
            now,
        )];
        points.extend(self.last_success.map(|last| {
            let seconds = last.wall.unix_nanos() as f64 / 1e9;
            Point::new(&ascend::TOOL_LAST_SUCCESS, none, seconds, now)
        }));
        out.push(Batch::new(NAME, "npu-smi", points));
    }
}

impl accelscope_core::sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.settings.period,
            deadline: self.settings.timeout + Duration::from_secs(2),
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
            return Outcome::Gone(admin::not_permitted(&why));
        }
        let mut skipped = Skipped::new();
        let started = Instant::now();
        let read = self
            .reader
            .read(&tool, &self.roots, self.settings.timeout, &mut skipped);
        let took = started.elapsed();
        self.note_duration(took);
        let outcome = match read {
            Ok(table) => self.publish(table, skipped, out),
            Err(error) => self.fail(error, out),
        };
        self.push_duration(took, out);
        outcome
    }
}
