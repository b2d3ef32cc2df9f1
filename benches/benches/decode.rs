//! Cost of decoding one monitor file, which happens once per writing process and interval.

use std::hint::black_box;

use accelscope_proto::hailo::ProtoMon;
use accelscope_simulate::{Options, message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, networks, streams) in [("camera", 1, 2), ("pipeline", 4, 4), ("crowd", 64, 8)] {
        let options = Options {
            networks,
            streams,
            ..Options::default()
        };
        let bytes = message(&options, 0, 4242, 0);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::new("prost", name), bytes.as_slice(), |bencher, bytes| {
            bencher.iter(|| ProtoMon::decode(black_box(bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
