//! Attribution of every call to its caller.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::known::{self, CONTAINER, DEVICE, ERRORS, POD};
use super::{Rung, SKIPPED, cost, made};
use crate::vmtest::outcome::{Left, Truth};
use crate::vmtest::point::{Point, last};

pub(super) const CALLS: &str = "accel.ioctl.calls";
pub(super) const DURATION: &str = "accel.ioctl.duration";
pub(super) const COMMAND: &str = "accel.ioctl.command";

pub(super) fn judge(left: &Left, rung: Rung) -> Result<String> {
    if let Some(why) = left.noted("skipped").next() {
        return Ok(format!("{SKIPPED}{why}"));
    }
    let truth = left.truth("before", "after")?;
    known::holds(&truth)?;
    left.undisturbed()?;
    rung_is(left, rung)?;
    let made = calls(&left.points, &truth)?;
    durations(&left.points, &truth)?;
    hailo(&left.points, &truth)?;
    let cost = cost::judge(left, rung)?;
    Ok(format!("{made}; {cost}"))
}

/// Checks the kind of hook, in the kernel's list of executed programs and in the agent's log.
fn rung_is(left: &Left, rung: Rung) -> Result<()> {
    let programs = left.programs("null-before")?;
    let hooks = programs.values().filter(|program| program.is_hook());
    let ran: Vec<_> = hooks.filter(|program| program.runs > 0).collect();
    ensure!(!ran.is_empty(), "none of the programs was run: {programs:?}");
    ensure!(
        ran.iter().all(|program| program.kind == rung.program_type()),
        "not {rung:?} is in use: {ran:?}"
    );
    logged(left, rung)
}

/// Checks the kind of hook in the agent's log.
pub(super) fn logged(left: &Left, rung: Rung) -> Result<()> {
    let said = left.file("agent.err")?;
    let name = rung.word();
    ensure!(
        said.contains(&format!("hook={name} ")),
        "the agent's log does not tell of hook={name}: {said}"
    );
    Ok(())
}

/// Points of the application, attributed to its container or its process.
fn its(points: &[Point], name: &str) -> Vec<Point> {
    last(points, name)
        .into_iter()
        .filter(|point| point.tells(CONTAINER) || point.tells("work"))
        .cloned()
        .collect()
}

/// Checks every call's owner, command and error. Returns how many were made, counted and lost.
pub(super) fn calls(points: &[Point], truth: &Truth) -> Result<String> {
    let its = its(points, CALLS);
    ensure!(!its.is_empty(), "the agent shows no {CALLS} of the application");
    let mut by_command: BTreeMap<String, i64> = BTreeMap::new();
    let mut by_error: BTreeMap<String, i64> = BTreeMap::new();
    for point in &its {
        ensure!(
            point.tells(CONTAINER),
            "calls of the application without its container: {point:?}"
        );
        ensure!(
            point.attribute("accel.device.name") == DEVICE,
            "calls of another device: {point:?}"
        );
        for (key, value) in POD {
            ensure!(point.attribute(key) == *value, "{key} is not {value}: {point:?}");
        }
        let count = point.value.unwrap_or(0.0) as i64;
        *by_command.entry(command(point)).or_default() += count;
        let error = point.attribute("error.type");
        if !error.is_empty() {
            *by_error.entry(error).or_default() += count;
        }
    }
    let expected: BTreeMap<String, i64> = truth
        .iter()
        .filter_map(|(name, count)| Some((name.strip_prefix("calls.")?.to_owned(), *count)))
        .filter(|(_, count)| *count > 0)
        .collect();
    ensure!(
        by_command == expected,
        "calls by command are {by_command:?}, and were {expected:?}"
    );
    let errors: BTreeMap<String, i64> = ERRORS
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect();
    ensure!(by_error == errors, "errors are {by_error:?}, and were {errors:?}");
    let lost: i64 = made::losses(points).values().sum();
    ensure!(lost == 0, "{lost} calls were lost, although all were counted");
    Ok(made::line(all_calls(truth), by_command.values().sum(), lost))
}

/// Name of the command; the stub counts all unknown commands together.
fn command(point: &Point) -> String {
    let name = point.attribute(COMMAND);
    if name.chars().next().is_some_and(|first| first.is_ascii_uppercase()) {
        name
    } else {
        "UNKNOWN".to_owned()
    }
}

fn all_calls(truth: &Truth) -> i64 {
    truth
        .iter()
        .filter(|(name, _)| name.starts_with("calls."))
        .map(|(_, count)| *count)
        .sum()
}

/// At most one call in this many may be slow: no call of the application waits, but a machine that stands still delays those
/// that its threads are making.
const SELDOM: i64 = 20;

fn durations(points: &[Point], truth: &Truth) -> Result<()> {
    let its = its(points, DURATION);
    let mut commands = BTreeSet::new();
    let (mut count, mut slow) = (0, 0);
    for point in &its {
        ensure!(
            point.bounds.len() == 12 && point.buckets.iter().sum::<u64>() == point.count.unwrap_or(0),
            "not a whole histogram: {point:?}"
        );
        count += point.count.unwrap_or(0) as i64;
        commands.insert(point.attribute(COMMAND));
        slow += point.buckets.iter().skip(11).sum::<u64>() as i64;
    }
    let all = all_calls(truth);
    ensure!(slow * SELDOM <= all, "{slow} of {all} calls took more than a second");
    ensure!(count == all, "durations of {count} calls, and {all} were made");
    for told in ["VDMA_LAUNCH_TRANSFER", "VDMA_INTERRUPTS_WAIT"] {
        ensure!(
            commands.contains(told),
            "no durations of {told} for themselves: {commands:?}"
        );
    }
    Ok(())
}

/// Compares the values decoded from arguments with the stub's figures.
fn hailo(points: &[Point], truth: &Truth) -> Result<()> {
    for (name, direction, truth_name) in [
        ("hailo.ioctl.transfers", "host_to_device", "buffers.to_device"),
        ("hailo.ioctl.transfers", "device_to_host", "buffers.from_device"),
        ("hailo.ioctl.io", "host_to_device", "bytes.to_device"),
        ("hailo.ioctl.io", "device_to_host", "bytes.from_device"),
        ("hailo.ioctl.frames", "", "launches.to_device"),
        ("hailo.ioctl.model.switches", "", "switches"),
    ] {
        let found: i64 = its(points, name)
            .iter()
            .filter(|point| direction.is_empty() || point.tells(direction))
            .map(|point| point.value.unwrap_or(0.0) as i64)
            .sum();
        let real = truth[truth_name];
        ensure!(found == real, "{name} {direction} is {found}, and was {real}");
    }
    Ok(())
}
