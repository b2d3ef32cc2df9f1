//! What the fuzz target (`agent/fuzz`) calls of what is private. Not part of the interface of this crate.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use accelscope_core::metric::MAX_VALUE_BYTES;

use crate::identity::Machine;
use crate::machine::{Options, Server};
use crate::simulated::Simulated;

/// Requests to one BMC.
const REQUESTS: usize = 3;

/// A BMC with arbitrary records and answers. The input begins with the number of records, each with its length before it; the
/// rest are answers that come in place of the right ones, each with its length before it (0 for the right one, 255 for none).
///
/// # Panics
///
/// If a property does not hold.
pub fn bmc(bytes: &[u8]) {
    let (count, mut rest) = bytes.split_first().map_or((0, bytes), |(count, rest)| (*count, rest));
    let mut next = move || {
        let (length, after) = rest.split_first()?;
        let (part, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        Some((*length, part.to_vec()))
    };
    let records = (0..count).map_while(|_| next()).map(|(_, mut record)| {
        // The BMC writes the id and tells the length.
        record.resize(record.len().max(5), 0);
        record
    });
    let bmc = Simulated::new(records.collect());
    bmc.change(|state| {
        state.readings = (0..=255)
            .map(|number| (number, vec![number, 0xc0, number, 0x80]))
            .collect();
    });
    let answers: Vec<(u8, Vec<u8>)> = std::iter::from_fn(next).collect();
    let mut answers = answers.into_iter();
    bmc.bend(move |_| match answers.next()? {
        (0, _) => None,
        (255, _) => Some(None),
        (_, answer) => Some(Some(answer)),
    });
    let options = Options {
        sensors: true,
        keep: Duration::from_hours(1),
    };
    let mut server = Server::new(Machine::default(), options, || Ok(bmc.open()));
    for _ in 0..REQUESTS {
        let Ok(look) = server.look(Instant::now() + Duration::from_hours(1)) else {
            continue;
        };
        assert!(look.points.len() < 20_000);
        let mut series = HashSet::new();
        for point in &look.points {
            assert!(point.value.is_valid_for(point.instrument), "{point:?}");
            let (name, attributes) = (point.instrument.name, &point.attributes);
            assert!(
                series.insert((name, attributes.clone())),
                "two of {name} {attributes:?}"
            );
            for (_, value) in &**attributes {
                assert!(value.to_string().len() <= MAX_VALUE_BYTES);
            }
        }
        assert!(look.skipped.0.keys().all(|reason| reason.len() < 64));
    }
}
