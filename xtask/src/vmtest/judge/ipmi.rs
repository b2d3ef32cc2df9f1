//! What the agent shows of the emulator's BMC, against its records and against its answers to xtask/vm/bmc.c.

use anyhow::{Context as _, Result, ensure};

use crate::vmtest::bmc::{GUID, MANUFACTURER, PRODUCT, SENSORS};
use crate::vmtest::outcome::Left;
use crate::vmtest::point::{Point, last};

pub(super) fn judge(left: &Left) -> Result<String> {
    left.undisturbed()?;
    let before = left.file("doctor.before.json")?;
    ensure!(
        before.contains("no driver of its IPMI interface is loaded"),
        "doctor does not say that the driver is missing: {before}"
    );
    let between = left.file("doctor.between.json")?;
    ensure!(
        between.contains("ipmi_devintf is not loaded"),
        "doctor does not say that the node is missing: {between}"
    );
    let points = left.looked("first")?;
    for sensor in &SENSORS {
        let shown = named(&points, sensor.metric, sensor.name);
        let Some(value) = sensor.value else {
            ensure!(shown.is_none(), "{} is shown: {shown:?}", sensor.name);
            continue;
        };
        let shown = shown.with_context(|| format!("{} is not shown", sensor.name))?;
        ensure!(is(shown, value), "{} is not {value}: {shown:?}", sensor.name);
        let id = format!("{GUID}/20.0.{:02x}/{}", sensor.number, sensor.name);
        for (key, text) in [
            ("hw.id", &*id),
            ("hw.parent", GUID),
            ("hw.sensor_location", sensor.location),
        ] {
            ensure!(shown.attribute(key) == text, "{key} is not {text}: {shown:?}");
        }
        let limit = named(&points, &format!("{}.limit", sensor.metric), sensor.name);
        match (sensor.limit, limit) {
            (None, None) => {}
            (Some(value), Some(limit)) => {
                ensure!(
                    is(limit, value),
                    "the limit of {} is not {value}: {limit:?}",
                    sensor.name
                );
                ensure!(limit.attribute("hw.limit_type") == "high.critical", "{limit:?}");
            }
            (_, limit) => anyhow::bail!("limits of {}: {limit:?}", sensor.name),
        }
    }
    followed(left)?;
    let conditions = chassis(left, &points)?;
    let info = last(&points, "ipmi.bmc.info");
    let [info] = info.as_slice() else {
        anyhow::bail!("{info:?}")
    };
    for (key, text) in [
        ("ipmi.manufacturer.id", MANUFACTURER.to_string()),
        ("ipmi.product.id", PRODUCT.to_string()),
        ("ipmi.version", "2.0".to_owned()),
    ] {
        ensure!(info.attribute(key) == text, "{key} is not {text}: {info:?}");
    }
    let rejected: f64 = last(&points, "agent.worker.rejected")
        .iter()
        .filter_map(|point| point.value)
        .sum();
    ensure!(rejected == 0.0, "{rejected} readings were rejected");
    Ok(format!(
        "{} sensors, {conditions} conditions of the chassis and the event log as the BMC says",
        SENSORS.len()
    ))
}

/// Values and event log change while the agent runs, and so does what it shows.
fn followed(left: &Left) -> Result<()> {
    let answer = answer(left, "reading")?;
    ensure!(answer.get(1) == Some(&0x36), "the BMC says {answer:02x?}");
    let now = named(&left.points, "hw.temperature", "CPU1 Temp").context("no temperature")?;
    ensure!(is(now, 70.0), "it was set to 70: {now:?}");
    let log = self::answer(left, "log")?;
    let [_, _, entries, _, free, more, ..] = log.as_slice() else {
        anyhow::bail!("the BMC says {log:02x?}")
    };
    let free = f64::from(u16::from_le_bytes([*free, *more]));
    ensure!(*entries == 1, "the BMC has {entries} entries");
    let first = left.looked("first")?;
    for (points, name, value) in [
        (&first, "ipmi.sel.entries", 1.0),
        (&left.points, "ipmi.sel.entries", 2.0),
        (&first, "ipmi.sel.free", free),
    ] {
        let shown = last(points, name);
        ensure!(
            shown.len() == 1 && is(shown[0], value),
            "{name} is not {value}: {shown:?}"
        );
    }
    Ok(())
}

/// By the bits of the BMC's own answer.
fn chassis(left: &Left, points: &[Point]) -> Result<usize> {
    let answer = answer(left, "chassis")?;
    let [_, power, _, other, ..] = answer.as_slice() else {
        anyhow::bail!("the BMC says {answer:02x?}")
    };
    let shown = last(points, "ipmi.chassis.state");
    for (condition, holds) in [
        ("power_on", power & 1),
        ("power_fault", power >> 3 & 1),
        ("intrusion", other & 1),
        ("drive_fault", other >> 2 & 1),
        ("cooling_fault", other >> 3 & 1),
    ] {
        let point = shown
            .iter()
            .find(|point| point.attribute("ipmi.chassis.condition") == condition);
        let point = point.with_context(|| format!("{condition} is not shown"))?;
        ensure!(is(point, f64::from(holds)), "{condition} is not {holds}: {point:?}");
    }
    let ok = last(points, "hw.status");
    let ok = ok
        .iter()
        .find(|point| point.attribute("hw.type") == "enclosure" && point.attribute("hw.state") == "ok");
    ensure!(ok.is_some_and(|ok| is(ok, 1.0)), "the server is not ok: {ok:?}");
    Ok(shown.len())
}

/// No rights: nothing of the BMC, one line of doctor, and no error in the log.
pub(super) fn denied(left: &Left) -> Result<String> {
    left.undisturbed()?;
    let shown = left.points.iter().find(|point| point.name.starts_with("ipmi."));
    ensure!(shown.is_none(), "without rights: {shown:?}");
    let log = left.file("agent.err")?;
    let lines = log.lines().filter(|line| line.contains("ipmi")).count();
    ensure!(lines <= 1, "{lines} lines in the log: {log}");
    Ok(format!("nothing is shown, with {lines} line(s) in the log"))
}

/// The bytes that the BMC answered with, the completion code first.
fn answer(left: &Left, name: &str) -> Result<Vec<u8>> {
    let mut notes = left.noted("answer");
    let bytes = notes
        .find_map(|note| note.strip_prefix(name))
        .with_context(|| format!("the BMC was not asked: {name}"))?;
    bytes
        .split_whitespace()
        .map(|byte| Ok(u8::from_str_radix(byte, 16)?))
        .collect()
}

fn named<'a>(points: &'a [Point], metric: &str, name: &str) -> Option<&'a Point> {
    last(points, metric)
        .into_iter()
        .find(|point| point.attribute("hw.name") == name)
}

fn is(point: &Point, value: f64) -> bool {
    point.value.is_some_and(|shown| (shown - value).abs() < 1e-6)
}
