//! The agent's log: rate-limited lines on standard error, and OTLP where OpenTelemetry's variables ask for it.

use std::fmt::Write as _;
use std::io;
use std::sync::OnceLock;

use serde_json::Value;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::log_limit::CallsiteLimit;
use super::own_logs::OwnLogs;
use crate::config::{Log, LogFormat, LogLevel};
use crate::standard_error::Lines;
use accelscope_core::exhausted;
use accelscope_core::printable::Printable;
use accelscope_core::settings::Textual;

/// The level of the log, which may change while the agent runs.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Sets the least severity that is written, if there is a log.
pub(super) fn set_level(level: LogLevel) {
    if let Some(handle) = LEVEL.get() {
        handle.reload(filter(level)).ok();
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    // `tracing` has the same names.
    level.show().parse().unwrap_or(LevelFilter::INFO)
}

/// Installs the subscriber and the panic hook; logs go to OTLP too if `exported` is given. A second call changes
/// nothing: tests may have a subscriber of their own.
pub fn start(log: &Log, exported: Option<&OwnLogs>) {
    let (level, handle) = reload::Layer::new(filter(log.level));
    LEVEL.set(handle).ok();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines::default)
        // They would be written to standard error whether it is read or not.
        .log_internal_errors(false);
    let lines = match log.format {
        LogFormat::Text => {
            let colours = rustix::termios::isatty(std::io::stderr());
            lines
                .fmt_fields(PrintableFields)
                .with_ansi(colours)
                .with_target(false)
                .with_filter(CallsiteLimit::default())
                .boxed()
        }
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_writer(Objects::default)
            .with_filter(CallsiteLimit::default())
            .boxed(),
    };
    let exported = exported.map(OwnLogs::layer);
    tracing_subscriber::registry()
        .with(level)
        .with(lines)
        .with(exported)
        .try_init()
        .ok();
    // A panic is logged like any other event: in the configured format and rate-limited.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("unknown");
        tracing::error!(place, what, "a fault of the agent; please report it");
    }));
}

/// Lines that are objects of JSON; what helps against exhaustion is a field of its own.
#[derive(Debug, Default)]
struct Objects(Lines);

impl io::Write for Objects {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match completed(line) {
            Some(more) => io::Write::write_all(&mut self.0, &more)?,
            None => io::Write::write_all(&mut self.0, line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut self.0)
    }
}

/// The line with its remedy; nothing where it has one or needs none.
fn completed(line: &[u8]) -> Option<Vec<u8>> {
    let remedy = exhausted::remedy(str::from_utf8(line).ok()?)?;
    let mut object: serde_json::Map<String, Value> = serde_json::from_slice(line).ok()?;
    if object.contains_key("remedy") {
        return None;
    }
    object.insert("remedy".to_owned(), remedy.into());
    let mut line = serde_json::to_vec(&object).ok()?;
    line.push(b'\n');
    Some(line)
}

/// The message and the fields of an event in one printable line. Whatever a call site logs passes through here, so that
/// nothing of it is a line of its own or a command for a terminal, and what helps stands beside every error of exhaustion.
struct PrintableFields;

impl<'writer> FormatFields<'writer> for PrintableFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> std::fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        Printable(writer).write_str(&exhausted::with_remedy(text))
    }
}
