//! Calls made, counted and lost: no call may be missing from their sum, and none may have ended otherwise than it did.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::attributed::{CALLS, COMMAND, logged};
use super::{Rung, SKIPPED};
use crate::vmtest::outcome::Left;
use crate::vmtest::point::{Point, last};

const LOST: &str = "agent.ioctl.lost";
/// The calls of one round of `xtask/vm/storm.c` and `storm32.c`: command and error.
const ROUND: &[(&str, &str)] = &[
    ("VERSION", ""),
    ("GET_CAP", ""),
    ("GEM_CLOSE", "EINVAL"),
    ("AUTH_MAGIC", "EACCES"),
    ("GET_CAP", "EFAULT"),
];
/// What a fence of `xtask/vm/storm.c` does.
const FENCE: (&str, &str) = ("GEM_CLOSE", "EINVAL");
/// Reasons of losses that are no calls missing from [`CALLS`]: a detail of a call, or an event.
const DETAILS: &[&str] = &[
    "error_full",
    "channel_full",
    "event_lost",
    "read_failed",
    "folded",
    "implausible",
];
/// Reasons of losses while a program of the processor is preempted: the entry was skipped, or the return.
const SKIPS: &[&str] = &["skipped", "return_missed"];
/// Most lost calls with the hook that the agent chooses, of a thousand.
const MOST_LOST: i64 = 10;

/// A part of the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// 32-bit calls, undisturbed.
    Compat,
    /// Many threads, while maps are changed.
    Load,
}

/// Figures by command and error.
type Figures = BTreeMap<(String, String), i64>;

/// `rung` is the kind of hook that the agent was told to use.
pub(super) fn judge(left: &Left, rung: Option<Rung>, phase: Phase) -> Result<String> {
    if let Some(why) = left.noted("skipped").next() {
        return Ok(format!("{SKIPPED}{why}"));
    }
    left.undisturbed()?;
    if let Some(rung) = rung {
        logged(left, rung)?;
    }
    let (first, second) = match phase {
        Phase::Compat => ("begun", "compat"),
        Phase::Load => ("compat", "load"),
    };
    let (before, after) = (left.looked(first)?, left.looked(second)?);
    let made = difference(&made(left, second)?, &made(left, first)?);
    let counted = difference(&counted(&after), &counted(&before));
    let lost = difference(&losses(&after), &losses(&before));
    let sum = |figures: &Figures| figures.values().sum::<i64>();
    let (all, seen, missing) = (sum(&made), sum(&counted), sum(&lost));
    let hook = hook(left)?;
    let reasons: Vec<String> = lost
        .iter()
        .map(|((reason, _), count)| format!("{reason} {count}"))
        .collect();
    let reasons = if reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", reasons.join(", "))
    };
    let told = |lost: i64| format!("by {hook}: {}{reasons}", line(all, seen, lost));
    let line = told(missing);
    let wrong = |what: &str| format!("{}: {what}; {}", line.replace(" = ", " ≠ "), compare(&made, &counted));
    for (what, count) in &counted {
        let real = made.get(what).copied().unwrap_or_default();
        let (command, error) = what;
        let end = if error.is_empty() { "succeeded" } else { error };
        ensure!(
            *count <= real,
            wrong(&format!("{count} of {command} {end}, and {real} did"))
        );
    }
    let doctor = left.file("doctor.json")?;
    let says = doctor.contains("32-bit");
    // The tracepoints of the system call do not run for 32-bit calls: enough if doctor says so, and none is mistaken.
    if phase == Phase::Compat && rung == Some(Rung::Tracepoint) && says && missing == 0 {
        let fences = left.noted("made").filter(|line| *line == "fence").count() as i64;
        ensure!(
            seen <= fences,
            wrong("some of the calls that doctor calls unseen were counted")
        );
        let unseen = grouped(all - seen);
        return Ok(format!("{line} + unseen {unseen}, as doctor says"));
    }
    // What the kernel skips of a driver's function within a 32-bit call, which the hook on the kernel's own has counted
    // already, is no call that is missing.
    let within = phase == Phase::Compat && matches!(rung, Some(Rung::Fentry | Rung::Kprobe));
    let skipped = lost
        .iter()
        .filter(|((reason, _), _)| within && reason == "skipped")
        .map(|(_, count)| count)
        .sum::<i64>();
    let beyond = seen + missing - all;
    ensure!(
        (0..=skipped).contains(&beyond),
        wrong(&format!("{} calls are nowhere", grouped(-beyond)))
    );
    // What is lost because a program was skipped is no matter of 32-bit calls, and doctor says so in other words.
    let by_preemption: i64 = lost
        .iter()
        .filter(|((reason, _), _)| SKIPS.contains(&reason.as_str()))
        .map(|(_, count)| count)
        .sum();
    ensure!(
        (phase == Phase::Load && rung.is_none()) || by_preemption == 0 || doctor.contains("tasks are preempted"),
        wrong("and doctor does not say that programs are skipped")
    );
    ensure!(
        phase == Phase::Load || seen + by_preemption >= all || says,
        wrong("and doctor does not say that 32-bit calls are missed")
    );
    if rung.is_none() {
        ensure!(
            missing * 1000 <= all * MOST_LOST,
            wrong("the hook that was chosen loses too many")
        );
    }
    if beyond > 0 {
        let within = grouped(beyond);
        return Ok(format!(
            "{}; {within} skipped within counted calls",
            told(missing - beyond)
        ));
    }
    Ok(line)
}

/// What init made up to a look, by its notes.
fn made(left: &Left, look: &str) -> Result<Figures> {
    let mut figures = Figures::new();
    for line in left.noted("made") {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["rounds", rounds] => {
                for call in ROUND {
                    *figures.entry(owned(*call)).or_default() += rounds.parse::<i64>()?;
                }
            }
            ["fence"] => *figures.entry(owned(FENCE)).or_default() += 1,
            ["look", name] if name == look => return Ok(figures),
            ["look", _] => {}
            _ => anyhow::bail!("init noted: made {line}"),
        }
    }
    anyhow::bail!("the machine did not come to the look {look}")
}

fn owned((command, error): (&str, &str)) -> (String, String) {
    (command.to_owned(), error.to_owned())
}

/// All calls that the agent has counted: only init's programs call the device.
fn counted(points: &[Point]) -> Figures {
    let mut figures = Figures::new();
    for point in last(points, CALLS) {
        let key = (point.attribute(COMMAND), point.attribute("error.type"));
        *figures.entry(key).or_default() += value(point);
    }
    figures
}

/// Lost calls by reason.
pub(super) fn losses(points: &[Point]) -> Figures {
    let mut figures = Figures::new();
    for point in last(points, LOST) {
        let reason = point.attribute("agent.reason");
        if !DETAILS.contains(&reason.as_str()) {
            *figures.entry((reason, String::new())).or_default() += value(point);
        }
    }
    figures
}

pub(super) fn line(made: i64, counted: i64, lost: i64) -> String {
    let [made, counted, lost] = [made, counted, lost].map(grouped);
    format!("made {made} = counted {counted} + lost {lost}")
}

fn value(point: &Point) -> i64 {
    point.value.unwrap_or(0.0) as i64
}

fn difference(later: &Figures, earlier: &Figures) -> Figures {
    let less = |(key, count): (&(String, String), &i64)| {
        let more = count - earlier.get(key).copied().unwrap_or_default();
        (more != 0).then(|| (key.clone(), more))
    };
    later.iter().filter_map(less).collect()
}

/// The hook in the agent's log.
fn hook(left: &Left) -> Result<String> {
    let said = left.file("agent.err")?;
    let after = said.split("hook=").nth(1).context("the agent counts no calls")?;
    Ok(after.split(' ').next().unwrap_or(after).to_owned())
}

fn compare(made: &Figures, counted: &Figures) -> String {
    let rows: Vec<String> = made
        .iter()
        .map(|(key, real)| {
            let (command, error) = key;
            let found = counted.get(key).copied().unwrap_or_default();
            format!(
                "{command} {} {found} of {real}",
                if error.is_empty() { "ok" } else { error }
            )
        })
        .collect();
    rows.join(", ")
}

/// With a comma at each thousand.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [0, 999, 1000, 1_234_567, -12_345].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "-12,345"]);
    }
}
