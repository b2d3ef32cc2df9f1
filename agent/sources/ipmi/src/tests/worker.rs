//! Replies of the worker, with a BMC in memory in the device's place.

use std::io;
use std::time::Duration;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::source::Extension;
use accelscope_core::worker::WireOutcome;
use rustix::io::Errno;

use super::{OPTIONS, look, server};
use crate::catalogue;
use crate::identity::Machine;
use crate::machine::Server;
use crate::records::{compact, full};
use crate::sampler::INSTRUMENTS;
use crate::simulated::Simulated;
use crate::worker::{Config, reply};

fn config(is_quiet: bool) -> Config {
    Config {
        root: "/".into(),
        node_name: "node-1".to_owned(),
        timeout: Duration::from_hours(1),
        period: Duration::from_secs(30),
        sensors: true,
        is_quiet,
    }
}

#[test]
fn a_device_that_may_not_be_opened_is_an_error_only_where_it_was_asked_for() {
    for (is_quiet, outcome) in [(true, WireOutcome::NothingHere), (false, WireOutcome::Retry)] {
        let denied = || Err::<Simulated, _>(io::Error::from(io::ErrorKind::PermissionDenied));
        let mut server = Server::new(Machine::default(), OPTIONS, denied);
        let reply = reply(1, &mut server, &config(is_quiet));
        assert_eq!(reply.outcome, outcome);
        assert!(reply.reason.contains("DeviceAllow=char-ipmidev"), "{}", reply.reason);
    }
}

/// ENXIO: no driver has the number. ENODEV: the interface is gone. ENOTTY and others: another driver has it.
#[test]
fn a_node_without_its_driver_is_an_error_only_where_it_was_asked_for() {
    for code in [Errno::NXIO, Errno::NODEV, Errno::NOTTY, Errno::OPNOTSUPP] {
        for (is_quiet, outcome) in [(true, WireOutcome::NothingHere), (false, WireOutcome::Retry)] {
            let stale = move || Err::<Simulated, _>(io::Error::from(code));
            let mut server = Server::new(Machine::default(), OPTIONS, stale);
            let reply = reply(1, &mut server, &config(is_quiet));
            assert_eq!(reply.outcome, outcome, "{code}");
            assert!(
                reply.reason.contains("`modprobe ipmi_si ipmi_devintf`"),
                "{}",
                reply.reason
            );
        }
    }
    let null = || crate::bmc::Device::open("/dev/null".as_ref());
    let mut server = Server::new(Machine::default(), OPTIONS, null);
    assert_eq!(
        reply(1, &mut server, &config(true)).outcome,
        WireOutcome::NothingHere,
        "another driver's"
    );
}

#[test]
fn what_was_read_is_sent_and_a_silent_bmc_is_a_reason() {
    let bmc = Simulated::new(vec![full(1, "T").bytes()]);
    bmc.change(|state| state.readings = [(1, vec![20, 0xc0])].into());
    let mut server = server(&bmc);
    let sent = reply(1, &mut server, &config(true));
    assert_eq!((sent.outcome, sent.reason.as_str()), (WireOutcome::Sampled, ""));
    let has = |name: &str| sent.parts[0].points.iter().any(|point| point.name == name);
    assert!(has("hw.host.power") && has("hw.temperature") && has("ipmi.sel.entries"));
    bmc.bend(|_| Some(None));
    let silent = reply(2, &mut server, &config(true));
    assert_eq!(silent.outcome, WireOutcome::Retry);
    assert!(silent.reason.contains("did not answer"), "{}", silent.reason);
    assert_eq!(silent.skipped.get("silent"), Some(&1));
}

#[test]
fn the_agent_accepts_every_instrument_and_key_that_is_sent() {
    let bmc = Simulated::new(vec![
        full(1, "T").readable(0x3f).bytes(),
        full(2, "F").kind(4, 18).readable(0x3f).bytes(),
        full(3, "V").kind(2, 4).readable(0x3f).bytes(),
        full(4, "A").kind(3, 5).bytes(),
        full(5, "W").kind(0x0b, 6).bytes(),
        compact(6, "PSU", 8).bytes(),
    ]);
    bmc.change(|state| state.readings = (1..=6).map(|number| (number, vec![20, 0xc0, 1, 0])).collect());
    let look = look(&mut server(&bmc)).unwrap();
    let mut shown: Vec<&str> = look.points.iter().map(|point| point.instrument.name).collect();
    for point in &look.points {
        let instrument = point.instrument;
        assert!(
            INSTRUMENTS
                .iter()
                .flat_map(|group| *group)
                .any(|known| **known == *instrument)
        );
        for (key, _) in &*point.attributes {
            let own = instrument.attributes.contains(key);
            assert!(
                own || Extension::keys(catalogue::EXTENSIONS, instrument).any(|known| known == *key),
                "{point:?}"
            );
        }
    }
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(
        shown.len(),
        INSTRUMENTS.concat().len() - 1,
        "all but {}: {shown:?}",
        hw::FAN_SPEED_RATIO.name
    );
}
