//! All destinations together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::Pace;
use super::destination::Destination;
use super::error::BuildError;
use super::ledger::DestinationState;
use super::queue::Usage;
use super::record::Record;
use super::sender::Sender;
use super::transport::Material;

/// Pause before a sender that panicked is started again.
const RESTART: Duration = Duration::from_secs(5);

/// Queues and sends to every destination, each on its own: a dead one disturbs no other.
#[derive(Clone)]
pub struct Exporter {
    senders: Arc<[Arc<Sender>]>,
}

/// What a flush could not deliver, by destination; empty when everything arrived.
#[derive(Debug, Clone, Default)]
pub struct FlushReport {
    /// Destinations for which something still waits.
    pub left: Vec<LeftOver>,
}

/// What still waits for one destination.
#[derive(Debug, Clone)]
pub struct LeftOver {
    /// Its name.
    pub destination: String,
    /// How much.
    pub waiting: Usage,
    /// Why its last request failed, if one did.
    pub last_error: Option<String>,
}

impl Exporter {
    /// Checks each destination's endpoint, headers and files. Build it after the agent's meter provider is in place,
    /// since its instruments are made here. Nothing is sent before [`run`](Self::run).
    pub fn new(destinations: Vec<Destination>) -> Result<Self, BuildError> {
        Self::with_pace(destinations, Pace::default())
    }

    /// With other waits between attempts.
    pub fn with_pace(destinations: Vec<Destination>, pace: Pace) -> Result<Self, BuildError> {
        let mut names = HashSet::new();
        for destination in &destinations {
            if !names.insert(destination.name.as_str()) {
                return Err(BuildError::DuplicateName {
                    name: destination.name.clone(),
                });
            }
            Material::load(destination)?;
        }
        let senders = destinations
            .into_iter()
            .map(|destination| Arc::new(Sender::new(destination, pace)));
        Ok(Self {
            senders: senders.collect(),
        })
    }

    /// Queues the records for every destination. Cheap, never waits, from any thread; bytes are shared.
    pub fn push(&self, records: &[Record]) {
        for sender in self.senders.iter() {
            sender.push(records);
        }
    }

    /// Sends for ever, one task a destination; to be spawned once. Dropping it stops all sending; what waits stays.
    pub async fn run(&self) {
        let mut tasks = JoinSet::new();
        let start = |tasks: &mut JoinSet<()>, at: usize, after: Duration| {
            let sender = Arc::clone(&self.senders[at]);
            tasks.spawn(async move {
                tokio::time::sleep(after).await;
                sender.run().await;
            })
        };
        let mut running: Vec<_> = (0..self.senders.len())
            .map(|at| start(&mut tasks, at, Duration::ZERO).id())
            .collect();
        while let Some(ended) = tasks.join_next_with_id().await {
            let Err(error) = ended else { continue };
            let Some(at) = running.iter().position(|id| *id == error.id()) else {
                continue;
            };
            tracing::error!(
                destination = self.senders[at].state().name,
                "sender ended by a panic and is started again; please report it: {error}"
            );
            running[at] = start(&mut tasks, at, RESTART).id();
        }
    }

    /// Tries to send everything until `deadline` without back-off waits; [`run`](Self::run) must be running. Returns
    /// sooner when nothing waits any more or nothing more will go through.
    pub async fn flush(&self, deadline: Instant) -> FlushReport {
        futures_util::future::join_all(self.senders.iter().map(|sender| sender.flush(deadline))).await;
        let left = self.states().into_iter().filter(|state| state.waiting.records > 0);
        FlushReport {
            left: left
                .map(|state| LeftOver {
                    destination: state.name,
                    waiting: state.waiting,
                    last_error: state.last_error.map(|(_, said)| said),
                })
                .collect(),
        }
    }

    /// What each destination looks like, in the order of the configuration.
    pub fn states(&self) -> Vec<DestinationState> {
        self.senders.iter().map(|sender| sender.state()).collect()
    }

    /// What the destination of that name looks like.
    pub fn state(&self, destination: &str) -> Option<DestinationState> {
        self.states().into_iter().find(|state| state.name == destination)
    }
}
