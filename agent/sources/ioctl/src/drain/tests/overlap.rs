//! Drains and calls at the same time, in every order.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

/// The steps that the programs take for one call, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Enter,
    Claim,
    Clear,
    Return,
    Fail,
    Name,
}

/// Threads that make calls, one step of one of them at a time.
struct Machine {
    /// What each has still to do, the last first.
    threads: Vec<Vec<(bool, Step)>>,
    seed: u64,
    /// Calls that have begun, and those that have failed.
    truth: (u64, u64),
}

impl Machine {
    fn new(outcomes: &[Vec<bool>], seed: u64) -> Self {
        let steps = |fails: &bool| {
            let fails = *fails;
            let mut steps = vec![Step::Enter, Step::Claim, Step::Clear];
            if fails {
                steps.extend([Step::Name, Step::Fail]);
            }
            steps.push(Step::Return);
            steps.into_iter().map(move |step| (fails, step)).collect::<Vec<_>>()
        };
        let threads = outcomes
            .iter()
            .map(|calls| calls.iter().flat_map(steps).rev().collect());
        Self {
            threads: threads.collect(),
            seed: seed | 1,
            truth: (0, 0),
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % below as u64) as usize
    }

    fn steps(&mut self, inside: &mut Inside, most: usize) {
        for _ in 0..self.random(most + 1) {
            let thread = self.random(self.threads.len());
            self.step(inside, thread);
        }
    }

    /// No thread stays within a program for longer than a drain's period.
    fn move_on(&mut self, inside: &mut Inside) {
        for thread in 0..self.threads.len() {
            let in_driver = |steps: &[(bool, Step)]| steps.last().is_none_or(|(_, next)| *next == Step::Clear);
            let between = |steps: &[(bool, Step)]| steps.last().is_none_or(|(_, next)| *next == Step::Enter);
            while !in_driver(&self.threads[thread]) && !between(&self.threads[thread]) {
                self.step(inside, thread);
            }
        }
    }

    fn step(&mut self, inside: &mut Inside, thread: usize) {
        let Some((fails, step)) = self.threads[thread].pop() else {
            return;
        };
        let (_, record) = inside.records.get_mut(&0).unwrap();
        match step {
            Step::Enter => {
                record.entered += 1;
                self.truth.0 += 1;
                self.truth.1 += u64::from(fails);
            }
            Step::Claim => inside.slots.push(slot(thread as u32, 0, PLAIN, inside.now)),
            Step::Clear => inside.slots.retain(|slot| slot.owner as u32 != thread as u32),
            Step::Return => record.buckets[0] += 1,
            Step::Fail => record.failed += 1,
            Step::Name => *inside.errors.entry((0, 25)).or_default() += 1,
        }
    }

    fn is_done(&self) -> bool {
        self.threads.iter().all(Vec::is_empty)
    }
}

proptest! {
    /// With any change between two readings of a drain, no total is too large or decreases, and in the end each is
    /// right.
    ///
    /// A thread may stop between any two steps of a program for as long as a drain lasts; it moves on before the next.
    #[test]
    fn no_call_is_lost_or_counted_twice_while_drains_and_calls_overlap(
        outcomes in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..40), 1..6),
        seed in any::<u64>(),
    ) {
        let mut scene = Scene::new(devices(&crate::families::OTHER, None));
        scene.inside().records.insert(0, (ident(9, 1, "infer", PLAIN), Record::default()));
        let machine = Arc::new(Mutex::new(Machine::new(&outcomes, seed)));
        let inner = machine.clone();
        scene.maps.between = Some(Box::new(move |inside| {
            let mut machine = inner.lock().unwrap();
            machine.steps(inside, 6);
        }));
        let (mut last, mut drains) = ((0, 0), 0);
        loop {
            let done = machine.lock().unwrap().is_done();
            scene.read();
            machine.lock().unwrap().move_on(scene.maps.inside.get_mut());
            let (succeeded, failed, _) = scene.totals();
            let (begun, fail) = machine.lock().unwrap().truth;
            prop_assert!(succeeded + failed <= begun, "{succeeded} + {failed} > {begun}");
            prop_assert!(failed <= fail);
            prop_assert!(succeeded >= last.0 && failed >= last.1);
            last = (succeeded, failed);
            drains += 1;
            prop_assert!(drains < 10_000);
            if done {
                break;
            }
        }
        scene.read();
        let (succeeded, failed, durations) = scene.totals();
        let (begun, fail) = machine.lock().unwrap().truth;
        prop_assert_eq!((succeeded, failed, durations), (begun - fail, fail, begun));
    }
}
