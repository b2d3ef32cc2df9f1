//! Files of a machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::point::{Point, points};

/// Files of all scenarios of one machine.
pub(super) struct Outcome {
    folder: PathBuf,
}

impl Outcome {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Files of one scenario.
    pub(super) fn scenario(&self, name: &str) -> Result<Left> {
        let folder = self.folder.join(name);
        let notes = std::fs::read_to_string(folder.join("notes")).context("the machine did not come to it")?;
        let points = match std::fs::read_to_string(folder.join("agent.jsonl")) {
            Ok(text) => points(&text)?,
            Err(_) => Vec::new(),
        };
        Ok(Left { folder, notes, points })
    }
}

/// Files of one scenario.
pub(super) struct Left {
    folder: PathBuf,
    notes: String,
    /// Points that the agent printed, in that order.
    pub(super) points: Vec<Point>,
}

/// An eBPF program in the kernel's list.
#[derive(Debug)]
pub(super) struct Program {
    /// `enum bpf_prog_type`, include/uapi/linux/bpf.h.
    pub(super) kind: u32,
    pub(super) name: String,
    /// Number of runs so far.
    pub(super) runs: u64,
}

impl Program {
    /// Whether it is run for calls: the program that ends interrupted ones is attached beside every kind of hook, and runs
    /// at each signal.
    pub(super) fn is_hook(&self) -> bool {
        self.name != "signal_deliver"
    }
}

/// The stub's figures, or differences of them.
pub(super) type Truth = BTreeMap<String, i64>;

impl Left {
    /// Rest of each line of init's notes that starts with the word.
    pub(super) fn noted<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.notes
            .lines()
            .filter_map(move |line| line.strip_prefix(word))
            .filter(|rest| rest.is_empty() || rest.starts_with(' '))
            .map(str::trim)
    }

    /// Time between two notes by the machine's clock.
    pub(super) fn between(&self, first: &str, last: &str) -> Option<Duration> {
        let seconds = |word| self.noted(word).next()?.parse::<f64>().ok();
        Duration::try_from_secs_f64(seconds(last)? - seconds(first)?).ok()
    }

    /// Duration of the scenario.
    pub(super) fn length(&self) -> Duration {
        self.between("begin", "end").unwrap_or(Duration::ZERO)
    }

    /// Content of one of its files.
    pub(super) fn file(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("the machine left no {name}"))
    }

    /// Points that the agent had printed at a look.
    pub(super) fn looked(&self, look: &str) -> Result<Vec<Point>> {
        points(&self.file(&format!("agent.{look}.jsonl"))?)
    }

    /// Difference of the stub's figures between two snapshots; the figures of the last if `first` is empty.
    pub(super) fn truth(&self, first: &str, last: &str) -> Result<Truth> {
        let mut truth = self.figures(last)?;
        if !first.is_empty() {
            for (name, before) in self.figures(first)? {
                *truth.entry(name).or_default() -= before;
            }
        }
        Ok(truth)
    }

    fn figures(&self, look: &str) -> Result<Truth> {
        self.file(&format!("truth.{look}"))?
            .lines()
            .map(|line| {
                let (name, value) = line.split_once(' ').context("the stub's figures are not pairs")?;
                Ok((name.to_owned(), value.parse()?))
            })
            .collect()
    }

    /// The eBPF programs in a snapshot, by id.
    pub(super) fn programs(&self, look: &str) -> Result<BTreeMap<u32, Program>> {
        self.file(&format!("programs.{look}"))?
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split(' ').collect();
                ensure!(words.len() == 9, "not a program: {line}");
                let program = Program {
                    kind: words[2].parse()?,
                    name: words[4].to_owned(),
                    runs: words[6].parse()?,
                };
                Ok((words[0].parse()?, program))
            })
            .collect()
    }

    /// Fails if init, the application or the agent noted an unexpected event.
    pub(super) fn undisturbed(&self) -> Result<()> {
        for word in [
            "insmod-failed",
            "rmmod-failed",
            "no-node",
            "no-clock",
            "no-truth",
            "play-failed",
            "burst-failed",
            "hang-failed",
            "load-failed",
            "not-settled",
            "fence-missed",
            "not-shown",
            "agent-gone",
        ] {
            if let Some(rest) = self.noted(word).next() {
                let why = ["work.err", "rmmod.err", "agent.err"]
                    .iter()
                    .filter_map(|name| self.file(name).ok())
                    .map(|text| text.lines().rev().take(3).collect::<Vec<_>>().join(" | "))
                    .collect::<Vec<_>>()
                    .join(" | ");
                anyhow::bail!("{word} {rest} ({why})");
            }
        }
        let exit = self.noted("agent-exit").next().unwrap_or("none");
        ensure!(exit == "0", "the agent ended with {exit}");
        Ok(())
    }
}
