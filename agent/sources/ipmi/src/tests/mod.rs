//! Tests of whole requests against a BMC in memory.

mod hostile;
mod requests;
mod worker;

use std::io;
use std::time::{Duration, Instant};

use accelscope_core::metric::{Instrument, Point};

use crate::identity::Machine;
use crate::machine::{Look, LookError, Options, Server};
use crate::simulated::Simulated;

const OPTIONS: Options = Options {
    sensors: true,
    keep: Duration::from_hours(1),
};
const ID: &str = "0f0e0d0c-0b0a-0908-0706-050403020100";

/// A server whose BMC it is.
fn server(bmc: &Simulated) -> Server<impl FnMut() -> io::Result<Simulated> + use<>> {
    let bmc = bmc.clone();
    Server::new(Machine::default(), OPTIONS, move || Ok(bmc.open()))
}

/// One request with much time.
fn look<O: FnMut() -> io::Result<Simulated>>(server: &mut Server<O>) -> Result<Look, LookError> {
    server.look(Instant::now() + Duration::from_hours(1))
}

/// The values of an instrument by the attribute of that key, in their order.
fn values(look: &Look, instrument: &Instrument, key: &str) -> Vec<(String, f64)> {
    let of = |point: &&Point| *point.instrument == *instrument;
    let pair = |point: &Point| {
        let value = point.value.as_f64().unwrap();
        (point.attributes.text(key).unwrap_or_default().to_owned(), value)
    };
    look.points.iter().filter(of).map(pair).collect()
}

fn skipped(look: &Look) -> Vec<(&str, u64)> {
    look.skipped
        .0
        .iter()
        .map(|(reason, count)| (reason.as_str(), *count))
        .collect()
}
