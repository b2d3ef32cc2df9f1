//! Answers of metrics: rendered once for all scrapes of a moment, and bounded together.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use opentelemetry::metrics::Counter;
use tokio::time::Instant;

use super::cuts::{Cut, Cuts};
use super::pieces::Sink;
use accelscope_core::budget::{Account, Budget, Purpose};
use accelscope_core::metric::catalogue;
use accelscope_core::telemetry;

/// Bytes that all answers hold together. The newest one is served even if it alone is larger, which only `limits.series`
/// bounds; older ones, which slow clients still read, are given up for it, the oldest first.
const HELD: usize = 8 << 20;
/// Age to which an answer serves further scrapes, at least.
const REUSE: Duration = Duration::from_millis(250);
/// As many times as long as its rendering took, so that rendering takes an eighth of a processor at most.
const REUSE_FACTOR: u32 = 8;
/// And at most.
const LONGEST_REUSE: Duration = Duration::from_secs(5);
/// Time for which a scrape waits for its answer to be rendered; Prometheus waits ten seconds.
const WAIT: Duration = Duration::from_secs(10);

/// Answers of all routes and listeners, and their bound.
#[derive(Debug, Clone)]
pub struct Answers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Oldest first. Readers have no other hold on an answer, so that what is dropped here is freed.
    held: Mutex<Vec<Arc<Answer>>>,
    /// What is held, in the budget of the agent's memory.
    account: Option<Account>,
    rendered: Counter<u64>,
    cuts: Cuts,
}

#[derive(Debug)]
struct Answer {
    pieces: Vec<Bytes>,
    bytes: usize,
    /// Serves scrapes until then.
    fresh_until: Instant,
    readers: Arc<AtomicUsize>,
}

impl Default for Answers {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Answers {
    /// Answers that draw on this budget.
    pub fn within(budget: &Budget) -> Self {
        Self::new(Some(budget.account(Purpose::Answers)))
    }

    fn new(account: Option<Account>) -> Self {
        Self(Arc::new(Shared {
            held: Mutex::default(),
            account,
            rendered: telemetry::counter(&catalogue::agent::HTTP_RENDERED),
            cuts: Cuts::default(),
        }))
    }
}

impl Shared {
    /// Gives up the oldest answers until there is room for as many bytes.
    fn make_room(&self, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.account.as_ref().map_or(u64::MAX, Account::room);
        let most = HELD.min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut total: usize = held.iter().map(|answer| answer.bytes).sum();
        let too_many = held.iter().take_while(|answer| {
            let is_over = total + bytes > most;
            total -= answer.bytes;
            is_over
        });
        let too_many = too_many.count();
        held.drain(..too_many);
        self.count(&held);
    }

    /// Drops what nobody reads and what is too old for further scrapes.
    fn drop_unused(&self) {
        let now = Instant::now();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|answer| now < answer.fresh_until || answer.readers.load(Ordering::Relaxed) > 0);
        self.count(&held);
    }

    fn keep(&self, answer: Arc<Answer>) {
        self.make_room(answer.bytes);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(answer);
        self.count(&held);
    }

    fn count(&self, held: &[Arc<Answer>]) {
        if let Some(account) = &self.account {
            account.set(held.iter().map(|answer| answer.bytes as u64).sum());
        }
    }
}

/// Newest answer of a route in one format and encoding. Its lock is held while one is rendered: who waits for it finds the
/// answer that was made meanwhile.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot(Arc<tokio::sync::Mutex<Newest>>);

#[derive(Debug, Default)]
struct Newest {
    answer: Weak<Answer>,
    /// Size of the last one.
    bytes: usize,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// It could not be rendered in time.
    Busy,
    /// It could not be rendered; a fault of the agent.
    Failed,
}

impl Answers {
    /// The answer of the slot: the newest if it is of this moment, else what `render` writes, on a thread for blocking work.
    /// Goes on to render for others if the caller is gone.
    pub(super) async fn get(
        &self,
        slot: &Slot,
        gzip: bool,
        render: impl FnOnce(&mut Sink) + Send + 'static,
    ) -> Result<Reading, NoAnswer> {
        let answer = tokio::spawn(newest(self.clone(), slot.clone(), gzip, render));
        match tokio::time::timeout(WAIT, answer).await {
            Ok(Ok(Some(reading))) => Ok(reading),
            Ok(_) => Err(NoAnswer::Failed),
            Err(_) => Err(NoAnswer::Busy),
        }
    }

    pub(super) fn cuts(&self) -> &Cuts {
        &self.0.cuts
    }
}

async fn newest(
    answers: Answers,
    slot: Slot,
    gzip: bool,
    render: impl FnOnce(&mut Sink) + Send + 'static,
) -> Option<Reading> {
    let mut newest = slot.0.lock().await;
    let fresh = newest
        .answer
        .upgrade()
        .filter(|answer| Instant::now() < answer.fresh_until);
    if let Some(answer) = fresh {
        return Some(Reading::new(&answer, answers));
    }
    let shared = Arc::clone(&answers.0);
    shared.make_room(newest.bytes);
    let begun = Instant::now();
    let pieces = tokio::task::spawn_blocking(move || {
        let mut sink = Sink::new(gzip);
        render(&mut sink);
        sink.finish()
    });
    let pieces = match pieces.await {
        Ok(Ok(pieces)) => pieces,
        Ok(Err(error)) => {
            tracing::error!(%error, "an answer cannot be compressed; please report it");
            return None;
        }
        // The panic has been logged.
        Err(_) => return None,
    };
    shared.rendered.add(1, &[]);
    let reuse = (begun.elapsed() * REUSE_FACTOR).clamp(REUSE, LONGEST_REUSE);
    let answer = Arc::new(Answer {
        bytes: pieces.iter().map(Bytes::len).sum(),
        pieces,
        fresh_until: begun + reuse,
        readers: Arc::default(),
    });
    *newest = Newest {
        answer: Arc::downgrade(&answer),
        bytes: answer.bytes,
    };
    let reading = Reading::new(&answer, answers);
    let fresh_until = answer.fresh_until;
    shared.keep(answer);
    tokio::spawn(async move {
        tokio::time::sleep_until(fresh_until).await;
        shared.drop_unused();
    });
    Some(reading)
}

/// A response's body: an answer as one client reads it.
#[derive(Debug)]
pub(super) struct Reading {
    answer: Weak<Answer>,
    next: usize,
    /// Bytes that were not given out yet.
    left: usize,
    readers: Arc<AtomicUsize>,
    answers: Answers,
}

impl Reading {
    fn new(answer: &Arc<Answer>, answers: Answers) -> Self {
        answer.readers.fetch_add(1, Ordering::Relaxed);
        Self {
            answer: Arc::downgrade(answer),
            next: 0,
            left: answer.bytes,
            readers: Arc::clone(&answer.readers),
            answers,
        }
    }
}

/// The answer was given up for a newer one before the client had read it.
#[derive(Debug, thiserror::Error)]
#[error("the answer was given up for a newer one")]
pub(super) struct Superseded;

impl HttpBody for Reading {
    type Data = Bytes;
    type Error = Superseded;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Superseded>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = self
            .answer
            .upgrade()
            .and_then(|answer| answer.pieces.get(self.next).cloned());
        let Some(piece) = piece else {
            self.left = 0;
            self.answers.cuts().add(Cut::Superseded);
            return Poll::Ready(Some(Err(Superseded)));
        };
        self.next += 1;
        self.left -= piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.readers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.answers.0.drop_unused();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use http_body_util::BodyExt;

    use super::*;
    use accelscope_core::budget;

    fn held(answers: &Answers) -> usize {
        answers.0.held.lock().unwrap().iter().map(|answer| answer.bytes).sum()
    }

    fn render(bytes: usize) -> impl FnOnce(&mut Sink) + Send + 'static {
        move |sink| sink.write_str(&"x".repeat(bytes)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn scrapes_of_a_moment_share_an_answer_and_later_ones_get_a_newer() {
        let (answers, slot) = (Answers::default(), Slot::default());
        let first = answers.get(&slot, false, render(10)).await.unwrap();
        let second = answers.get(&slot, false, |_| panic!("rendered twice")).await.unwrap();
        assert_eq!(first.answer.as_ptr(), second.answer.as_ptr());
        assert_eq!(second.collect().await.unwrap().to_bytes().len(), 10);
        tokio::time::sleep(LONGEST_REUSE).await;
        let third = answers.get(&slot, false, render(20)).await.unwrap();
        assert_eq!(third.collect().await.unwrap().to_bytes().len(), 20);
        assert_eq!(held(&answers), 30, "the first one is still read");
        drop(first);
        tokio::time::sleep(LONGEST_REUSE).await;
        assert_eq!(held(&answers), 0, "nothing is kept between scrapes");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_do_not_read_hold_no_more_than_the_bound_and_keep_nobody_out() {
        let (answers, slot) = (Answers::default(), Slot::default());
        let mut stalled = Vec::new();
        for _ in 0..32 {
            stalled.push(answers.get(&slot, false, render(3 << 20)).await.unwrap());
            assert!(held(&answers) <= HELD);
            tokio::time::sleep(LONGEST_REUSE).await;
        }
        let last = stalled.pop().unwrap();
        assert_eq!(last.collect().await.unwrap().to_bytes().len(), 3 << 20);
        assert!(stalled.remove(0).collect().await.is_err(), "the oldest was given up");
        let huge = answers.get(&slot, false, render(2 * HELD)).await.unwrap();
        assert_eq!(
            huge.collect().await.unwrap().to_bytes().len(),
            2 * HELD,
            "it is served alone"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn answers_draw_on_the_budget_and_give_back_what_is_no_longer_read() {
        let budget = Budget::new(budget::LEAST, 0);
        let room = budget.room(Purpose::Answers) as usize;
        assert!(room < HELD, "{room}");
        let (answers, slot) = (Answers::within(&budget), Slot::default());
        let mut stalled = Vec::new();
        for _ in 0..8 {
            stalled.push(answers.get(&slot, false, render(room / 2)).await.unwrap());
            assert_eq!(budget.used(Purpose::Answers) as usize, held(&answers));
            assert!(held(&answers) <= room);
            tokio::time::sleep(LONGEST_REUSE).await;
        }
        drop(stalled);
        answers.0.drop_unused();
        assert_eq!(budget.used(Purpose::Answers), 0);
    }
}
