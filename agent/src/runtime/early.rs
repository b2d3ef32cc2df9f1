//! Signals that come while the agent starts, before it watches for any. What ends a process by default must not end the agent
//! where it asks for a reload, and what ends the agent is lost where the kernel lets nothing end the process by default.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::signals::{Request, has_terminal};
use crate::cli::EXIT_OK;
use accelscope_core::host::is_hangup_ignored;

/// Arguments of what is no agent that goes on until it is ended, and that keeps the kernel's way.
const OTHERS: [&str; 11] = [
    "--stdout",
    "--once",
    "--help",
    "-h",
    "--version",
    "-V",
    "help",
    "check-config",
    "doctor",
    "simulate",
    "worker",
];

/// What has come, and until when this is who takes it.
#[derive(Debug)]
struct Early {
    hangup: Arc<AtomicBool>,
    /// Whether nothing else watches for the signals that end the agent.
    is_alone: Arc<AtomicBool>,
    had_terminal: bool,
}

static EARLY: OnceLock<Early> = OnceLock::new();

/// Takes note of signals from now on, if these arguments start an agent that goes on until it is ended.
pub(crate) fn hold(arguments: &[OsString]) {
    let is_other = |argument: &OsString| OTHERS.iter().any(|other| argument == other);
    if arguments.iter().skip(1).any(is_other) || is_hangup_ignored() {
        return;
    }
    let early = EARLY.get_or_init(|| Early {
        hangup: Arc::default(),
        is_alone: Arc::new(AtomicBool::new(true)),
        had_terminal: has_terminal(),
    });
    // Each fails for want of memory alone: then the signal does what it does by default.
    flag::register(SIGHUP, early.hangup.clone()).ok();
    if std::process::id() == 1 {
        // The first process of a container gets no signal that it does not handle (pid_namespaces(7)).
        for end in [SIGTERM, SIGINT] {
            flag::register_conditional_shutdown(end, EXIT_OK.into(), early.is_alone.clone()).ok();
        }
    }
}

/// Something else watches for the signals that end the agent.
pub(super) fn is_watched() {
    if let Some(early) = EARLY.get() {
        early.is_alone.store(false, Ordering::SeqCst);
    }
}

/// What a SIGHUP has asked for that came before the agent watched for it.
pub(super) fn take() -> Option<Request> {
    let early = EARLY.get()?;
    let was_closed = || early.had_terminal && !has_terminal();
    early
        .hangup
        .swap(false, Ordering::SeqCst)
        .then(|| if was_closed() { Request::End } else { Request::Reload })
}
