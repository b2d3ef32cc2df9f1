//! `agent --stdout`: prints the series, without push and listeners.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::termios::{isatty, tcgetwinsize};
use tokio::sync::mpsc;
use unicode_width::UnicodeWidthStr;

use super::explain::Explain;
use super::signals::{Hangup, Signals};
use crate::cli::Format;
use crate::doctor;
use accelscope_core::metric::{Resource, Series, Timestamp};
use accelscope_core::printable::printable_lines;
use accelscope_core::sampler::Finding;
use accelscope_core::source::{Context, Sources};
use accelscope_core::table::{Rates, Section};
use accelscope_export::otlp;
use accelscope_export::prometheus::{self, MetricsSource, Renderer};
use accelscope_export::stdout::{self, View};
use accelscope_pipeline::Started;

/// The sections of the table.
fn sections(sources: Sources) -> Vec<&'static Section> {
    sources.iter().flat_map(|source| source.table).collect()
}

/// The rates of the table's sections.
pub fn rates(sources: Sources) -> Rates {
    Rates::new(sections(sources).into_iter().map(|section| section.rated))
}

/// Prints the series of the samplers.
pub struct Printer<'a> {
    /// Output format.
    pub format: Format,
    /// The running samplers and their pipeline.
    pub started: &'a Started,
    /// Renderer of Prometheus' format.
    pub renderer: Renderer,
    /// What the samplers were built from.
    pub context: Context,
    /// Findings that are shown under the table.
    pub explain: Explain,
    /// What the table has shown before.
    pub rates: Rates,
}

impl Printer<'_> {
    /// Waits for each sampler's first result or deadline, prints the series, and returns whether no sampler failed.
    pub fn once(&mut self) -> anyhow::Result<bool> {
        while !self.started.all_reported() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let text = self.text(self.started.registry.series());
        swallow_closed(io::stdout().write_all(text.as_bytes()))?;
        let mut all_well = true;
        for status in &self.started.statuses {
            let error = match status.last() {
                Some(report) if !report.is_failure() => continue,
                Some(report) => report.detail,
                None => "no result within its deadline".to_owned(),
            };
            all_well = false;
            tracing::error!(
                sampler = status.descriptor.name,
                error,
                "sampler failed; `agent doctor` says more"
            );
        }
        Ok(all_well)
    }

    /// Prints until a signal arrives or the output is closed. JSON lines are printed by the registry's observer, whose
    /// errors come by `failure`.
    pub async fn stream(&mut self, every: Duration, mut failure: mpsc::Receiver<io::Error>) -> anyhow::Result<()> {
        let mut signals = Signals::watch(Hangup::Ends)?;
        let live = self.format == Format::Table && isatty(io::stdout()) && can_move_the_cursor();
        while !self.started.all_reported() {
            tokio::select! {
                _ = signals.received() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
        let _screen = live.then(Screen::enter);
        loop {
            let next = Instant::now() + every;
            let outcome = match self.format {
                Format::Json => {
                    // The observer sees what is refreshed here too.
                    self.started.registry.refresh_own();
                    Ok(())
                }
                Format::OtlpJson => {
                    let changed = self.started.registry.collect().into_iter();
                    self.print(changed.map(|one| one.series).collect(), live)
                }
                Format::Table | Format::Prometheus => self.print(self.started.registry.series(), live),
            };
            if swallow_closed(outcome)? {
                return Ok(());
            }
            tokio::select! {
                _ = signals.received() => return Ok(()),
                Some(error) = failure.recv() => return swallow_closed(Err(error)).map(drop),
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    fn print(&mut self, series: Vec<Series>, live: bool) -> io::Result<()> {
        let text = self.text(series);
        let mut out = io::stdout().lock();
        if live {
            // Without flicker: home, each line cleared to its end, then the rest of the screen.
            let text = match tcgetwinsize(io::stdout()) {
                Ok(size) if size.ws_row > 0 && size.ws_col > 0 => fit(&text, size.ws_row.into(), size.ws_col.into()),
                _ => text,
            };
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

    fn text(&mut self, mut series: Vec<Series>) -> String {
        if self.format != Format::OtlpJson {
            series.sort_by(|a, b| {
                (a.instrument.name)
                    .cmp(b.instrument.name)
                    .then_with(|| a.attributes.iter().cmp(b.attributes.iter()))
            });
        }
        let resource = self.started.registry.resource();
        let text = match self.format {
            Format::Table => {
                let width = tcgetwinsize(io::stdout()).map_or(160, |size| size.ws_col).max(80);
                let findings = self.findings();
                let text = stdout::render(&View {
                    series: &series,
                    sections: &sections(self.context.sources),
                    rates: &self.rates,
                    findings: &findings,
                    width,
                    time: Timestamp::now(),
                });
                self.rates.push(&series);
                text
            }
            Format::Json => series.iter().map(|one| stdout::json_line(one) + "\n").collect(),
            Format::OtlpJson => otlp_json(resource, &series),
            Format::Prometheus => self.renderer.render(prometheus::Format::Text, &series, resource),
        };
        if isatty(io::stdout()) {
            printable_lines(&text)
        } else {
            text
        }
    }

    fn findings(&mut self) -> Vec<Finding> {
        let has_readings = |report: accelscope_pipeline::Report| report.outcome == "sampled";
        let sources = self.context.sources;
        let reads_accelerators = |name| {
            sources
                .iter()
                .any(|source| source.name == name && source.reads_accelerators)
        };
        let seen = self
            .started
            .statuses
            .iter()
            .filter(|status| reads_accelerators(status.descriptor.name))
            .any(|status| status.last().is_some_and(has_readings));
        let mut findings = self.explain.findings(seen);
        for status in &self.started.statuses {
            let name = status.descriptor.name;
            if let Some(over) = status.stuck() {
                let what = format!("{name}: no answer for {:.0} s over its deadline", over.as_secs_f64());
                findings.push(Finding::warn(name, what).with_remedy("see `agent doctor`; the other samplers go on"));
            } else if let Some(report) = status.last().filter(accelscope_pipeline::Report::is_failure) {
                let what = format!("{name}: {}", report.detail);
                findings.push(Finding::warn(name, what).with_remedy("see `agent doctor`"));
            } else if let Some(report) = status.last().filter(|report| !seen && report.is_absence())
                && !doctor::explains_while_running(&self.context, name)
            {
                findings.push(Finding::nothing(name, format!("{name}: {}", report.detail)));
            }
        }
        findings
    }
}

/// Whether the terminal interprets escape sequences; those of editors and serial consoles set `TERM` to `dumb`.
fn can_move_the_cursor() -> bool {
    std::env::var_os("TERM").is_none_or(|term| !term.is_empty() && term != "dumb")
}

/// The first lines of `text`, as many as the screen has room for: with more it would scroll and hide the first ones.
fn fit(text: &str, rows: usize, columns: usize) -> String {
    let height = |line: &str| line.width().div_ceil(columns).max(1);
    // The last line break moves the cursor into a row of its own.
    if text.lines().map(height).sum::<usize>() < rows {
        return text.to_owned();
    }
    let mut free = rows.saturating_sub(2);
    let shown = text.lines().take_while(|line| {
        let fits = height(line) <= free;
        free = free.saturating_sub(height(line));
        fits
    });
    let shown: Vec<&str> = shown.collect();
    let more = text.lines().count() - shown.len();
    let start: String = shown.iter().flat_map(|line| [*line, "\n"]).collect();
    format!("{start}... {more} more lines: enlarge the terminal, or add --once\n")
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

/// Whether the reader closed standard output: the normal end of a pipe, not an error.
fn swallow_closed(result: io::Result<()>) -> anyhow::Result<bool> {
    let is_closed = matches!(&result, Err(error) if error.kind() == ErrorKind::BrokenPipe);
    if !is_closed {
        result.context("standard output cannot be written")?;
    }
    Ok(is_closed)
}

/// The terminal's alternate screen, left when dropped.
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

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_table_that_is_too_long_is_cut_below_and_says_so() {
        let text = "a\nb\nc\nd\n";
        assert_eq!(fit(text, 5, 80), text, "the cursor's row is the fifth");
        let more = |lines| format!("... {lines} more lines: enlarge the terminal, or add --once\n");
        assert_eq!(fit(text, 4, 80), format!("a\nb\n{}", more(2)));
        assert_eq!(
            fit("a\nlong line\nc\n", 4, 5),
            format!("a\n{}", more(2)),
            "it takes two rows"
        );
        assert_eq!(
            fit("a\n長い線\nc\n", 4, 5),
            format!("a\n{}", more(2)),
            "three characters, six columns"
        );
        assert_eq!(fit(text, 1, 80), more(4));
    }
}
