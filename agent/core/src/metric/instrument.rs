//! Definition of a metric.

use std::hash::{Hash, Hasher};

/// A metric's definition. Every instance stands in the [`catalogue`](super::catalogue).
#[derive(Debug)]
pub struct Instrument {
    /// Dotted name, by OpenTelemetry's rules.
    pub name: &'static str,
    /// Unit in UCUM notation; empty where the value is a mere 1 that carries attributes.
    pub unit: &'static str,
    /// Kind of its data.
    pub kind: Kind,
    /// One sentence for the people who read the metric.
    pub description: &'static str,
    /// Keys that its points may carry of their own. Those of the owner (process, container, pod) come in addition
    /// where [`owned`](Self::owned) is set.
    pub attributes: &'static [&'static str],
    /// Whether its points belong to a process or container, whose attributes they get.
    pub owned: bool,
    /// How points of several processes combine into the one series of their container.
    pub merge: Merge,
    /// How far its name and meaning can be relied on.
    pub stability: Stability,
}

/// Kind of an instrument's data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A value that is read, and adds up to nothing by itself.
    Gauge,
    /// A total that only grows; cumulative.
    Counter,
    /// A value that adds up over its attributes; cumulative.
    UpDownCounter,
    /// Explicit-bucket, cumulative, with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word for it in JSON lines and documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::UpDownCounter => "updowncounter",
            Self::Histogram(_) => "histogram",
        }
    }

    /// Whether its points carry a start time (OTLP `start_time_unix_nano`).
    pub const fn is_cumulative(self) -> bool {
        matches!(self, Self::Counter | Self::Histogram(_))
    }
}

/// How gauges and up-down counters of several processes combine into one series. Counters and histograms always add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// How far a name and its meaning can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// Changes only with a new major version.
    Stable,
    /// May still change; follows a convention that is itself in development.
    Development,
}

impl Stability {
    /// The word for it in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Development => "development",
        }
    }
}

impl PartialEq for Instrument {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Instrument {}

impl Hash for Instrument {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
