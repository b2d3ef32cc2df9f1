//! Signals that end the agent.

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
pub(super) struct TerminationSignals {
    terminate: Signal,
    interrupt: Signal,
    /// Sent when the terminal is closed; `None` where it is ignored, as under `nohup`.
    hangup: Option<Signal>,
}

impl TerminationSignals {
    pub(super) fn watch() -> anyhow::Result<Self> {
        let hangup = (!is_hangup_ignored()).then_some(SignalKind::hangup());
        let watch = |kind| signal(kind).context("the signals that end the agent cannot be watched");
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
            hangup: hangup.map(watch).transpose()?,
        })
    }

    pub(super) async fn received(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hangup => {}
        }
    }
}
