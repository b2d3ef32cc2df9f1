//! Receivers that misbehave for two minutes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::signals::{Undelivered, terminate};
use super::{Verdict, known, loss};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Chaos, Collector, PortState};
use crate::e2e::reading::Point;

const LENGTH: Duration = Duration::from_mins(2);
/// Ports of each protocol that share the behaviours.
const MIXED: usize = 6;
/// Ports that do the same with every request, see `xtask/e2e/chaos/book.py`.
const LASTING: [&str; 2] = ["poison", "small"];

pub(super) fn run(bench: &Bench<'_>) -> Result<Verdict> {
    let _writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    let mut witness = Collector::start(bench, "witness", None)?;
    let names = names();
    let seed = std::env::var("ACCELSCOPE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(std::process::id);
    println!("     chaos begins with ACCELSCOPE_SEED={seed}");
    let mut chaos = Chaos::start(bench, &names, LENGTH, seed)?;
    let mut agent = Agent::start_pushing(bench, &configuration(&witness, &chaos)?, free_port::free_port())?;
    // An answer that only a change of the configuration can cure is asked for again once a minute, or after a reload.
    let begun = Instant::now();
    let states = chaos.calmed(LENGTH + Duration::from_mins(5), || {
        if begun.elapsed() < LENGTH {
            return Ok(());
        }
        agent.process.signal(Signal::HUP)
    })?;
    agent.process.check()?;
    let undelivered = terminate(&mut agent)?;
    chaos.stop()?;
    witness.stop()?;

    let witnessed = witness.points(bench)?;
    let mut faults = String::new();
    for state in &states {
        let received = chaos.points(bench, &state.name)?;
        if let Err(error) = judge(state, &received, &witnessed, &undelivered) {
            write!(faults, "\n     {}: {error:#}; it met {:?}", state.name, state.met)?;
        }
    }
    ensure!(faults.is_empty(), "{faults}");
    Ok(Verdict::Passed)
}

fn names() -> Vec<String> {
    let mixed = (0..MIXED).map(|at| at.to_string());
    let all: Vec<String> = mixed.chain(LASTING.map(str::to_owned)).collect();
    ["http", "grpc"]
        .iter()
        .flat_map(|kind| all.iter().map(move |name| format!("{kind}-{name}")))
        .collect()
}

fn configuration(witness: &Collector, chaos: &Chaos) -> Result<String> {
    let mut text = format!(
        "[otlp]\nendpoint = {:?}\ninterval = \"4s\"\ntimeout = \"1m\"\n",
        witness.grpc_url()
    );
    for (name, endpoint) in chaos.endpoints() {
        let protocol = if name.starts_with("grpc") {
            "grpc"
        } else {
            "http/protobuf"
        };
        write!(
            text,
            "\n[otlp.destinations.{name}]\nendpoint = {endpoint:?}\nprotocol = {protocol:?}\nqueue_bytes = \"16MiB\"\n\
             timeout = \"2s\"\n",
        )?;
    }
    Ok(text)
}

/// Every point arrived, or the agent counted it, or said at its end that it may be lost.
fn judge(state: &PortState, received: &[Point], witnessed: &[Point], undelivered: &Undelivered) -> Result<()> {
    let missing = loss::missing(received, witnessed);
    let counted = loss::dropped(witnessed, &state.name);
    let reasons = reasons(witnessed, &state.name);
    let late = undelivered.get(&state.name).copied().unwrap_or(0);
    println!(
        "     {}: {} points arrived, {} did not, the agent dropped {reasons:?}, {late} were late at its end",
        state.name,
        received.len(),
        missing.len(),
    );
    ensure!(
        (counted..=counted + late).contains(&(missing.len() as u64)),
        "{} of {} points are missing, the agent counted {counted} {reasons:?} and named {late} at its end",
        missing.len(),
        witnessed.len(),
    );
    match state.name.split_once('-').context("a name has a kind")?.1 {
        "small" => ensure!(counted == 0, "parts would have been taken: {reasons:?}"),
        "poison" => {
            let innocent: Vec<_> = missing.iter().filter(|point| !is_poisoned(point)).collect();
            ensure!(
                innocent.len() as u64 <= late,
                "{} dropped with a refused one: {:?}",
                innocent.len(),
                innocent.first()
            );
            ensure!(counted > 0, "nothing was refused: the test shows nothing");
        }
        _ => {}
    }
    Ok(())
}

fn is_poisoned(point: &Point) -> bool {
    point.name == loss::HEARTBEAT && (point.time() / 1_000_000_000).is_multiple_of(7)
}

/// Points that the agent dropped, by reason.
fn reasons(witnessed: &[Point], destination: &str) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    let of_destination = witnessed.iter().filter(|point| {
        point.name == "agent.export.dropped"
            && !point.is_end()
            && point.attribute("destination").as_deref() == Some(destination)
    });
    for point in of_destination {
        let reason = point.attribute("agent.reason").unwrap_or_default();
        reasons.insert(reason, point.value.unwrap_or(0.0) as u64);
    }
    reasons.retain(|_, count| *count > 0);
    reasons
}
