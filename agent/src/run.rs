//! The main job: from the configuration to running samplers and exporters.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{self, EXIT_FAILED, EXIT_OK, EXIT_USAGE, Format, Run};
use crate::config::{Config, Environment, Inputs, Loaded, load, resource};
use crate::program::give_back;
use crate::runtime::{self, Explain, Hangup, OwnLogs, Printer, Reload};
use crate::{simulate, standard_error};
use accelscope_core::budget::Budget;
use accelscope_core::exhausted;
use accelscope_core::holders::Holders;
use accelscope_core::host::{HostRoots, memory, stuck};
use accelscope_core::metric::{Resource, Series};
use accelscope_core::printable::printable_lines;
use accelscope_core::source::{Context, Sources};
use accelscope_core::telemetry::OwnMetrics;
use accelscope_core::worker::orphans;
use accelscope_export::otlp::Destination;
use accelscope_export::prometheus::Renderer;
use accelscope_export::stdout;
use accelscope_pipeline::attribution::{Attribution, Settings};
use accelscope_pipeline::energy::Energy;
use accelscope_pipeline::{Limits, Observer, SeriesRegistry, Started};
use accelscope_simulate::Demo;
use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Files that a runtime opens: epoll, its waker, and a socket pair with a copy, without which Tokio 1.54 panics
/// (`tokio::signal::unix`).
const FILES_OF_RUNTIME: usize = 5;
/// Time between two redraws of the table.
const REDRAW: Duration = Duration::from_secs(1);
/// Time from a signal to the forced exit, so that the agent ends within three seconds.
const LAST_RESORT: Duration = Duration::from_millis(2800);

/// `agent`, with or without `--stdout`.
pub(crate) fn agent(run: &Run, sources: Sources) -> anyhow::Result<u8> {
    accelscope_memory::heap::share_one();
    accelscope_memory::heap::return_large_blocks();
    let demo = run
        .demo
        .then(Demo::start)
        .transpose()
        .context("the simulator cannot be started")?;
    let mut inputs = run.config.inputs(Environment::of_process());
    if let Some(demo) = &demo {
        inputs.sets.extend(simulate::demo_settings(demo));
    }
    let loaded = match load(&inputs, sources) {
        Ok(loaded) => loaded,
        Err(errors) => {
            standard_error::put(format!("{errors}\n"));
            return Ok(EXIT_USAGE);
        }
    };
    if !run.stdout
        && let Err(problem) = loaded.config.has_output()
    {
        standard_error::put(format!("{problem}, or start it with --stdout\n"));
        return Ok(EXIT_USAGE);
    }
    if demo.is_none() {
        // Only on kernels before Linux 3.4 does it fail.
        orphans::adopt().ok();
    }
    if !run.once {
        end_in_time(if run.stdout { Hangup::Ends } else { Hangup::Reloads })?;
    }
    if let Some(demo) = &demo {
        simulate::wait_for_files(demo);
    }
    to_end(new_runtime()?, perform(loaded, inputs, run, sources))
}

fn new_runtime() -> anyhow::Result<Runtime> {
    exhausted::room_for(FILES_OF_RUNTIME).context("no runtime")?;
    Builder::new_current_thread().enable_all().build().context("no runtime")
}

/// Runs `job` without waiting for blocked threads at the end: a name lookup of a receiver blocks one until the
/// resolver's timeout, which may be longer than the shutdown may take.
fn to_end<T>(runtime: Runtime, job: impl Future<Output = T>) -> T {
    let done = runtime.block_on(job);
    runtime.shutdown_background();
    done
}

/// Ensures that a signal ends the agent even if its main thread is blocked, e.g. on a pipe that is not read.
fn end_in_time(hangup: Hangup) -> anyhow::Result<()> {
    let runtime = new_runtime()?;
    let wait = async move {
        if runtime::terminated(hangup).await.is_ok() {
            tokio::time::sleep(LAST_RESORT).await;
            give_back();
            std::process::exit(EXIT_OK.into());
        }
    };
    std::thread::Builder::new()
        .name("last-resort".into())
        .stack_size(256 << 10)
        .spawn(move || runtime.block_on(wait))
        .context("a thread cannot be started")?;
    Ok(())
}

async fn perform(loaded: Loaded, inputs: Inputs, run: &Run, sources: Sources) -> anyhow::Result<u8> {
    let Loaded {
        mut config,
        warnings,
        file,
    } = loaded;
    let log_destination = config.log_destination(&inputs.env);
    let reload = Reload::new(inputs, sources, config.clone(), file.clone());
    let terminal = std::io::stdout().is_terminal();
    let usual = if terminal { Format::Table } else { Format::Json };
    let format = run.stdout.then(|| run.format.unwrap_or(usual));
    let mut resource = resource::build(&config, &config.host_roots());
    if run.demo {
        resource::mark_demo(&mut resource);
        config.http.resource_labels.push(resource::DEMO.into());
    }
    let logs = own_logs(log_destination, run, &resource)?;
    // Log lines would disturb a live table, which shows the failures itself.
    if format != Some(Format::Table) || !terminal {
        runtime::log::start(&config.log, logs.as_ref());
    }
    if format.is_none() {
        runtime::log_start(file.as_deref(), run.demo);
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    // Must come first: instruments created earlier record nothing.
    let own = OwnMetrics::install(cli::BUILD);
    runtime::show_suppressed();
    stuck::begin_count();
    let code = measure(config, reload, sources, own, resource, format, run.once).await;
    if let Some(logs) = logs {
        logs.flush().await;
    }
    code
}

/// The log is exported as OTLP only if measurements are.
fn own_logs(
    to: Result<Option<Destination>, String>,
    run: &Run,
    resource: &Resource,
) -> anyhow::Result<Option<OwnLogs>> {
    if run.stdout {
        return Ok(None);
    }
    let to = to.map_err(anyhow::Error::msg);
    let logs = to.and_then(|to| to.map(|to| OwnLogs::new(&to, resource)).transpose());
    logs.context("OTEL_LOGS_EXPORTER=otlp: the log cannot be sent")
}

/// Runs the samplers; pushes and serves what they read, or prints it in this format.
async fn measure(
    config: Config,
    reload: Reload,
    sources: Sources,
    own: OwnMetrics,
    resource: Resource,
    format: Option<Format>,
    once: bool,
) -> anyhow::Result<u8> {
    let (failed, failure) = mpsc::channel(1);
    let observer = (format == Some(Format::Json) && !once).then(|| json_lines(failed));
    let collecting = match format {
        None => !config.destinations().is_empty(),
        Some(format) => format == Format::OtlpJson && !once,
    };
    let limits = Limits {
        series_per_instrument: config.limits.series_per_instrument,
        series: config.limits.series,
    };
    let (memory, doubt) = config.limits.memory_within(memory::limit(&HostRoots::new("/")));
    if let Some(doubt) = doubt {
        tracing::warn!("{doubt}");
    }
    let budget = Budget::new(memory, config.destinations().len());
    let mut settings = Settings {
        per_process: config.attribution.per_process,
        engine_directories: config.attribution.engine_directories.clone(),
        ..Settings::default()
    };
    if once {
        settings.name_timeout = Duration::ZERO;
    }
    let roots = config.host_roots();
    let energy = Energy::new(runtime::energy(&config, sources), &budget, &roots);
    let holders = Holders::of(sources);
    let attribution = Attribution::within(&budget, &roots, settings).with_holders(holders.clone());
    let context = Context {
        cgroups: attribution.cgroups(),
        holders,
        roots,
        node_name: resource.node_name(),
        once,
        per_process: config.attribution.per_process,
        sources,
        faults: accelscope_core::faults::Faults::default(),
    };
    let registry = SeriesRegistry::new(&budget, own, resource, limits, collecting, observer);
    let registry = Arc::new(registry);
    let started = Started::launch(runtime::samplers(&config, &context), registry, attribution, energy)
        .context("a thread cannot be started")?;
    let renderer = Renderer {
        resource_labels: config.http.resource_labels.clone(),
        ..Renderer::default()
    };
    let Some(format) = format else {
        runtime::run_daemon(&config, &context, &started, renderer, reload).await?;
        return Ok(EXIT_OK);
    };
    let interval = config.otlp.interval;
    let mut printer = Printer {
        format,
        started: &started,
        renderer,
        rates: runtime::rates(sources),
        explain: Explain::new(config, context.clone()),
        context,
    };
    if once {
        return Ok(if printer.once()? { EXIT_OK } else { EXIT_FAILED });
    }
    let every = if format == Format::Table { REDRAW } else { interval };
    printer.stream(every, failure).await?;
    Ok(EXIT_OK)
}

/// Prints each point as it arrives, and passes an error on.
fn json_lines(failed: mpsc::Sender<std::io::Error>) -> Observer {
    let terminal = std::io::stdout().is_terminal();
    Box::new(move |series: &Series| {
        let mut line = stdout::json_line(series) + "\n";
        if terminal {
            line = printable_lines(&line);
        }
        if let Err(error) = std::io::stdout().lock().write_all(line.as_bytes()) {
            // One is enough, and without a reader the agent is ending.
            failed.try_send(error).ok();
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_blocks_a_thread_at_the_end_is_not_waited_for() {
        let (release, held) = channel::<()>();
        let (done, ended) = channel();
        std::thread::spawn(move || {
            to_end(new_runtime().unwrap(), async move {
                // Waits until it runs: a task that has not started is never waited for.
                let (begin, begun) = tokio::sync::oneshot::channel();
                tokio::task::spawn_blocking(move || {
                    begin.send(()).unwrap();
                    held.recv().ok();
                });
                begun.await.unwrap();
            });
            done.send(()).unwrap();
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(()));
        drop(release);
    }
}
