//! `agent --stdout`: no push, no listener, only what is seen.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use rustix::termios::{isatty, tcgetwinsize};

use super::start::Started;
use crate::export::otlp;
use crate::export::prometheus::{self, MetricsSource, Renderer};
use crate::export::stdout::{self, Note, View};
use crate::metric::{Resource, Series, Timestamp};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table for people.
    Table,
    /// One point a line.
    Json,
    /// One OTLP/JSON request a line.
    OtlpJson,
    /// Prometheus' text format.
    Prometheus,
}

/// Why nothing can be printed.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// Standard output failed.
    #[error("standard output cannot be written")]
    Output(#[source] io::Error),
    /// Signals cannot be waited for.
    #[error("the signals that end the agent cannot be watched")]
    Signals(#[source] io::Error),
}

/// Prints what a format can show at once, for the table with the notes that `explain` finds.
struct Printer<'a> {
    format: Format,
    started: &'a Started,
    renderer: Renderer,
    explain: &'a (dyn Fn() -> Vec<Note> + Send + Sync),
}

/// Waits for each sampler's first result or deadline, prints it, and tells whether none had failed.
pub fn once(
    started: &Started,
    format: Format,
    renderer: Renderer,
    explain: &(dyn Fn() -> Vec<Note> + Send + Sync),
) -> Result<bool, PrintError> {
    while !started.all_reported() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let printer = Printer {
        format,
        started,
        renderer,
        explain,
    };
    let text = printer.text(started.hub.series());
    swallow_closed(io::stdout().write_all(text.as_bytes()))?;
    let failed = |status: &&std::sync::Arc<super::Status>| status.last().is_none_or(|report| report.is_failure());
    let failures: Vec<_> = started.statuses.iter().filter(failed).collect();
    for status in &failures {
        let detail = status
            .last()
            .map_or_else(|| "no result within its deadline".to_owned(), |report| report.detail);
        tracing::error!(
            sampler = status.descriptor.name,
            error = detail,
            "sampler failed; `agent doctor` says more"
        );
    }
    Ok(failures.is_empty())
}

/// Prints until a signal comes or nobody reads any more. JSON lines come from the hub's observer instead.
pub async fn stream(
    started: &Started,
    format: Format,
    every: Duration,
    renderer: Renderer,
    explain: &(dyn Fn() -> Vec<Note> + Send + Sync),
) -> Result<(), PrintError> {
    let mut ended = super::daemon::Signals::watch().map_err(PrintError::Signals)?;
    let printer = Printer {
        format,
        started,
        renderer,
        explain,
    };
    let live = format == Format::Table && isatty(io::stdout());
    while !started.all_reported() {
        tokio::select! {
            () = ended.received() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    let _screen = live.then(Screen::enter);
    loop {
        let next = Instant::now() + every;
        let printed = match format {
            Format::Json => {
                // The observer sees what is refreshed here too.
                started.hub.refresh_own();
                Ok(())
            }
            Format::OtlpJson => printer.print(started.hub.collect(), live),
            Format::Table | Format::Prometheus => printer.print(started.hub.series(), live),
        };
        if swallow_closed(printed)? {
            return Ok(());
        }
        tokio::select! {
            () = ended.received() => return Ok(()),
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

impl Printer<'_> {
    fn print(&self, series: Vec<Series>, live: bool) -> io::Result<()> {
        let text = self.text(series);
        let mut out = io::stdout().lock();
        if live {
            // Home, each line cleared to its end, then the rest of the screen: no flicker.
            let lines = text.replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{lines}\x1b[J")?;
        } else {
            out.write_all(text.as_bytes())?;
            if self.format == Format::Table {
                out.write_all(b"\n")?;
            }
        }
        out.flush()
    }

    fn text(&self, mut series: Vec<Series>) -> String {
        if self.format != Format::OtlpJson {
            series.sort_by(|a, b| {
                (a.instrument.name)
                    .cmp(b.instrument.name)
                    .then_with(|| a.attributes.iter().cmp(b.attributes.iter()))
            });
        }
        let resource = self.started.hub.resource();
        match self.format {
            Format::Table => {
                let width = tcgetwinsize(io::stdout()).map_or(160, |size| size.ws_col).max(80);
                let notes = self.notes();
                stdout::render(&View {
                    series: &series,
                    notes: &notes,
                    width,
                    time: Timestamp::now(),
                })
            }
            Format::Json => series.iter().map(|one| stdout::json_line(one) + "\n").collect(),
            Format::OtlpJson => otlp_json(resource, &series),
            Format::Prometheus => self.renderer.render(prometheus::Format::Text, &series, resource),
        }
    }

    fn notes(&self) -> Vec<Note> {
        let mut notes = (self.explain)();
        for status in &self.started.statuses {
            let name = status.descriptor.name;
            if let Some(over) = status.stuck() {
                let what = format!("{name}: no answer for {:.0} s over its deadline", over.as_secs_f64());
                notes.push(Note {
                    what,
                    remedy: "see `agent doctor`; the other samplers go on".into(),
                });
            } else if let Some(report) = status.last().filter(super::Report::is_failure) {
                notes.push(Note {
                    what: format!("{name}: {}", report.detail),
                    remedy: "see `agent doctor`".into(),
                });
            }
        }
        notes
    }
}

fn otlp_json(resource: &Resource, series: &[Series]) -> String {
    let mut lines = String::new();
    for record in otlp::Encoder::new(resource).encode(series, Timestamp::now()) {
        match otlp::json_line(&record) {
            Ok(line) => lines.extend([line.as_str(), "\n"]),
            Err(error) => tracing::error!(%error, "a record has no JSON form; please report it"),
        }
    }
    lines
}

/// Whether standard output was closed by its reader, which is how a pipe ends and no error.
fn swallow_closed(result: io::Result<()>) -> Result<bool, PrintError> {
    match result {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(PrintError::Output(error)),
    }
}

/// The terminal's other screen, left again however the printing ends.
struct Screen;

impl Screen {
    fn enter() -> Self {
        write!(io::stdout(), "\x1b[?1049h\x1b[?25l\x1b[2J").ok();
        Self
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        write!(out, "\x1b[?25h\x1b[?1049l").and_then(|()| out.flush()).ok();
    }
}
