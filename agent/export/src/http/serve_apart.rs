//! Listeners on a thread of their own, behind sampling and pushing.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::Listener;

/// By how much the threads are nicer than the process's main thread: a third of its share of a busy processor.
const NICE: i32 = 5;
/// Stack of a thread in bytes; requests need a tenth of it.
const STACK: usize = 512 << 10;

/// Serves the listeners until the process ends. Connections have one thread, rendering another, so that one answer is
/// rendered at a time, and both yield to all others of the process.
pub fn serve_apart(listeners: Vec<Listener>) -> io::Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_name("http-render")
        .thread_stack_size(STACK)
        .build()?;
    let serve = async move {
        let mut serving = JoinSet::new();
        for listener in listeners {
            serving.spawn(listener.serve(std::future::pending()));
        }
        while let Some(ended) = serving.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::error!(%error, "a listener cannot be served; restart the agent");
            }
        }
    };
    let run = move || {
        yield_to_others();
        runtime.block_on(serve);
    };
    thread::Builder::new()
        .name("http".to_owned())
        .stack_size(STACK)
        .spawn(run)
        .map(drop)
}

/// Lowers the priority of this thread and of those that it starts (setpriority(2), "C library/kernel differences").
fn yield_to_others() {
    let lowered = rustix::process::getpriority_process(None)
        .and_then(|nice| rustix::process::setpriority_process(None, (nice + NICE).min(19)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "listeners are served with the priority of the samplers");
    }
}
