//! The agent's log: standard error, at most so many lines of one kind; and OTLP where OpenTelemetry's variables ask.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::metrics::Counter;
use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::own_logs::OwnLogs;
use crate::config::{Log, LogFormat, LogLevel};
use accelscope_core::metric::catalogue;
use accelscope_core::telemetry;

/// Lines of one kind that are written in a [`WINDOW`]; what else there is of it is counted.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Starts logging, to OTLP too if `exported` is given. A second call changes nothing: tests may have a subscriber of
/// their own.
pub fn start(log: &Log, exported: Option<&OwnLogs>) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => {
            let colours = rustix::termios::isatty(std::io::stderr());
            lines
                .with_ansi(colours)
                .with_target(false)
                .with_filter(PerCause::default())
                .boxed()
        }
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_filter(PerCause::default())
            .boxed(),
    };
    let exported = exported.map(OwnLogs::layer);
    tracing_subscriber::registry()
        .with(level)
        .with(lines)
        .with(exported)
        .try_init()
        .ok();
    // A fault of the agent's own is a log line like any other: in its format, and not without end.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("unknown");
        tracing::error!(place, what, "a fault of the agent; please report it");
    }));
}

/// Lets each place in the code log a few lines a minute, so that a fault that repeats does not fill the disk.
#[derive(Debug)]
pub(super) struct PerCause<K = Identifier> {
    seen: Mutex<HashMap<K, (Instant, u32)>>,
}

impl<K> Default for PerCause<K> {
    fn default() -> Self {
        Self { seen: Mutex::default() }
    }
}

impl<K: Eq + Hash> PerCause<K> {
    fn admits(&self, cause: K, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = seen.entry(cause).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= LINES
    }
}

impl<S: Subscriber> Filter<S> for PerCause {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &tracing::Event<'_>, _: &Context<'_, S>) -> bool {
        let admitted = self.admits(event.metadata().callsite(), Instant::now());
        if !admitted {
            static SUPPRESSED: OnceLock<Counter<u64>> = OnceLock::new();
            SUPPRESSED
                .get_or_init(|| telemetry::counter(&catalogue::agent::LOG_SUPPRESSED))
                .add(1, &[]);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_repeats_is_logged_ten_times_a_minute() {
        let (filter, start) = (PerCause::default(), Instant::now());
        let admitted = |cause, at| (0..100).filter(|_| filter.admits(cause, at)).count();
        assert_eq!(admitted("refused", start), 10);
        assert_eq!(admitted("timed out", start), 10);
        assert_eq!(admitted("refused", start + WINDOW), 10);
    }
}
