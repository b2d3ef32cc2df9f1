//! A point that something on the way does not let through: it alone is lost, and nothing in an outage that looks the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::logs;
use crate::peer::http::{Peer, Running, Trap};
use crate::peer::{destination, record_of, start, until};
use accelscope_export::otlp::{Destination, Exporter, Protocol, Totals};

const TRAPS: [(Trap, Protocol); 4] = [
    (Trap::Close, Protocol::HttpProtobuf),
    (Trap::Close, Protocol::Grpc),
    (Trap::Silence, Protocol::HttpProtobuf),
    (Trap::Status(403), Protocol::HttpProtobuf),
];

/// Points that are not let through: neighbours, the last of a record, and one that fills a record.
const POISON: [i64; 6] = [37, 38, 39, 100, 151, 201];
/// The same, where each attempt takes a second.
const FEW: [i64; 2] = [38, 201];

async fn receiver(
    trap: Trap,
    protocol: Protocol,
    is_trapped: impl Fn(&[i64]) -> bool + Send + Sync + 'static,
) -> Running {
    let mut peer = Peer::new([]);
    peer.trap = Some((trap, Arc::new(is_trapped)));
    if protocol == Protocol::Grpc {
        return peer.start_for_grpc();
    }
    peer.start().await
}

fn to(name: &str, running: &Running, trap: Trap, protocol: Protocol) -> Destination {
    let mut to = destination(name, protocol, &running.address.to_string());
    if matches!(trap, Trap::Silence) {
        // What is never answered costs this much each time. What is answered must not take so long on a busy machine.
        to.timeout = Duration::from_secs(1);
    }
    to
}

/// As [`drained`](crate::peer::drained), with the time for the attempts that are never answered.
async fn drained(exporter: &Exporter, name: &str) -> Totals {
    let state = || exporter.state(name).unwrap();
    for _ in 0..6 {
        if state().waiting.records == 0 {
            break;
        }
        let before = state().totals;
        until("the push goes on", || state().totals != before).await;
    }
    crate::peer::drained(exporter, name).await
}

#[tokio::test]
async fn of_points_that_are_not_let_through_only_these_are_dropped() {
    logs::record();
    for (trap, protocol) in TRAPS {
        let poison: &[i64] = if matches!(trap, Trap::Silence) { &FEW } else { &POISON };
        let running = receiver(trap, protocol, move |ids| ids.iter().any(|id| poison.contains(id))).await;
        let name = format!("trap-{trap:?}-{protocol:?}");
        let exporter = start(vec![to(&name, &running, trap, protocol)]);
        exporter.push(&[
            record_of(1..=100),
            record_of(101..=200),
            record_of(201..=201),
            record_of(202..=300),
        ]);
        let totals = drained(&exporter, &name).await;
        let lost = poison.len() as u64;
        assert_eq!(
            (totals.sent, totals.dropped),
            (300 - lost, lost),
            "{trap:?} {protocol:?}"
        );
        let mut seen = BTreeSet::new();
        // A probe repeats a point; the others are in their order.
        let order: Vec<_> = running
            .peer
            .accepted()
            .into_iter()
            .filter(|id| seen.insert(*id))
            .collect();
        let expected: Vec<_> = (1..=300).filter(|id| !poison.contains(id)).collect();
        assert_eq!(order, expected, "{trap:?} {protocol:?}");
        let said = logs::of(&name);
        let dropped = said.iter().find(|line| line.contains("it is dropped")).unwrap();
        assert!(dropped.contains("metric=\"agent.memory.usage\""), "{dropped}");
        let state = exporter.state(&name).unwrap();
        assert_eq!(
            (state.blocked, state.is_failing),
            (None, false),
            "{trap:?} {protocol:?}"
        );
    }
}

/// A receiver that lets nothing through for long, though it did before, and then is well again.
#[tokio::test]
async fn a_whole_outage_that_looks_the_same_costs_nothing() {
    for (trap, protocol) in TRAPS {
        let is_down = Arc::new(AtomicBool::new(false));
        let trapped = Arc::clone(&is_down);
        let running = receiver(trap, protocol, move |_| trapped.load(Ordering::SeqCst)).await;
        let exporter = start(vec![to("d", &running, trap, protocol)]);
        exporter.push(&[record_of(1..=10)]);
        drained(&exporter, "d").await;
        is_down.store(true, Ordering::SeqCst);
        exporter.push(&[record_of(11..=14), record_of(15..=100)]);
        // Long enough that single points fail, and probes with them.
        let from = running.peer.seen.len();
        until("many attempts failed", || running.peer.seen.len() > from + 20).await;
        let refused = running.peer.seen.map(|attempt| (attempt.accepted, attempt.ids.clone()));
        let probes = refused
            .iter()
            .filter(|(accepted, ids)| !accepted && *ids == [1])
            .count();
        assert!(probes > 3, "{trap:?} {protocol:?}: {refused:?}");
        is_down.store(false, Ordering::SeqCst);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (100, 0), "{trap:?} {protocol:?}");
        let mut seen = BTreeSet::new();
        let order: Vec<_> = running
            .peer
            .accepted()
            .into_iter()
            .filter(|id| seen.insert(*id))
            .collect();
        assert_eq!(order, (1..=100).collect::<Vec<_>>(), "{trap:?} {protocol:?}");
    }
}
