//! What the fuzz targets (`agent/fuzz`) call of what is private. Not part of the interface of this crate.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{AttributeValue, MAX_VALUE_BYTES, Moment, Point, ProcessKey, Timestamp, Value};
use accelscope_core::printable::printable;
use accelscope_proto::hailo::ProtoMon;
use prost::Message;

use crate::address::address;
use crate::decode::{MAX_ELEMENTS, decode};
use crate::directory::Stamp;
use crate::file_name::{claimed_pid, is_monitor_file, named_pid, path_in_words};
use crate::owner::Search;
use crate::points::Points;
use crate::reading::Reading;
use crate::skipped::Skipped;
use crate::state::File;

/// Name of the file where the input has none.
const NAME: &[u8] = b"4242abcdef";

/// Reads `bytes` as a monitor file: its name, a slash and its content. Without a slash it is all content.
///
/// # Panics
///
/// If a property does not hold.
pub fn monitor_file(bytes: &[u8]) {
    let slash = bytes.iter().position(|byte| *byte == b'/');
    let (name, content) = slash.map_or((NAME, bytes), |at| (&bytes[..at], &bytes[at + 1..]));
    let name = OsStr::from_bytes(name);
    the_name_is_judged_in_one_way(name);
    let Ok(message) = decode(content) else { return };
    the_message_is_bounded_and_whole(&message);
    let name = name.to_string_lossy();
    let mut skipped = Skipped::default();
    let Some(reading) = Reading::new(message.clone(), &name, false, &mut skipped) else {
        assert_eq!(claimed_pid(&message.pid, &name), None);
        return;
    };
    every_value_is_plausible(&reading);
    new_names_are_bounded(&reading);
    let later = Reading::new(message, &name, true, &mut skipped);
    assert!(later.as_ref().is_some_and(|later| {
        let is_same = |streams: &Reading| streams.streams.keys().eq(reading.streams.keys());
        later.devices == reading.devices && later.networks == reading.networks && is_same(later)
    }));
    for search in [
        Search::Found(ProcessKey {
            pid: reading.pid,
            start_ticks: 1,
        }),
        Search::Denied,
    ] {
        each_series_has_one_valid_point(&reading, search);
    }
}

fn the_name_is_judged_in_one_way(name: &OsStr) {
    if let Some(pid) = named_pid(name) {
        assert!(pid > 0 && is_monitor_file(name));
        assert_eq!(claimed_pid("", &name.to_string_lossy()), Some(pid));
    }
    let words = path_in_words(Path::new("/tmp/hmon_files"), name);
    assert_eq!(printable(&words), words);
}

fn the_message_is_bounded_and_whole(message: &ProtoMon) {
    assert!(!message.pid.is_empty());
    let streams = message
        .net_frames_infos
        .iter()
        .map(|one| one.streams_frames_infos.len());
    let others = message.networks_infos.len() + message.net_frames_infos.len() + message.device_infos.len();
    assert!(others + streams.sum::<usize>() <= MAX_ELEMENTS);
    let bytes = message.encode_to_vec();
    // As bytes: NaN is not equal to itself.
    assert!(decode(&bytes).is_ok_and(|again| again.encode_to_vec() == bytes));
}

fn every_value_is_plausible(reading: &Reading) {
    // One of each element at most.
    let is_sum_up_to = |value: Option<f64>, most: f64| value.is_none_or(|value| (0.0..=most * 4096.0).contains(&value));
    let is_name = |name: &str| !name.is_empty() && name.len() <= MAX_VALUE_BYTES;
    assert!(reading.pid > 0);
    for (at, device) in &reading.devices {
        // A domain may have been written before it.
        assert!(!at.is_empty() && at.len() <= MAX_VALUE_BYTES + 5);
        assert_eq!(address(at), *at, "one device has one address");
        assert!(device.model.as_deref().is_none_or(is_name) && is_sum_up_to(device.percent, 1e6));
    }
    for (name, network) in &reading.networks {
        assert!(is_name(name) && is_sum_up_to(network.percent, 1e6) && is_sum_up_to(network.frame_rate, 1e9));
    }
    for (name, stream) in &reading.streams {
        assert!(is_name(&name.network) && is_name(&name.stream));
        let frames = [stream.depth, stream.min, stream.max, stream.capacity];
        let is_plausible = |frames: i64| (0..=(1 << 24) * 4096).contains(&frames);
        assert!(frames.into_iter().flatten().all(is_plausible));
        assert!(stream.capacity != Some(0));
        assert!(reading.has_extremes || (stream.min, stream.max) == (None, None));
    }
    let count = count(reading);
    assert!((count..=count * 9).contains(&reading.elements()));
}

fn count(reading: &Reading) -> usize {
    reading.devices.len() + reading.networks.len() + reading.streams.len()
}

fn new_names_are_bounded(reading: &Reading) {
    let none = Reading::default();
    let mut few = reading.clone();
    let left_out = few.leave_out(&none, |_| false, 2);
    assert_eq!(count(&few), count(reading).min(2));
    assert_eq!(left_out, count(reading) - count(&few));
    assert_eq!(few.new_names(&none, |_| false), count(&few));
    let mut all = reading.clone();
    assert_eq!(all.leave_out(reading, |_| false, 0), 0);
    assert_eq!(all, *reading, "what is known stays");
}

/// Writes the file twice, a second apart.
fn each_series_has_one_valid_point(reading: &Reading, search: Search) {
    let mut file = File::default();
    file.owner.search = search;
    let mut points = Points::new("machine".to_owned(), "node".to_owned());
    let zero = Moment {
        instant: Moment::now().instant,
        wall: Timestamp::from_unix_nanos(1_000_000_000),
    };
    let mut frames = Vec::new();
    for second in 0..2 {
        let after = Duration::from_secs(second);
        let now = Moment {
            instant: zero.instant + after,
            wall: Timestamp::from_unix_nanos(zero.wall.unix_nanos() + after.as_nanos() as u64),
        };
        let stamp = Stamp {
            inode: second,
            size: 1,
            modified: now.wall,
            user: 0,
            is_open: false,
        };
        file.record(stamp, Some(reading.clone()), now);
        let made = points.build(&BTreeMap::new(), vec![&mut file], now.wall);
        let mut series = HashSet::new();
        for point in &made {
            is_of_its_instrument(point);
            let identity = (point.instrument.name, &point.attributes, &point.owner);
            assert!(series.insert(identity), "{point:?} twice");
        }
        let counted = made.iter().filter(|point| point.instrument.kind.is_cumulative());
        frames.push(counted.filter_map(|point| point.value.as_f64()).sum::<f64>());
    }
    assert!(frames.is_sorted(), "a counter does not decrease");
}

fn is_of_its_instrument(point: &Point) {
    let instrument = point.instrument;
    assert!(point.value.is_valid_for(instrument), "{point:?}");
    assert!(point.owner.is_none() || instrument.owned);
    assert!(!instrument.kind.is_cumulative() || point.start.is_some_and(|start| start <= point.time));
    if *instrument == hw::NPU_UTILIZATION {
        assert!(matches!(point.value, Value::Double(ratio) if (0.0..=1.0).contains(&ratio)));
    }
    for (key, value) in point.attributes.iter() {
        assert!(instrument.attributes.contains(key), "{key} of {}", instrument.name);
        assert!(!matches!(value, AttributeValue::Str(text) if text.len() > MAX_VALUE_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::vector;

    #[test]
    fn the_properties_hold_of_what_libprotobuf_wrote_and_of_each_part_of_it() {
        let whole = vector();
        for length in 0..=whole.len() {
            monitor_file(&whole[..length]);
            monitor_file(&[b"149635kQx2a1/", &whole[..length]].concat());
        }
    }
}
