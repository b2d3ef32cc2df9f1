//! Cost of one collection and of one scrape.

use std::hint::black_box;

use accelscope_core::metric::{Batch, Resource, Timestamp};
use accelscope_export::otlp::Encoder;
use accelscope_export::prometheus::{Format, Renderer};
use accelscope_pipeline::{Limits, Store};
use benches::{points, series};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const COUNTS: [usize; 2] = [100, 2_000];

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("otlp_encode");
    for count in COUNTS {
        let series = series(count);
        let mut encoder = Encoder::new(&Resource::default());
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &series, |bench, series| {
            bench.iter(|| encoder.encode(black_box(series), Timestamp::now()));
        });
    }
}

fn render(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prometheus_render");
    for count in COUNTS {
        let series = series(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &series, |bench, series| {
            bench.iter(|| Renderer::default().render(Format::Text, black_box(series), &Resource::default()));
        });
    }
}

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store_apply");
    for count in COUNTS {
        let points = points(count);
        let mut store = Store::new(
            Limits {
                series_per_instrument: 20_000,
                series: 20_000,
            },
            true,
            None,
        );
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &points, |bench, points| {
            bench.iter(|| {
                store.apply(vec![Batch::whole("bench", points.clone())], |_| false, Timestamp::now());
                black_box(store.collect())
            });
        });
    }
}

criterion_group!(benches, encode, render, apply);
criterion_main!(benches);
