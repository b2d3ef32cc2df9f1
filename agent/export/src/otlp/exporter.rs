//! Exporter to all destinations.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::delivery::DestinationState;
use super::destination::Destination;
use super::error::BuildError;
use super::record::Record;
use super::sender::Sender;
use super::transport::ClientOptions;
use crate::backoff::RetryPolicy;
use accelscope_core::budget::Budget;

/// Wait before a sender that panicked is restarted.
const RESTART: Duration = Duration::from_secs(5);

/// Checks the settings of destinations, and reads their files, whose file systems may take
/// [`PATIENCE`](accelscope_core::host::answering::PATIENCE) each.
pub fn verify(destinations: &[Destination]) -> Result<(), BuildError> {
    destinations
        .iter()
        .try_for_each(|destination| ClientOptions::load(destination).map(drop))
}

/// Queues and sends to all destinations independently: an unreachable one does not affect the others.
#[derive(Clone)]
pub struct Exporter {
    senders: Arc<[Arc<Sender>]>,
}

impl Exporter {
    /// Validates each destination's endpoint, headers and files. Requires that the agent's meter provider is installed,
    /// because it creates instruments. Nothing is sent before [`run`](Self::run).
    pub fn new(destinations: Vec<Destination>) -> Result<Self, BuildError> {
        Self::with_retry_policy(destinations, RetryPolicy::default())
    }

    /// As [`new`](Self::new), with other waits between attempts.
    pub fn with_retry_policy(destinations: Vec<Destination>, policy: RetryPolicy) -> Result<Self, BuildError> {
        let mut names = HashSet::new();
        for destination in &destinations {
            if !names.insert(destination.name.as_str()) {
                return Err(BuildError::DuplicateName {
                    name: destination.name.clone(),
                });
            }
        }
        verify(&destinations)?;
        let senders = destinations
            .into_iter()
            .map(|destination| Arc::new(Sender::new(destination, policy)));
        Ok(Self {
            senders: senders.collect(),
        })
    }

    /// Gives the destinations of these names new settings, but for the bound of the queue, and has their files read again. What
    /// waits stays. [`verify`] tells whether they can be used.
    pub fn revise(&self, destinations: &[Destination]) {
        for sender in self.senders.iter() {
            let name = sender.state().name;
            if let Some(destination) = destinations.iter().find(|destination| destination.name == name) {
                sender.revise(destination.clone());
            }
        }
    }

    /// Its queues draw on this budget.
    #[must_use]
    pub fn within(self, budget: &Budget) -> Self {
        self.senders.iter().for_each(|sender| sender.draw_on(budget));
        self
    }

    /// Queues the records for every destination. Never blocks; the bytes are shared.
    pub fn push(&self, records: &[Record]) {
        self.push_to(records, |_| true);
    }

    /// Queues the records for the destinations with these names.
    pub fn push_to(&self, records: &[Record], wanted: impl Fn(&str) -> bool) {
        for sender in self.senders.iter().filter(|sender| wanted(&sender.state().name)) {
            sender.push(records);
        }
    }

    /// Sends until dropped, one task per destination; to be spawned once. Queued records survive the drop.
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

    /// Sends everything until `deadline` without backoff; [`run`](Self::run) must be running. Returns earlier when the
    /// queues are empty or no further record can be delivered. The result is the state of each destination that has
    /// undelivered records.
    pub async fn flush(&self, deadline: Instant) -> Vec<DestinationState> {
        futures_util::future::join_all(self.senders.iter().map(|sender| sender.flush(deadline))).await;
        let states = self.states().into_iter();
        states.filter(|state| state.waiting.records > 0).collect()
    }

    /// State of each destination, in the order of the configuration.
    pub fn states(&self) -> Vec<DestinationState> {
        self.senders.iter().map(|sender| sender.state()).collect()
    }

    /// State of the destination of that name.
    pub fn state(&self, destination: &str) -> Option<DestinationState> {
        self.states().into_iter().find(|state| state.name == destination)
    }
}
