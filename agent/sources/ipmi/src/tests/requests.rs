//! What a well-behaved BMC's answers become.

use std::time::{Duration, Instant};

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key::{HW_ID, HW_LIMIT_TYPE, HW_NAME, HW_PARENT, HW_SENSOR_LOCATION, HW_STATE, HW_TYPE};

use super::{ID, look, server, skipped, values};
use crate::bmc::Target;
use crate::catalogue;
use crate::key::IPMI_CHASSIS_CONDITION;
use crate::records::{compact, full};
use crate::simulated::Simulated;

fn pairs(all: &[(String, f64)]) -> Vec<(&str, f64)> {
    all.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

#[test]
fn power_chassis_and_event_log_are_the_server_s() {
    let bmc = Simulated::new(Vec::new());
    bmc.change(|state| state.chassis = [0x01, 0x00, 0x0d]);
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(pairs(&values(&look, &hw::HOST_POWER, HW_ID)), [(ID, 412.0)]);
    assert_eq!(pairs(&values(&look, &catalogue::SEL_ENTRIES, HW_ID)), [(ID, 7.0)]);
    assert_eq!(pairs(&values(&look, &catalogue::SEL_FREE, HW_ID)), [(ID, 4096.0)]);
    let conditions = values(&look, &catalogue::CHASSIS_STATE, IPMI_CHASSIS_CONDITION);
    let holding: Vec<_> = conditions
        .iter()
        .filter(|(_, value)| *value > 0.0)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(holding, ["power_on", "intrusion", "drive_fault", "cooling_fault"]);
    assert_eq!(conditions.len(), 8);
    let status = values(&look, &hw::STATUS, HW_STATE);
    assert_eq!(pairs(&status), [("ok", 0.0), ("degraded", 1.0), ("failed", 0.0)]);
    assert_eq!(values(&look, &hw::STATUS, HW_TYPE)[0].0, "enclosure");
}

#[test]
fn each_sensor_is_shown_in_its_unit_with_its_limits() {
    let bmc = Simulated::new(vec![
        full(1, "CPU1 Temp").entity(3, 1).readable(0b01_1000).bytes(),
        full(2, "Fan 3").kind(4, 18).entity(29, 3).factors(75, 0, 0, 0).bytes(),
        full(3, "12V")
            .kind(2, 4)
            .factors(63, 0, 0, -3)
            .readable(0b00_0010)
            .bytes(),
        full(4, "PSU1 In").kind(3, 5).entity(10, 1).factors(1, 0, 0, -1).bytes(),
        full(5, "CPU1 Power")
            .kind(0x0b, 6)
            .entity(3, 1)
            .factors(2, 0, 0, 0)
            .bytes(),
        full(6, "Inlet").kind(1, 2).entity(55, 1).bytes(),
        full(7, "Flow").kind(0x0b, 17).bytes(),
        compact(8, "PSU1", 0x08).bytes(),
    ]);
    bmc.change(|state| {
        let raw = [(1, 54), (2, 80), (3, 191), (4, 23), (5, 60), (6, 77), (7, 1)];
        state.readings = raw.map(|(number, raw)| (number, vec![raw, 0xc0, 0xc0])).into();
        // Present, and its input is lost.
        state.readings.insert(8, vec![0, 0xc0, 0b1001, 0x80]);
    });
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(skipped(&look), []);
    let shown = |instrument| {
        pairs(&values(&look, instrument, HW_NAME))
            .iter()
            .map(|(name, value)| format!("{name} {value:.3}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&hw::TEMPERATURE), ["CPU1 Temp 54.000", "Inlet 25.000"]);
    assert_eq!(shown(&hw::FAN_SPEED), ["Fan 3 6000.000"]);
    assert_eq!(shown(&hw::VOLTAGE), ["12V 12.033"]);
    assert_eq!(shown(&hw::CURRENT), ["PSU1 In 2.300"]);
    assert_eq!(shown(&hw::POWER), ["CPU1 Power 120.000"]);
    assert_eq!(pairs(&values(&look, &hw::POWER, HW_TYPE)), [("cpu", 120.0)]);
    assert_eq!(pairs(&values(&look, &hw::POWER, HW_PARENT)), [(ID, 120.0)]);
    let limits = values(&look, &hw::TEMPERATURE_LIMIT, HW_LIMIT_TYPE);
    assert_eq!(pairs(&limits), [("high.degraded", 95.0), ("high.critical", 105.0)]);
    assert_eq!(
        pairs(&values(&look, &hw::VOLTAGE_LIMIT, HW_LIMIT_TYPE)),
        [("low.critical", 0.126)]
    );
    let places = values(&look, &hw::TEMPERATURE, HW_SENSOR_LOCATION);
    assert_eq!(pairs(&places), [("cpu1", 54.0), ("inlet1", 25.0)]);
    let ids = values(&look, &hw::TEMPERATURE, HW_ID);
    assert_eq!(ids[0].0, format!("{ID}/20.0.01/CPU1 Temp"));
    let supplies: Vec<_> = values(&look, &hw::STATUS, HW_STATE).split_off(3);
    assert_eq!(pairs(&supplies), [("ok", 0.0), ("degraded", 0.0), ("failed", 1.0)]);
}

/// A power that is named as part of the server's is left out of sums, so that it is only where that one is shown.
#[test]
fn a_power_is_part_of_the_server_s_while_that_one_is_shown() {
    let bmc = Simulated::new(vec![
        full(1, "CPU1 Power").kind(0x0b, 6).entity(3, 1).bytes(),
        full(2, "PSU1 Power").kind(0x08, 6).entity(10, 1).bytes(),
        full(3, "CPU1 Temp").entity(3, 1).bytes(),
    ]);
    bmc.change(|state| state.readings = (1..=3).map(|number| (number, vec![50, 0xc0])).collect());
    let mut server = server(&bmc);
    let mut parents = |watts| {
        bmc.change(|state| state.watts = watts);
        let look = look(&mut server).unwrap();
        let ids = values(&look, &hw::POWER, HW_ID);
        assert_eq!(ids[0].0, format!("{ID}/20.0.01/CPU1 Power"), "it stays the same sensor");
        assert_eq!(values(&look, &hw::TEMPERATURE, HW_PARENT)[0].0, ID, "no sum");
        let of_power = values(&look, &hw::POWER, HW_PARENT);
        (
            of_power.into_iter().map(|(parent, _)| parent).collect::<Vec<_>>(),
            values(&look, &hw::HOST_POWER, HW_ID).len(),
        )
    };
    assert_eq!(parents(Some(412)), (vec![ID.to_owned(); 2], 1));
    let roots = (vec![String::new(); 2], 0);
    assert_eq!(parents(Some(u16::MAX)), roots, "a reading that is none");
    assert_eq!(parents(Some(300)).0, [ID, ID]);
    assert_eq!(parents(None), roots, "the BMC refuses it");
}

#[test]
fn a_bmc_that_has_no_dcmi_or_stops_answering_it_leaves_the_powers_to_be_summed() {
    let bmc = Simulated::new(vec![full(1, "PSU1 Power").kind(0x08, 6).entity(10, 1).bytes()]);
    bmc.change(|state| {
        state.readings = [(1, vec![50, 0xc0])].into();
        state.watts = None;
    });
    let parents = |look| {
        pairs(&values(&look, &hw::POWER, HW_PARENT))
            .iter()
            .map(|(parent, _)| (*parent).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(parents(look(&mut server(&bmc)).unwrap()), [""]);
    bmc.change(|state| state.watts = Some(412));
    let mut server = server(&bmc);
    assert_eq!(parents(look(&mut server).unwrap()), [ID]);
    bmc.bend(|asked| asked.is(0x2c, 0x02).then_some(None));
    look(&mut server).unwrap_err();
    assert_eq!(parents(look(&mut server).unwrap()), [""], "it is silent");
}

#[test]
fn a_sensor_without_a_reading_is_absent_and_comes_back() {
    let bmc = Simulated::new(
        (1..=4)
            .map(|number| full(number, &format!("T{number}")).bytes())
            .collect(),
    );
    // Unavailable; not scanned; not there; as it should be.
    bmc.change(|state| state.readings = [(1, vec![9, 0xe0, 0]), (2, vec![9, 0x80, 0]), (4, vec![40, 0xc0])].into());
    let mut server = server(&bmc);
    let first = look(&mut server).unwrap();
    assert_eq!(pairs(&values(&first, &hw::TEMPERATURE, HW_NAME)), [("T4", 40.0)]);
    assert_eq!(skipped(&first), [], "nothing is missing");
    bmc.change(|state| state.readings = [(1, vec![9, 0xc0, 0]), (4, vec![40, 0xe0])].into());
    let second = look(&mut server).unwrap();
    assert_eq!(pairs(&values(&second, &hw::TEMPERATURE, HW_NAME)), [("T1", 9.0)]);
}

#[test]
fn sentinels_are_no_values_and_are_counted() {
    let bmc = Simulated::new(vec![
        // 255 in steps of 257 is 65,535.
        full(1, "Fan").kind(4, 18).factors(257, 0, 0, 0).bytes(),
        full(2, "CPU Power")
            .kind(0x0b, 6)
            .entity(3, 1)
            .factors(10, 0, 0, 0)
            .bytes(),
    ]);
    bmc.change(|state| {
        state.readings = [(1, vec![255, 0xc0]), (2, vec![201, 0xc0])].into();
        state.watts = Some(u16::MAX);
    });
    let look = look(&mut server(&bmc)).unwrap();
    for instrument in [&hw::FAN_SPEED, &hw::POWER, &hw::HOST_POWER] {
        assert_eq!(values(&look, instrument, HW_ID), []);
    }
    assert_eq!(skipped(&look), [("implausible", 3)]);
}

#[test]
fn thresholds_that_were_changed_win_over_the_record_s() {
    let bmc = Simulated::new(vec![full(1, "T").readable(0b11_1111).bytes()]);
    bmc.change(|state| {
        state.readings = [(1, vec![40, 0xc0])].into();
        // The mask leaves the lower ones out: UNC, UC, UNR are 60, 70, 80.
        state.thresholds = [(1, vec![0b11_1000, 0, 0, 0, 60, 70, 80])].into();
    });
    let look = look(&mut server(&bmc)).unwrap();
    let limits = values(&look, &hw::TEMPERATURE_LIMIT, HW_LIMIT_TYPE);
    let expected = [
        ("high.degraded", 60.0),
        ("high.critical", 70.0),
        ("high.non_recoverable", 80.0),
    ];
    assert_eq!(pairs(&limits), expected);
}

#[test]
fn records_are_read_again_only_when_they_have_changed() {
    let bmc = Simulated::new((1..=5).map(|number| full(number, "T").bytes()).collect());
    let mut server = server(&bmc);
    look(&mut server).unwrap();
    let read = bmc.count(0x0a, 0x23);
    assert!(read >= 10, "{read}");
    look(&mut server).unwrap();
    assert_eq!(bmc.count(0x0a, 0x23), read);
    bmc.change(|state| {
        state.records = vec![full(9, "New").bytes()];
        state.changed = 2;
        state.readings = [(9, vec![21, 0xc0])].into();
    });
    let look = look(&mut server).unwrap();
    assert_eq!(pairs(&values(&look, &hw::TEMPERATURE, HW_NAME)), [("New", 21.0)]);
}

#[test]
fn a_bmc_with_short_messages_is_read_in_small_parts() {
    let bmc = Simulated::new(vec![full(1, "CPU1 Temperature").bytes()]);
    bmc.change(|state| {
        state.chunk = 16;
        state.readings = [(1, vec![33, 0xc0])].into();
    });
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(
        pairs(&values(&look, &hw::TEMPERATURE, HW_NAME)),
        [("CPU1 Temperature", 33.0)]
    );
}

#[test]
fn a_sensor_of_another_controller_is_asked_at_its_address() {
    let bmc = Simulated::new(vec![full(1, "ME").owner(0x2c, 0x60).bytes()]);
    bmc.change(|state| state.readings = [(1, vec![50, 0xc0])].into());
    let look = look(&mut server(&bmc)).unwrap();
    assert_eq!(pairs(&values(&look, &hw::TEMPERATURE, HW_NAME)), [("ME", 50.0)]);
    let asked = bmc
        .change(|state| state.asked.iter().find(|asked| asked.is(0x04, 0x2d)).cloned())
        .unwrap();
    let at = Target::Ipmb {
        channel: 6,
        address: 0x2c,
        lun: 0,
    };
    assert_eq!(asked.target, at);
}

#[test]
fn without_time_nothing_is_asked_and_the_next_request_goes_on() {
    let bmc = Simulated::new(
        (1..=3)
            .map(|number| full(number, &format!("T{number}")).bytes())
            .collect(),
    );
    bmc.change(|state| state.readings = (1..=3).map(|number| (number, vec![number, 0xc0])).collect());
    let mut server = server(&bmc);
    server.look(Instant::now()).unwrap_err();
    assert_eq!(bmc.change(|state| state.asked.len()), 0);
    assert_eq!(values(&look(&mut server).unwrap(), &hw::TEMPERATURE, HW_NAME).len(), 3);
    // The readings of before are still shown.
    let late = server.look(Instant::now() + Duration::ZERO).unwrap();
    assert_eq!(values(&late, &hw::TEMPERATURE, HW_NAME).len(), 3);
}
