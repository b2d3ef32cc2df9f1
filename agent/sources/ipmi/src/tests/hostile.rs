//! BMCs that answer wrongly, too much, or not at all.

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key::{HW_ID, HW_NAME};
use proptest::prelude::*;

use super::{ID, look, server, skipped, values};
use crate::bmc::Kind;
use crate::records::full;
use crate::simulated::Simulated;

fn names(look: &crate::machine::Look) -> Vec<String> {
    values(look, &hw::TEMPERATURE, HW_NAME)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

/// A BMC with so many sensors, each of which has its number as its reading.
fn with_sensors(count: u8) -> Simulated {
    let bmc = Simulated::new(
        (1..=count)
            .map(|number| full(number, &format!("T{number}")).bytes())
            .collect(),
    );
    bmc.change(|state| state.readings = (1..=count).map(|number| (number, vec![number, 0xc0])).collect());
    bmc
}

#[test]
fn answers_to_nobody_s_command_and_events_are_no_answers() {
    let bmc = with_sensors(2);
    bmc.change(|state| state.noise = vec![(Kind::Other, 1), (Kind::Response, -7), (Kind::Response, i64::MAX)]);
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(names(&look), ["T1", "T2"]);
    assert_eq!(values(&look, &hw::HOST_POWER, HW_ID), [(ID.to_owned(), 412.0)]);
}

#[test]
fn a_flood_ends_the_request_and_not_the_next_one() {
    let bmc = with_sensors(2);
    let mut server = server(&bmc);
    bmc.change(|state| state.noise = vec![(Kind::Other, 0); 10_000]);
    let error = look(&mut server).unwrap_err().to_string();
    assert!(error.contains("messages that nobody asked for"), "{error}");
    bmc.change(|state| state.noise.clear());
    assert_eq!(names(&look(&mut server).unwrap()), ["T1", "T2"]);
    assert_eq!(bmc.change(|state| state.opened), 2);
}

#[test]
fn one_silent_sensor_costs_a_request_and_then_only_itself() {
    let bmc = with_sensors(3);
    bmc.bend(|asked| (asked.is(0x04, 0x2d) && asked.data == [2]).then_some(None));
    let mut server = server(&bmc);
    let first = look(&mut server).unwrap();
    assert!(first.remark.contains("did not answer"), "{}", first.remark);
    assert_eq!(
        (names(&first), skipped(&first)),
        (vec!["T1".to_owned()], vec![("silent", 1)])
    );
    // The next one begins behind it.
    assert_eq!(names(&look(&mut server).unwrap()), ["T1", "T3"]);
    let silent = |server: &mut _| skipped(&look(server).unwrap()).contains(&("silent", 1));
    let often = (0..40).filter(|_| silent(&mut server)).count();
    assert!(often < 10, "it is asked in {often} of 40 requests");
}

#[test]
fn a_bmc_that_says_nothing_is_an_error_with_a_reason() {
    let bmc = with_sensors(1);
    bmc.bend(|_| Some(None));
    let error = look(&mut server(&bmc)).unwrap_err().to_string();
    assert!(error.contains("did not answer in time"), "{error}");
}

#[test]
fn unknown_completion_codes_are_counted_and_what_is_missing_is_not() {
    let bmc = with_sensors(2);
    bmc.bend(|asked| match (asked.netfn, asked.cmd) {
        (0x00, 0x01) => Some(Some(vec![0x7e])),
        (0x2c, 0x02) => Some(Some(vec![0xc1])),
        (0x04, 0x2d) if asked.data == [1] => Some(Some(vec![0xd5])),
        _ => None,
    });
    let mut server = server(&bmc);
    let first = look(&mut server).unwrap();
    assert_eq!(skipped(&first), [("completion_7e", 1), ("completion_d5", 1)]);
    assert_eq!(names(&first), ["T2"]);
    // What the BMC does not have is not asked each time.
    look(&mut server).unwrap();
    assert_eq!((bmc.count(0x2c, 0x02), bmc.count(0x00, 0x01)), (1, 2));
}

#[test]
fn a_chain_of_records_that_turns_back_ends() {
    for back in [0_u16, 1, 2] {
        let bmc = with_sensors(3);
        bmc.bend(move |asked| {
            let is_last = asked.is(0x0a, 0x23) && asked.data[2..4] == [2, 0];
            if !is_last {
                return None;
            }
            let record = full(3, "T3").bytes();
            let (at, count) = (usize::from(asked.data[4]), usize::from(asked.data[5]));
            let part = &record[at..(at + count).min(record.len())];
            Some(Some([&[0], back.to_le_bytes().as_slice(), part].concat()))
        });
        let look = look(&mut server(&bmc)).unwrap();
        assert_eq!(names(&look), ["T1", "T2", "T3"], "to {back}");
        assert_eq!(skipped(&look), [("sdr_loop", 1)], "to {back}");
    }
}

#[test]
fn of_ten_thousand_sensors_a_bounded_number_is_read() {
    let bmc = Simulated::new(
        (0..10_000)
            .map(|at| full(at as u8, &format!("T{at}")).bytes())
            .collect(),
    );
    bmc.change(|state| state.readings = (0..=255).map(|number| (number, vec![20, 0xc0])).collect());
    let mut server = server(&bmc);
    let look = look(&mut server).unwrap();
    assert_eq!(names(&look).len(), 1024);
    assert_eq!(skipped(&look), [("sdr_too_many", 1)]);
}

#[test]
fn a_record_that_is_shorter_than_it_says_loses_itself() {
    let bmc = with_sensors(3);
    bmc.change(|state| {
        state.records[1].truncate(20);
        state.records[1][4] = 15;
    });
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(
        (names(&look), skipped(&look)),
        (vec!["T1".to_owned(), "T3".to_owned()], vec![("sdr_short", 1)])
    );
}

#[test]
fn a_reservation_that_is_always_taken_away_ends_the_reading() {
    let bmc = with_sensors(3);
    bmc.bend(|asked| asked.is(0x0a, 0x23).then(|| Some(vec![0xc5])));
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(names(&look), [""; 0]);
    assert_eq!(skipped(&look), [("completion_c5", 1), ("sdr_incomplete", 1)]);
    assert!(bmc.count(0x0a, 0x22) < 20);
}

#[test]
fn a_record_that_cannot_be_read_loses_itself() {
    let bmc = with_sensors(3);
    bmc.bend(|asked| (asked.is(0x0a, 0x23) && asked.data[2] == 1 && asked.data[4] > 0).then(|| Some(vec![0xd4])));
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(names(&look), ["T1", "T3"]);
    assert_eq!(skipped(&look), [("completion_d4", 1), ("sdr_unreadable", 1)]);
}

#[test]
fn records_that_could_not_be_read_are_tried_again() {
    let bmc = with_sensors(3);
    bmc.bend(|asked| asked.is(0x0a, 0x23).then(|| Some(vec![0xd4])));
    let mut server = server(&bmc);
    assert_eq!(names(&look(&mut server).unwrap()), [""; 0]);
    bmc.bend(|_| None);
    let known = (0..40).position(|_| names(&look(&mut server).unwrap()).len() == 3);
    assert!(known.is_some_and(|after| after > 5), "{known:?}");
}

#[test]
fn two_sensors_with_one_key_are_one_series() {
    let bmc = Simulated::new(vec![full(1, "T").bytes(), full(1, "T").bytes(), full(1, "U").bytes()]);
    bmc.change(|state| state.readings = [(1, vec![20, 0xc0])].into());
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(
        (names(&look), skipped(&look)),
        (vec!["T".to_owned(), "U".to_owned()], vec![("sdr_duplicate", 1)])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes it answers with, a request ends, with bounded and finite values.
    #[test]
    fn any_answers_end_in_finite_points(answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..50), honest in 0_usize..40) {
        let bmc = with_sensors(9);
        let mut at = 0;
        bmc.bend(move |_| {
            at += 1;
            (at > honest).then(|| answers.get((at - honest) % (answers.len() + 1)).cloned())
        });
        let mut server = server(&bmc);
        for _ in 0..3 {
            if let Ok(look) = look(&mut server) {
                prop_assert!(look.points.len() < 20_000);
                for point in &look.points {
                    prop_assert!(point.value.is_valid_for(point.instrument), "{point:?}");
                }
            }
        }
    }
}
