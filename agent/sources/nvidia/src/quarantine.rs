//! What hung or crashed in the driver, and is left alone for a while: the longer, the more often it did.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// For how much longer than the first time it may be, each time being twice as long as the one before: an hour after a
/// minute.
const LONGEST: u32 = 60;
/// The topic under which GPUs are looked for: a GPU that cannot even be found is left alone whole.
pub(super) const DEVICES: &str = "devices";
/// How many GPUs may hang in the same topic before it is taken from all.
const MOST_HUNG: usize = 2;
/// Most that is remembered: beyond, the oldest is forgotten.
const MOST: usize = 64;

/// What a reading did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// It did not return.
    Hung,
    /// It ended the process.
    Crashed,
}

impl Fault {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hung => "hung",
            Self::Crashed => "crashed",
        }
    }
}

/// What is read: a topic of a GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its UUID; empty for all GPUs, or where it is not known yet.
    pub(super) gpu: String,
    /// NVML's number of the GPU: a process that leaves it alone does not learn its UUID.
    pub(super) index: Option<u32>,
    /// Empty for all topics.
    pub(super) topic: String,
}

impl Place {
    /// Whether it is of that GPU. Numbers may be others after the driver was loaded anew; UUIDs are not.
    fn is_of(&self, gpu: &str, index: Option<u32>) -> bool {
        if self.gpu.is_empty() || gpu.is_empty() {
            self.index.is_some() && self.index == index
        } else {
            self.gpu == gpu
        }
    }

    fn is_of_all(&self) -> bool {
        self.gpu.is_empty() && self.index.is_none()
    }

    /// Whether whoever leaves this alone leaves that topic of that GPU alone.
    fn covers(&self, gpu: &str, index: Option<u32>, topic: &str) -> bool {
        (self.is_of_all() || self.is_of(gpu, index)) && (self.topic.is_empty() || self.topic == topic)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.topic.as_str() {
            "" => f.write_str("everything")?,
            topic => write!(f, "the {topic}")?,
        }
        match (self.gpu.as_str(), self.index) {
            ("", None) => f.write_str(" of all GPUs"),
            ("", Some(index)) => write!(f, " of GPU {index}"),
            (gpu, _) => write!(f, " of {gpu}"),
        }
    }
}

/// Something that is left alone, or was until recently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) place: Place,
    pub(super) fault: Fault,
    /// How often in a row.
    strikes: u32,
    since: SystemTime,
    rest: Duration,
    /// Of this pass.
    #[serde(skip)]
    pub(super) is_resting: bool,
}

impl Case {
    /// A clock that was set back does not make it longer.
    fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.since).unwrap_or(Duration::MAX)
    }

    /// One that has worked for as long as it rested counts no more.
    fn is_over(&self, now: SystemTime) -> bool {
        self.age(now) >= self.rest.saturating_mul(2)
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ({} {} time(s), rests for {:.0} s)",
            self.place,
            self.fault.as_str(),
            self.strikes,
            self.rest.as_secs_f64()
        )
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Quarantine(Vec<Case>);

impl Quarantine {
    /// Notes that reading this hung or crashed. `first` is how long it rests for the first time.
    pub(super) fn strike(&mut self, place: Place, fault: Fault, first: Duration, now: SystemTime) {
        self.0.retain(|case| !case.is_over(now));
        let Some(place) = self.widened(place, fault) else {
            return;
        };
        let within = |case: &Case| place.covers(&case.place.gpu, case.place.index, &case.place.topic);
        let before = self
            .0
            .iter()
            .filter(|case| within(case) && case.place.topic == place.topic);
        let strikes = before.map(|case| case.strikes).max().unwrap_or(0).saturating_add(1);
        self.0.retain(|case| !within(case));
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(Case {
            place,
            fault,
            strikes,
            since: now,
            rest: first
                .saturating_mul(1 << (strikes - 1).min(16))
                .min(first.saturating_mul(LONGEST)),
            is_resting: false,
        });
    }

    /// What is to be left alone after this: the second topic of a GPU takes the whole GPU with it, since each costs the
    /// others a reading. So does a topic that crashed with a second GPU, or hung with a third, for all GPUs. Nothing
    /// where it was the library itself.
    fn widened(&self, mut place: Place, fault: Fault) -> Option<Place> {
        if place.topic == DEVICES {
            place.topic.clear();
        }
        if place.is_of_all() {
            return (!place.topic.is_empty()).then_some(place);
        }
        let (of_it, others): (Vec<&Case>, Vec<&Case>) = self
            .0
            .iter()
            .partition(|case| case.place.is_of(&place.gpu, place.index));
        if place.gpu.is_empty()
            && let Some(known) = of_it.iter().find(|case| !case.place.gpu.is_empty())
        {
            place.gpu.clone_from(&known.place.gpu);
        }
        if of_it.iter().any(|case| case.place.topic != place.topic) {
            place.topic.clear();
        }
        let is_same = |case: &&&Case| !place.topic.is_empty() && case.place.topic == place.topic && case.fault == fault;
        let most = if fault == Fault::Hung { MOST_HUNG } else { 1 };
        if others.iter().filter(is_same).count() >= most
            || others.iter().filter(is_same).any(|case| case.place.is_of_all())
        {
            place.gpu.clear();
            place.index = None;
        }
        Some(place)
    }

    /// As it is at the begin of a pass.
    pub(super) fn at(&self, now: SystemTime) -> Cases {
        let current = self.0.iter().filter(|case| !case.is_over(now)).cloned();
        Cases(
            current
                .map(|case| Case {
                    is_resting: case.age(now) < case.rest,
                    ..case
                })
                .collect(),
        )
    }
}

/// What is suspect in one pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Cases(Vec<Case>);

impl Cases {
    /// What is left alone.
    pub(super) fn resting(&self) -> impl Iterator<Item = &Case> {
        self.0.iter().filter(|case| case.is_resting)
    }

    /// Why this is left alone, if it is.
    pub(super) fn rests(&self, gpu: &str, index: Option<u32>, topic: &str) -> Option<&Case> {
        self.resting().find(|case| case.place.covers(gpu, index, topic))
    }

    /// Why the whole GPU is left alone, if it is.
    pub(super) fn rests_whole(&self, gpu: &str, index: u32) -> Option<&Case> {
        self.resting()
            .find(|case| case.place.topic.is_empty() && case.place.is_of(gpu, Some(index)))
    }

    /// Whether this topic is to be read after all else of every GPU: it hung or crashed wherever it was read, or crashed
    /// once.
    pub(super) fn is_suspect(&self, topic: &str) -> bool {
        self.0
            .iter()
            .any(|case| case.place.topic == topic && (case.place.is_of_all() || case.fault == Fault::Crashed))
    }

    /// Whether something of this GPU is suspect.
    pub(super) fn is_suspect_gpu(&self, gpu: &str, index: u32) -> bool {
        self.0.iter().any(|case| case.place.is_of(gpu, Some(index)))
    }

    /// What is known of the GPU with that number.
    pub(super) fn uuid(&self, index: u32) -> Option<&str> {
        let case = self.0.iter().find(|case| case.place.index == Some(index))?;
        Some(case.place.gpu.as_str()).filter(|gpu| !gpu.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_mins(1);

    fn place(index: u32, topic: &str) -> Place {
        Place {
            gpu: format!("GPU-{index}"),
            index: Some(index),
            topic: topic.to_owned(),
        }
    }

    fn told(cases: &Cases) -> Vec<(String, String)> {
        let told = |case: &Case| (case.place.gpu.clone(), case.place.topic.clone());
        cases.resting().map(told).collect()
    }

    #[test]
    fn what_hangs_again_rests_twice_as_long_and_what_works_is_forgotten() {
        let mut quarantine = Quarantine::default();
        let mut now = SystemTime::UNIX_EPOCH + Duration::from_hours(1000);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            quarantine.strike(place(0, "ecc"), Fault::Hung, FIRST, now);
            let rests = |now| quarantine.at(now).rests("GPU-0", Some(0), "ecc").is_some();
            let end = now + Duration::from_mins(minutes);
            assert!(rests(end - Duration::from_secs(1)), "{minutes} min");
            assert!(!rests(end), "{minutes} min");
            assert!(!rests(now - Duration::from_secs(1)), "the clock was set back");
            assert!(quarantine.at(end).is_suspect_gpu("GPU-0", 0), "it is on trial");
            now = end;
        }
        now += Duration::from_hours(1);
        assert!(!quarantine.at(now).is_suspect_gpu("GPU-0", 0));
        quarantine.strike(place(0, "ecc"), Fault::Hung, FIRST, now);
        assert!(
            quarantine
                .at(now + Duration::from_mins(1))
                .rests("GPU-0", None, "ecc")
                .is_none()
        );
    }

    #[test]
    fn a_second_topic_takes_the_gpu_and_a_gpu_that_cannot_be_found_is_taken_whole() {
        let now = SystemTime::now();
        let mut quarantine = Quarantine::default();
        quarantine.strike(place(3, "power"), Fault::Hung, FIRST, now);
        assert_eq!(told(&quarantine.at(now)), [("GPU-3".into(), "power".into())]);
        // The process that followed does not get as far as its UUID.
        let unnamed = Place {
            gpu: String::new(),
            ..place(3, DEVICES)
        };
        quarantine.strike(unnamed.clone(), Fault::Hung, FIRST, now);
        let cases = quarantine.at(now);
        assert_eq!(told(&cases), [("GPU-3".into(), String::new())]);
        assert_eq!(cases.uuid(3), Some("GPU-3"));
        assert!(cases.rests_whole("", 3).is_some() && cases.rests("GPU-3", Some(3), "ecc").is_some());
        assert!(
            cases.rests_whole("GPU-4", 3).is_none(),
            "another GPU has its number now"
        );
        let mut quarantine = Quarantine::default();
        quarantine.strike(unnamed, Fault::Hung, FIRST, now);
        assert!(quarantine.at(now).rests_whole("", 3).is_some());
        // The library itself: nothing can be left alone.
        let mut quarantine = Quarantine::default();
        quarantine.strike(
            Place {
                topic: DEVICES.to_owned(),
                ..Place::default()
            },
            Fault::Hung,
            FIRST,
            now,
        );
        assert_eq!(quarantine, Quarantine::default());
    }

    #[test]
    fn a_topic_that_fails_wherever_it_is_read_is_taken_from_all() {
        let now = SystemTime::now();
        let mut crashed = Quarantine::default();
        crashed.strike(place(0, "ecc"), Fault::Crashed, FIRST, now);
        assert!(crashed.at(now).is_suspect("ecc") && !crashed.at(now).is_suspect("power"));
        crashed.strike(place(1, "ecc"), Fault::Crashed, FIRST, now);
        assert_eq!(told(&crashed.at(now)), [(String::new(), "ecc".into())]);
        let mut hung = Quarantine::default();
        hung.strike(place(0, "ecc"), Fault::Hung, FIRST, now);
        hung.strike(place(1, "ecc"), Fault::Hung, FIRST, now);
        assert!(!hung.at(now).is_suspect("ecc"), "it may be the GPUs");
        hung.strike(place(2, "ecc"), Fault::Hung, FIRST, now);
        assert_eq!(told(&hung.at(now)), [(String::new(), "ecc".into())]);
        // On trial again: with any GPU it is taken from all again.
        let later = now + Duration::from_mins(2);
        hung.strike(place(5, "ecc"), Fault::Hung, FIRST, later);
        assert_eq!(told(&hung.at(later)), [(String::new(), "ecc".into())]);
    }
}
