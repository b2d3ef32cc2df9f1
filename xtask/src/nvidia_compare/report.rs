//! The comparison and its report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::readings::{Agent, Smi, number};
use super::rules::{As, REASONS, RULES, Rule};

/// Tolerance of a process's memory in MiB: it allocates between the readings.
const PROCESS_OFF: f64 = 512.0;

/// Result for one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Differs,
    /// Only `nvidia-smi` has it.
    Lacking,
    /// Only the agent has it: `nvidia-smi` prints `N/A` or nothing.
    More,
}

#[derive(Debug, Clone)]
struct Row {
    gpu: String,
    what: String,
    agent: String,
    smi: String,
    verdict: Verdict,
}

/// All values of all GPUs.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    /// Numeric elements of `nvidia-smi` without a rule.
    unknown: BTreeSet<String>,
}

impl Report {
    pub(super) fn has_failed(&self) -> bool {
        self.rows.is_empty()
            || self
                .rows
                .iter()
                .any(|row| matches!(row.verdict, Verdict::Differs | Verdict::Lacking))
    }

    fn push(&mut self, gpu: &str, what: &str, agent: Option<String>, smi: &[String], is_same: bool) {
        let verdict = match (&agent, smi.is_empty()) {
            (None, true) => return,
            (Some(_), true) => Verdict::More,
            (None, false) => Verdict::Lacking,
            (Some(_), false) if is_same => Verdict::Same,
            (Some(_), false) => Verdict::Differs,
        };
        self.rows.push(Row {
            gpu: gpu.to_owned(),
            what: what.to_owned(),
            agent: agent.unwrap_or_else(|| "-".to_owned()),
            smi: smi.join(" .. "),
            verdict,
        });
    }
}

pub(super) fn compare(agent: &Agent, before: &Smi, after: &Smi) -> Report {
    let mut report = Report::default();
    for (uuid, first) in &before.gpus {
        let Some(second) = after.gpus.get(uuid) else { continue };
        for rule in RULES {
            one(&mut report, agent, uuid, rule, [first, second]);
        }
        for word in REASONS {
            reason(&mut report, agent, uuid, word, [first, second]);
        }
        processes(&mut report, agent, uuid, before, after);
        let known: BTreeSet<&str> = RULES.iter().flat_map(|rule| rule.paths).copied().collect();
        let others = first.iter().filter(|(path, text)| {
            !known.contains(path.as_str()) && !path.contains("_reason_") && number(text).is_some()
        });
        report.unknown.extend(others.map(|(path, _)| path.clone()));
    }
    for (key, path) in [
        ("hw.driver_version", "driver_version"),
        ("nvidia.cuda.version", "cuda_version"),
    ] {
        let told = agent
            .points
            .iter()
            .find_map(|point| point.attributes.get(key).filter(|_| point.name == "nvidia.device.info"));
        let smi: Vec<String> = before.host.get(path).cloned().into_iter().collect();
        let is_same = told.is_some_and(|told| smi.contains(told));
        report.push("host", key, told.cloned(), &smi, is_same);
    }
    report
}

fn there<'a>(paths: &[&str], of: &'a BTreeMap<String, String>) -> Option<&'a String> {
    let is_told = |text: &&String| !text.is_empty() && !text.contains("N/A") && !text.starts_with("Requested");
    paths.iter().find_map(|path| of.get(*path)).filter(is_told)
}

fn one(report: &mut Report, agent: &Agent, gpu: &str, rule: &Rule, smi: [&BTreeMap<String, String>; 2]) {
    let texts: Vec<String> = smi.iter().filter_map(|one| there(rule.paths, one).cloned()).collect();
    let point = agent.find(gpu, rule.name, rule.attributes);
    let mut what = rule.name.to_owned();
    for (_, value) in rule.attributes {
        what.push_str(&format!(" {value}"));
    }
    let (told, is_same) = match rule.compare {
        As::Attribute(key) => {
            key.clone_into(&mut what);
            let told = point.and_then(|point| point.attributes.get(key)).cloned();
            let is_same = told.as_ref().is_some_and(|told| texts.iter().all(|text| text == told));
            (told, is_same)
        }
        As::Flag => {
            let told = point.map(|point| point.value);
            let flags: Vec<f64> = texts.iter().map(|text| f64::from(is_set(text))).collect();
            (
                told.map(|told| told.to_string()),
                told.is_some_and(|told| flags.contains(&told)),
            )
        }
        As::Number(scale, off) => {
            let told = point.map(|point| point.value * scale);
            let numbers: Vec<f64> = texts.iter().filter_map(|text| number(text)).collect();
            (
                told.map(|told| format!("{told:.3}")),
                told.is_some_and(|told| is_near(told, &numbers, off)),
            )
        }
    };
    report.push(gpu, &what, told, &texts, is_same);
}

fn reason(report: &mut Report, agent: &Agent, gpu: &str, word: &str, smi: [&BTreeMap<String, String>; 2]) {
    let newer = format!("clocks_event_reasons/clocks_event_reason_{word}");
    let older = format!("clocks_throttle_reasons/clocks_throttle_reason_{word}");
    let texts: Vec<String> = smi
        .iter()
        .filter_map(|one| there(&[&newer, &older], one).cloned())
        .collect();
    // The tool uses the plural for one of them.
    let word = if word == "display_clocks_setting" {
        "display_clock_setting"
    } else {
        word
    };
    let told = agent
        .find(gpu, "nvidia.throttle.active", &[("nvidia.throttle.reason", word)])
        .map(|point| point.value);
    let is_same = told.is_some_and(|told| texts.iter().any(|text| is_set(text) == (told > 0.5)));
    report.push(
        gpu,
        &format!("nvidia.throttle.active {word}"),
        told.map(|told| told.to_string()),
        &texts,
        is_same,
    );
}

/// Processes in both readings: the others have started or ended in between.
fn processes(report: &mut Report, agent: &Agent, gpu: &str, before: &Smi, after: &Smi) {
    let (Some(first), Some(second)) = (before.processes.get(gpu), after.processes.get(gpu)) else {
        return;
    };
    for (pid, memory) in first {
        let Some(later) = second.get(pid) else { continue };
        let numbers: Vec<f64> = [memory, later].into_iter().copied().flatten().collect();
        let told = agent
            .find(gpu, "accel.process.memory.usage", &[("process.pid", &pid.to_string())])
            .map(|point| point.value / 1_048_576.0);
        let smi: Vec<String> = numbers.iter().map(|number| format!("{number} MiB")).collect();
        let is_same = told.is_some_and(|told| is_near(told, &numbers, PROCESS_OFF));
        let what = format!("accel.process.memory.usage {pid}");
        report.push(gpu, &what, told.map(|told| format!("{told:.1}")), &smi, is_same);
    }
}

fn is_set(text: &str) -> bool {
    matches!(text, "Active" | "Enabled" | "Yes")
}

fn is_near(told: f64, numbers: &[f64], off: f64) -> bool {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // The tool's output is rounded.
    let off = off + 1e-2;
    (least - off..=most + off).contains(&told)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let word = match row.verdict {
                Verdict::Same => "same",
                Verdict::Differs => "DIFFERS",
                Verdict::Lacking => "LACKING",
                Verdict::More => "more",
            };
            writeln!(
                f,
                "{word:<8} {} {:<60} {:>20}   {}",
                row.gpu, row.what, row.agent, row.smi
            )?;
        }
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        writeln!(
            f,
            "{} same, {} differ, {} lacking, {} that nvidia-smi does not tell",
            count(Verdict::Same),
            count(Verdict::Differs),
            count(Verdict::Lacking),
            count(Verdict::More)
        )?;
        if !self.unknown.is_empty() {
            let all: Vec<_> = self.unknown.iter().map(String::as_str).collect();
            writeln!(f, "not compared ({}): {}", all.len(), all.join(", "))?;
        }
        if self.rows.is_empty() {
            writeln!(f, "nothing to compare: nvidia-smi lists no GPU")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(agent: &str) -> Report {
        let smi = Smi::parse(include_str!("fixtures/nvidia-smi.xml")).unwrap();
        compare(&Agent::parse(agent).unwrap(), &smi, &smi)
    }

    fn verdict(report: &Report, what: &str) -> Option<Verdict> {
        report.rows.iter().find(|row| row.what == what).map(|row| row.verdict)
    }

    const AGENT: &str = include_str!("fixtures/agent.jsonl");

    #[test]
    fn what_is_the_same_is_found_the_same() {
        let report = compared(AGENT);
        assert!(!report.has_failed(), "{report}");
        for what in [
            "hw.model",
            "hw.driver_version",
            "hw.power",
            "hw.gpu.memory.usage",
            "hw.gpu.utilization general",
            "nvidia.throttle.active sw_power_cap",
            "nvidia.ecc.enabled",
            "nvidia.temperature.margin.limit high.critical",
            "accel.process.memory.usage 4242",
        ] {
            assert_eq!(verdict(&report, what), Some(Verdict::Same), "{what}\n{report}");
        }
        assert_eq!(verdict(&report, "hw.fan.speed_ratio fan0"), None, "N/A is no value");
    }

    #[test]
    fn a_wrong_unit_a_wrong_word_and_a_missing_value_are_found() {
        let wrong = |from: &str, to: &str| {
            assert!(AGENT.contains(from), "{from}");
            compared(&AGENT.replace(from, to))
        };
        let report = wrong("\"value\":251.5", "\"value\":251500");
        assert_eq!(verdict(&report, "hw.power"), Some(Verdict::Differs));
        assert!(report.has_failed());
        let report = wrong("580.95.05", "580.95.06");
        assert_eq!(verdict(&report, "hw.driver_version"), Some(Verdict::Differs));
        let report = wrong("nvidia.pcie.link.width\"", "other\"");
        assert_eq!(verdict(&report, "nvidia.pcie.link.width"), Some(Verdict::Lacking));
        assert!(report.has_failed());
        assert!(compared("").has_failed(), "an agent that tells nothing");
    }
}
