//! Signals that end the agent, and the one that makes it read its configuration again.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use super::early;
use accelscope_core::host::is_hangup_ignored;
use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What SIGHUP means. Where it is ignored, as under `nohup`, it stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// The terminal was closed: the agent ends.
    Ends,
    /// The configuration is to be read again, unless the terminal from which the agent was started was closed.
    Reloads,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    End,
    Reload,
}

/// Waits for SIGTERM or SIGINT, or for SIGHUP if it ends the agent. From the first call on these signals no longer end the
/// process by themselves.
pub async fn terminated(hangup: Hangup) -> anyhow::Result<()> {
    let mut signals = Signals::watch(hangup)?;
    while signals.received().await == Request::Reload {}
    Ok(())
}

/// SIGTERM, SIGINT and SIGHUP.
pub(super) struct Signals {
    end: Vec<Signal>,
    hangup: Option<Signal>,
    meaning: Hangup,
    has_terminal: bool,
}

impl Signals {
    pub(super) fn watch(meaning: Hangup) -> anyhow::Result<Self> {
        let end: io::Result<_> = [SignalKind::terminate(), SignalKind::interrupt()]
            .into_iter()
            .map(signal)
            .collect();
        let hangup = (!is_hangup_ignored()).then(|| signal(SignalKind::hangup())).transpose();
        let context = "the signals of the agent cannot be watched";
        let (end, hangup) = (end.context(context)?, hangup.context(context)?);
        early::is_watched();
        Ok(Self {
            end,
            hangup,
            meaning,
            has_terminal: has_terminal(),
        })
    }

    pub(super) async fn received(&mut self) -> Request {
        poll_fn(|context| {
            if self.end.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
                return Poll::Ready(Request::End);
            }
            let hangup = self.hangup.as_mut().map(|signal| signal.poll_recv(context));
            if !matches!(hangup, Some(Poll::Ready(_))) {
                return Poll::Pending;
            }
            let was_closed = self.has_terminal && !has_terminal();
            Poll::Ready(if self.meaning == Hangup::Ends || was_closed {
                Request::End
            } else {
                Request::Reload
            })
        })
        .await
    }
}

/// Whether this process has a terminal that is open: a closed one is no longer that of any process.
pub(super) fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}
