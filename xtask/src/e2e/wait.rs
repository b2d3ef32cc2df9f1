//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(100);

/// Longest wait for what comes soon on an idle machine: a busy one may stand still for seconds, again and again.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// Polls until there is an answer. An error is not final: it is reported on timeout.
pub(crate) fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        let answer = ask();
        if let Ok(Some(found)) = answer {
            return Ok(found);
        }
        if Instant::now() >= end {
            let why = answer.err().map(|error| format!(": {error:#}")).unwrap_or_default();
            bail!("waited {} s for {what}{why}", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

/// Polls until the condition holds.
pub(crate) fn until_true(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, limit, || Ok(ask()?.then_some(())))
}

/// Fails unless the condition holds all the time.
pub(crate) fn throughout(what: &str, length: Duration, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + length;
    while Instant::now() < end {
        if !ask()? {
            bail!("no longer true: {what}");
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
