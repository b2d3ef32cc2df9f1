//! What holds of anything that a worker may send.

use super::fit::fitting;
use super::protocol::{MAX_FRAME_BYTES, MAX_POINTS, ProtocolError, Reply, body, frame, read_frame, reply};
use super::reader::Reader;
use crate::metric::catalogue::{accel, agent, hw};
use crate::metric::{AttributeValue, Batch, MAX_VALUE_BYTES, Point, Timestamp, key};
use crate::source::Extension;

/// Name of the sampler.
const SAMPLER: &str = "fuzz";

/// An attribute beside an instrument's own.
const EXTENSIONS: &[Extension] = &[Extension {
    instruments: &[&hw::POWER],
    attributes: &[key::HW_SENSOR_LOCATION],
}];

/// Reads `bytes` as what comes out of a worker's pipe, and each of its lines as the body of a reply, one after the other.
///
/// # Panics
///
/// If a property does not hold.
pub fn worker_messages(bytes: &[u8]) {
    both_sides_take_the_same_message(bytes);
    let mut reader = Reader::new(SAMPLER, &[hw::ALL, accel::ALL, agent::ALL], EXTENSIONS);
    let mut before = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(reply) = serde_json::from_slice::<Reply<'_>>(line) {
            only_the_asked_request_is_answered(line, reply.id);
            what_is_written_is_read_again(&reply);
            before = each_part_is_a_batch(&mut reader, reply, &before);
        }
    }
}

fn both_sides_take_the_same_message(bytes: &[u8]) {
    let read = read_frame(&mut &*bytes);
    match body(bytes) {
        Ok(Some(length)) => {
            assert!(length <= MAX_FRAME_BYTES);
            assert!(read.is_ok_and(|message| message.as_deref() == Some(&bytes[4..4 + length])));
        }
        Ok(None) => assert!(read.is_err() || read.is_ok_and(|message| message.is_none())),
        Err(_) => assert!(read.is_err()),
    }
}

fn only_the_asked_request_is_answered(line: &[u8], id: u64) {
    assert!(reply(line, id).is_ok());
    let other = reply(line, id.wrapping_add(1));
    assert!(matches!(other, Err(ProtocolError::WrongRequest { answered, .. }) if answered == id));
}

fn what_is_written_is_read_again(reply: &Reply<'_>) {
    let written = frame(reply).ok().unwrap_or_default();
    assert!(matches!(body(&written), Ok(Some(length)) if length == written.len() - 4));
    let read: Option<Reply<'_>> = serde_json::from_slice(&written[4..]).ok();
    assert_eq!(read.as_ref().map(shape), Some(shape(reply)));
    // The copy is small: nothing of it is left out.
    let sent = read.and_then(|mut read| Some((fitting(&mut read).ok()?, shape(&read))));
    assert!(sent.is_some_and(|(sent, kept)| kept == shape(reply) && sent.len() <= 4 + MAX_FRAME_BYTES));
}

/// All of a reply but the numbers, which JSON does not keep to the last bit.
fn shape(reply: &Reply<'_>) -> String {
    let parts = reply.parts.iter().map(|part| {
        let points = part.points.iter().map(|point| {
            let attributes = point.attributes.as_ref().map(|attributes| attributes.get());
            let value = std::mem::discriminant(&point.value);
            (&point.name, attributes, point.owner, point.time, point.start, value)
        });
        (&part.name, points.collect::<Vec<_>>())
    });
    let parts: Vec<_> = parts.collect();
    let Reply {
        id,
        outcome,
        reason,
        skipped,
        renewal,
        renewal_reason,
        successor,
        ..
    } = reply;
    format!("{id} {outcome:?} {reason} {parts:?} {skipped:?} {renewal:?} {renewal_reason:?} {successor:?}")
}

/// `before` are the names of the parts of the previous reply; returns those of this one.
fn each_part_is_a_batch(reader: &mut Reader, mut reply: Reply<'_>, before: &[String]) -> Vec<String> {
    let names: Vec<String> = reply.parts.iter().map(|part| part.name.to_string()).collect();
    let sent: Vec<usize> = reply.parts.iter().map(|part| part.points.len()).collect();
    let gone: Vec<&String> = before.iter().filter(|name| !names.contains(name)).collect();
    let mut out: Vec<Batch> = Vec::new();
    reader.outcome(&mut reply);
    reader.batches(reply, &mut out);
    assert!(out.iter().all(|batch| batch.part.sampler == SAMPLER));
    assert_eq!(out.len(), gone.len() + names.len());
    let (ended, present) = out.split_at(gone.len());
    assert!(
        ended
            .iter()
            .zip(gone)
            .all(|(batch, name)| batch.points.is_empty() && *batch.part.name == **name)
    );
    for ((batch, name), sent) in present.iter().zip(&names).zip(sent) {
        assert_eq!(&*batch.part.name, name);
        assert!(batch.points.len() <= sent);
    }
    let points = present.iter().flat_map(|batch| &batch.points);
    assert!(points.clone().count() <= MAX_POINTS);
    points.for_each(is_of_its_instrument);
    names
}

fn is_of_its_instrument(point: &Point) {
    let instrument = point.instrument;
    assert!(point.value.is_valid_for(instrument));
    assert!(point.owner.is_none() || instrument.owned);
    assert!(point.time <= Timestamp::now());
    assert!(point.start.is_some() || !instrument.kind.is_cumulative());
    for (name, value) in point.attributes.iter() {
        let is_own = instrument.attributes.contains(name);
        let is_added = Extension::keys(EXTENSIONS, instrument).any(|key| key == *name);
        let is_id = *name == key::PROCESS_PID && instrument.owned && point.owner.is_none();
        assert!(is_own || is_added || is_id, "{name} of {}", instrument.name);
        assert!(!matches!(value, AttributeValue::Str(text) if text.len() > MAX_VALUE_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_hold_of_replies_and_of_noise() {
        // Read and written again, the number of the second is another one by its last digit.
        let odd = r#"{"id":3,"outcome":"sampled","parts":[{"name":"a","points":[
            {"name":"hw.power","time":1,"value":18446744073709541615}]}]}"#
            .replace('\n', "");
        let one = r#"{"id":1,"outcome":"sampled","parts":[{"name":"a","points":[
            {"name":"hw.energy","attributes":{"hw.id":"x"},"time":20,"start":1,"value":7},
            {"name":"hw.power","attributes":{"hw.id":"x","hw.sensor_location":"gpu"},"time":20,"value":0.5},
            {"name":"hw.power","attributes":{"process.pid":1},"time":20,"value":1e300}]}]}"#
            .replace('\n', "");
        let two = r#"{"id":2,"outcome":"retry","reason":"gone","skipped":{"no_sample":3}}"#;
        let mut framed = frame(&two).unwrap();
        framed.extend(b"more");
        for bytes in [
            format!("{one}\n{two}\n{one}\n{odd}").as_bytes(),
            &framed,
            b"",
            b"\xff\xff\xff\xff",
            b"{}",
        ] {
            worker_messages(bytes);
        }
    }
}
