//! `agent.http.cut`.

use opentelemetry::metrics::Counter;

use accelscope_core::metric::{catalogue, key};
use accelscope_core::telemetry;

/// Why a client did not get the whole of its answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
    /// It took nothing for a time.
    Stalled,
    /// It was not done in time.
    Slow,
    /// Others needed its connection.
    Crowded,
    /// Its answer was given up for a newer one.
    Superseded,
}

impl Cut {
    const ALL: [Self; 4] = [Self::Stalled, Self::Slow, Self::Crowded, Self::Superseded];

    const fn reason(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Slow => "slow",
            Self::Crowded => "crowded",
            Self::Superseded => "superseded",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Cuts(Counter<u64>);

impl Default for Cuts {
    fn default() -> Self {
        let cuts = Self(telemetry::counter(&catalogue::agent::HTTP_CUT));
        for cut in Cut::ALL {
            cuts.count(cut, 0);
        }
        cuts
    }
}

impl Cuts {
    pub(super) fn add(&self, cut: Cut) {
        self.count(cut, 1);
    }

    fn count(&self, cut: Cut, number: u64) {
        self.0.add(number, &[telemetry::label(key::AGENT_REASON, cut.reason())]);
    }
}
