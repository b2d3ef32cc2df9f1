//! Collections by whose points they have, so that a full queue can give up those of one workload.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::encode::Encoder;
use super::record::{Owners, Record};
use accelscope_core::metric::{Collected, Series, Timestamp};

/// A workload has records of its own if it has more than this part of a collection's points: so there are few of them.
const PART: usize = 8;
/// And more points than this: what describes the points is in each record anew.
const FEW: usize = 64;

impl Encoder {
    /// As [`encode`](Self::encode), with records of their own for workloads that have much of the collection.
    pub fn encode_by_workload(&mut self, collected: &[Collected], now: Timestamp) -> Vec<Record> {
        let (large, small) = sizes(collected);
        if large.is_empty() {
            return of(Owners::Many(small), self.encode(collected, now)).collect();
        }
        // A series has one place, even if its end is another workload's than what follows: its points stay in order.
        let mut places: HashMap<_, Option<&Arc<str>>> = HashMap::new();
        let mut parts: BTreeMap<Option<&Arc<str>>, Vec<&Series>> = BTreeMap::new();
        for Collected { series, workload } in collected {
            let own = workload.as_ref().filter(|workload| large.contains(workload));
            let place = places.entry((series.instrument, &series.attributes)).or_insert(own);
            parts.entry(*place).or_default().push(series);
        }
        let mut records = Vec::new();
        for (workload, series) in parts {
            let owners = workload.map_or(Owners::Many(small), |workload| Owners::One(workload.clone()));
            records.extend(of(owners, self.encode(&series, now)));
        }
        records
    }
}

fn of(owners: Owners, records: Vec<Record>) -> impl Iterator<Item = Record> {
    let own = move |record| Record {
        owners: owners.clone(),
        ..record
    };
    records.into_iter().map(own)
}

/// The workloads that have much of the collection, and how many have little.
fn sizes(collected: &[Collected]) -> (Vec<&Arc<str>>, usize) {
    let mut points: HashMap<&Arc<str>, usize> = HashMap::new();
    for workload in collected.iter().filter_map(|one| one.workload.as_ref()) {
        *points.entry(workload).or_default() += 1;
    }
    let much = FEW.max(collected.len() / PART);
    let large: Vec<_> = points
        .iter()
        .filter(|(_, points)| **points > much)
        .map(|(workload, _)| *workload)
        .collect();
    let small = points.len() - large.len();
    (large, small)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use prost::Message;

    use super::*;
    use accelscope_core::metric::{Attributes, Resource, Value, catalogue, key};

    fn of(workload: Option<&str>, nth: usize, value: Option<i64>) -> Collected {
        Collected {
            series: Series {
                instrument: &catalogue::agent::MEMORY_USAGE,
                attributes: Arc::new(Attributes::new([(key::HW_NAME, format!("{nth}").into())])),
                value: value.map(Value::Int),
                time: Timestamp::from_unix_nanos(1),
                start: None,
            },
            workload: workload.map(Into::into),
        }
    }

    fn divided(collected: &[Collected]) -> Vec<(Owners, u64)> {
        let records = Encoder::new(&Resource::default()).encode_by_workload(collected, Timestamp::now());
        for record in &records {
            let message = ExportMetricsServiceRequest::decode(&*record.bytes).unwrap();
            assert_eq!(message.resource_metrics.len(), 1);
        }
        records
            .into_iter()
            .map(|record| (record.owners, record.points))
            .collect()
    }

    #[test]
    fn a_workload_with_much_of_a_collection_has_records_of_its_own() {
        let flood = (100..600).map(|nth| of(Some("flood"), nth, Some(1)));
        let small = (0..60).map(|nth| of(Some(if nth < 30 { "a" } else { "b" }), nth, Some(1)));
        let hardware = (60..70).map(|nth| of(None, nth, Some(1)));
        let all: Vec<_> = small.chain(flood).chain(hardware).collect();
        let expected = [(Owners::Many(2), 70), (Owners::One("flood".into()), 500)];
        assert_eq!(divided(&all), expected);
        assert_eq!(divided(&all[..60]), [(Owners::Many(2), 60)], "nobody has many");
        assert_eq!(divided(&all[560..]), [(Owners::Many(0), 10)]);
        assert_eq!(divided(&[]), []);
    }

    /// Whose it is may be known later.
    #[test]
    fn a_series_is_not_divided() {
        let mut all: Vec<_> = (0..500).map(|nth| of(Some("flood"), nth, Some(1))).collect();
        all.insert(0, of(Some("another"), 7, None));
        let expected = [(Owners::Many(1), 2), (Owners::One("flood".into()), 499)];
        assert_eq!(divided(&all), expected);
    }
}
