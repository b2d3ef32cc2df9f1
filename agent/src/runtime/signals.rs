//! Signals that end the agent.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use accelscope_core::host::is_hangup_ignored;
use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM or SIGINT, or for SIGHUP unless it is ignored. From the first call on these signals no longer end the
/// process by themselves.
pub async fn terminated() -> anyhow::Result<()> {
    TerminationSignals::watch()?.received().await;
    Ok(())
}

/// SIGTERM, SIGINT and SIGHUP.
pub(super) struct TerminationSignals(Vec<Signal>);

impl TerminationSignals {
    pub(super) fn watch() -> anyhow::Result<Self> {
        let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt()];
        // Sent when the terminal is closed; ignored under `nohup`.
        if !is_hangup_ignored() {
            kinds.push(SignalKind::hangup());
        }
        let signals: io::Result<_> = kinds.into_iter().map(signal).collect();
        Ok(Self(
            signals.context("the signals that end the agent cannot be watched")?,
        ))
    }

    pub(super) async fn received(&mut self) {
        poll_fn(|context| {
            let mut signals = self.0.iter_mut();
            if signals.any(|signal| signal.poll_recv(context).is_ready()) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}
