//! An hour in which containers come and go, by a simulated clock: what is kept of those that are gone does not grow.

use std::collections::VecDeque;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::Limits;
use crate::attribution::Settings;
use crate::test_support::{FRAMES, UTILIZATION, WAITS};
use accelscope_core::budget::Budget;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{
    Attributes, CgroupOwner, Histogram, Instrument, MetricsSource, Owner, Point, ProcessKey, Resource, Timestamp, Value,
};
use accelscope_core::sampler::Descriptor;
use accelscope_core::telemetry::{Build, OwnMetrics};
use accelscope_export::otlp::Encoder;
use accelscope_export::prometheus::{Format, Renderer};

/// Seconds of the test.
const LENGTH: u64 = 3600;
/// Seconds for which a container lives.
const LIFE: u64 = 30;
/// Seconds between two readings, and between two collections.
const PERIOD: u64 = 5;
const COLLECTION: u64 = 10;

/// A node on which 33 containers start in 20 seconds, each with a process that is seen by its pid and one that the kernel
/// captured.
struct Node {
    host: tempfile::TempDir,
    living: VecDeque<(u64, u64)>,
    started: u64,
}

impl Node {
    fn new() -> Self {
        let host = tempfile::tempdir().unwrap();
        let mut node = Self {
            host,
            living: VecDeque::new(),
            started: 0,
        };
        node.process(1, "0::/init.scope\n");
        node.process(2, "0::/system.slice/sshd.service\n");
        node
    }

    fn path(&self) -> &Path {
        self.host.path()
    }

    fn process(&mut self, pid: u64, cgroup: &str) {
        let directory = self.path().join(format!("proc/{pid}"));
        std::fs::create_dir_all(&directory).unwrap();
        let zeros = |count| vec!["0"; count].join(" ");
        let stat = format!("{pid} (infer) S {} 5000 {}\n", zeros(18), zeros(30));
        std::fs::write(directory.join("stat"), stat).unwrap();
        std::fs::write(directory.join("cgroup"), cgroup).unwrap();
        std::fs::write(directory.join("comm"), "infer\n").unwrap();
        symlink("/usr/bin/infer", directory.join("exe")).unwrap();
    }

    fn path_of(nth: u64) -> String {
        format!(
            "/kubepods.slice/kubepods-pod{nth:08x}_0000_0000_0000_000000000000.slice/cri-containerd-{nth:064x}.scope"
        )
    }

    /// Containers start and end until `second`; the agent sees their groups made.
    fn proceed(&mut self, second: u64, attribution: &Attribution) {
        while self.started < second * 33 / 20 {
            self.started += 1;
            let (nth, path) = (self.started, Self::path_of(self.started));
            self.process(1000 + nth, &format!("0::{path}\n"));
            let cgroups = attribution.cgroups();
            let (pod, _) = path.rsplit_once('/').unwrap();
            cgroups.add_created(0, 10 * nth, pod);
            cgroups.add_created(0, 10 * nth + 1, &path);
            self.living.push_back((nth, second));
        }
        while let Some((nth, _)) = self.living.front().copied().filter(|(_, at)| at + LIFE <= second) {
            self.living.pop_front();
            std::fs::remove_dir_all(self.path().join(format!("proc/{}", 1000 + nth))).unwrap();
        }
    }

    /// A gauge, a counter and a histogram of each living container.
    fn read(&self, second: u64, wall: Timestamp) -> Vec<Point> {
        let mut points = Vec::new();
        for (nth, since) in &self.living {
            let process = ProcessKey {
                pid: u32::try_from(1000 + nth).unwrap(),
                start_ticks: 5000,
            };
            let by_pid = Owner::Process {
                process,
                always_pid: false,
            };
            let captured = Owner::Cgroup(Arc::new(CgroupOwner {
                unified: 10 * nth + 1,
                legacy: 0,
                executable: "infer".into(),
                pid: None,
                alone: false,
                process: Some(process),
            }));
            let count = second - since + 1;
            let waits = Value::Histogram(Arc::new(Histogram {
                count,
                sum: 1.0,
                buckets: [count, 0].into(),
            }));
            let mut add = |instrument: &'static Instrument, owner: &Owner, value: Value, start| {
                points.push(Point {
                    instrument,
                    attributes: Arc::new(Attributes::new([(key::HW_ID, "0".into())])),
                    owner: Some(owner.clone()),
                    value,
                    time: wall,
                    start,
                });
            };
            let start = Some(wall);
            add(&UTILIZATION, &by_pid, Value::Double(0.5), None);
            add(&FRAMES, &by_pid, Value::Int(count.cast_signed()), start);
            add(&WAITS, &captured, waits, start);
        }
        points
    }
}

#[test]
fn an_hour_of_containers_that_come_and_go_leaves_nothing_behind() {
    let mut node = Node::new();
    let limits = Limits {
        series_per_instrument: 2000,
        series: 20_000,
    };
    let (budget, resource) = (Budget::default(), Resource::default());
    let own = OwnMetrics::install(Build::default());
    let registry = Arc::new(SeriesRegistry::new(&budget, own, resource, limits, true, None));
    let attribution = Attribution::within(&budget, &HostRoots::new(node.path()), Settings::default());
    let status = Status::new(Descriptor {
        name: "test",
        period: Duration::from_secs(PERIOD),
        deadline: Duration::from_secs(1),
    });
    let mut pipeline = Pipeline::new(registry.clone(), attribution, Energy::none(), Vec::new());
    let (begun, begun_wall) = (Instant::now(), Timestamp::now());
    let mut encoder = Encoder::new(registry.resource());
    let (mut kept, mut sent) = (Vec::new(), 0);
    for second in (0..=LENGTH).step_by(PERIOD as usize) {
        let moment = Moment {
            instant: begun + Duration::from_secs(second),
            wall: Timestamp::from_unix_nanos(begun_wall.unix_nanos() + second * 1_000_000_000),
        };
        node.proceed(second, &pipeline.attribution);
        let batches = vec![Batch::new("test", "", node.read(second, moment.wall))];
        let run = Run {
            status: status.clone(),
            report: Report::of(&Outcome::Sampled),
            batches,
            ends_others: false,
        };
        pipeline.process(run, moment);
        if second % COLLECTION == 0 {
            let changed = registry.collect_measured();
            let records = encoder.encode_by_workload(&changed, moment.wall);
            sent += records.iter().map(|record| record.points).sum::<u64>();
        }
        if second % 600 == 0 && second > 0 {
            let page = Renderer::default().render(Format::Text, &registry.live(), registry.resource());
            let [processes, owners, containers, groups] = pipeline.attribution.kept();
            let (read, totals) = pipeline.aggregator.kept();
            let structures = [
                processes,
                owners,
                containers,
                groups,
                read,
                totals,
                page.lines().count(),
            ];
            kept.push([structures.as_slice(), registry.kept().as_slice()].concat());
        }
    }
    assert!(node.started > 5900, "{} containers", node.started);
    assert!(sent > 3 * node.started, "{sent} points");
    // What is kept of ended containers is the last minutes' or has the budget's bound: of 5,940 nothing is kept for longer.
    let bound = usize::try_from(600 * node.started / LENGTH).unwrap() * 5 / 2;
    for structures in &kept {
        assert!(
            structures.iter().all(|entries| *entries <= bound),
            "more than {bound}: {kept:?}"
        );
    }
    // The first twenty minutes fill what is to be filled.
    let sums: Vec<usize> = kept.iter().map(|structures| structures.iter().sum()).collect();
    let most = *sums[..2].iter().max().unwrap();
    assert!(
        sums[2..].iter().all(|sum| *sum <= most + most / 5),
        "{sums:?}: {kept:?}"
    );
}
