//! Energy of accelerators.

use super::*;
use accelscope_core::energy::{EnergySource, Instances};
use accelscope_core::metric::catalogue::{instrument, owned};
use accelscope_core::metric::{Kind, Merge};

const SECOND: Duration = Duration::from_secs(1);

const INSTANCE: &str = "instance";
const UNIT: (&str, &str) = ("unit", "all");
static BUSY: Instrument = instrument("instance.utilization", "1", Kind::Gauge, &[], "");
static SIZE: Instrument = instrument("instance.memory", "By", Kind::UpDownCounter, &[], "");
static NPU_PROCESS: Instrument = owned(instrument("npu.process", "", Kind::Gauge, &[], ""), Merge::Max);

pub(super) const SOURCE: EnergySource = EnergySource {
    name: |_| "nvml",
    instances: Some(Instances {
        number: INSTANCE,
        utilization: &BUSY,
        unit: UNIT,
        size: &SIZE,
        whole: &hw::GPU_MEMORY_LIMIT,
    }),
};

impl Host {
    /// A process of a container, or of nothing, on a device.
    fn process(&self, instrument: &'static Instrument, device: &str, container: &str, value: f64) -> Point {
        let mut attributes = vec![(key::HW_ID, device.into()), (key::PROCESS_PID, 4711_i64.into())];
        attributes.push((key::PROCESS_EXECUTABLE_NAME, "python3".into()));
        if !container.is_empty() {
            attributes.push((key::CONTAINER_ID, id(container).as_str().into()));
        }
        self.point(instrument, &attributes, value)
    }

    /// Energy of a device over a second in which it used 100 J, with these points of its processes.
    fn second_of(&mut self, kind: &'static str, points: &[Point]) -> BTreeMap<String, f64> {
        self.run("nvidia", "GPU-1", vec![self.joules("GPU-1", kind, 1.0)]);
        self.pass(SECOND);
        let mut all = vec![self.joules("GPU-1", kind, 101.0)];
        all.extend_from_slice(points);
        self.run("nvidia", "GPU-1", all)
    }
}

fn task(point: Point, task: &str) -> Point {
    let attributes = point.attributes.with([(key::HW_GPU_TASK, task.into())]).into();
    Point { attributes, ..point }
}

fn instance(point: Point, number: i64) -> Point {
    let attributes = point.attributes.with([(INSTANCE, number.into())]).into();
    Point { attributes, ..point }
}

#[test]
fn a_gpu_is_divided_by_the_utilization_of_its_processes() {
    for (idle, expected) in [
        (Idle::Unattributed, [60.0, 20.0, 20.0]),
        (Idle::Proportional, [75.0, 25.0, 0.0]),
    ] {
        let mut host = Host::new(idle);
        let busy = |container, share| {
            task(
                host.process(&accel::PROCESS_UTILIZATION, "GPU-1", container, share),
                "general",
            )
        };
        let memory = task(
            host.process(&accel::PROCESS_UTILIZATION, "GPU-1", "aaaaaa", 0.9),
            "memory",
        );
        let points = [busy("aaaaaa", 0.4), busy("aaaaaa", 0.2), busy("bbbbbb", 0.2), memory];
        let parts = host.second_of("gpu", &points);
        let expected = [
            ("aaaaaa gpu nvml utilization", expected[0]),
            ("bbbbbb gpu nvml utilization", expected[1]),
            ("- gpu nvml nobody", expected[2]),
        ];
        assert_eq!(parts, map(&expected), "{idle:?}");
    }
}

#[test]
fn without_utilization_the_only_holder_has_all_and_several_have_the_same() {
    let mut host = Host::new(Idle::Unattributed);
    let of = |host: &Host, container| host.process(&NPU_PROCESS, "GPU-1", container, 1.0);
    let points = [of(&host, "aaaaaa"), of(&host, "aaaaaa")];
    let parts = host.second_of("npu", &points);
    assert_eq!(
        parts,
        map(&[("aaaaaa npu nvml exclusive", 100.0), ("- npu nvml nobody", 0.0)])
    );

    let mut host = Host::new(Idle::Unattributed);
    let points = [of(&host, "aaaaaa"), of(&host, "bbbbbb"), of(&host, ""), of(&host, "")];
    let parts = host.second_of("npu", &points);
    let nobodys = parts["- npu nvml nobody"];
    assert!((33.33..33.34).contains(&nobodys), "{parts:?}");
    assert!((33.33..33.34).contains(&parts["bbbbbb npu nvml even"]), "{parts:?}");
}

#[test]
fn a_gpu_without_processes_uses_nobodys_energy() {
    let mut host = Host::new(Idle::Proportional);
    let other = [host.process(&NPU_PROCESS, "GPU-2", "aaaaaa", 1.0)];
    assert_eq!(host.second_of("gpu", &other), map(&[("- gpu nvml nobody", 100.0)]));
}

#[test]
fn instances_have_their_utilization_by_their_size() {
    let mut host = Host::new(Idle::Unattributed);
    let device = |host: &Host, instrument, value| host.point(instrument, &[(key::HW_ID, "GPU-1".into())], value);
    let unit = |point: Point| {
        let attributes = point.attributes.with([(UNIT.0, UNIT.1.into())]).into();
        Point { attributes, ..point }
    };
    let points = [
        instance(unit(device(&host, &BUSY, 0.5)), 1),
        instance(unit(device(&host, &BUSY, 1.0)), 2),
        instance(device(&host, &SIZE, 64.0), 1),
        instance(device(&host, &SIZE, 8.0), 2),
        device(&host, &hw::GPU_MEMORY_LIMIT, 80.0),
        instance(host.process(&accel::PROCESS_MEMORY_USAGE, "GPU-1", "aaaaaa", 1.0), 1),
        instance(host.process(&accel::PROCESS_MEMORY_USAGE, "GPU-1", "bbbbbb", 1.0), 2),
        instance(host.process(&accel::PROCESS_MEMORY_USAGE, "GPU-1", "cccccc", 1.0), 2),
    ];
    let parts = host.second_of("gpu", &points);
    let expected = [
        ("aaaaaa gpu nvml utilization", 40.0),
        ("bbbbbb gpu nvml utilization", 5.0),
        ("cccccc gpu nvml utilization", 5.0),
        ("- gpu nvml nobody", 50.0),
    ];
    assert_eq!(parts, map(&expected));
}

#[test]
fn a_holder_whose_names_are_still_looked_for_has_a_part_that_is_nobodys() {
    let mut host = Host::new(Idle::Unattributed);
    host.run("nvidia", "GPU-1", vec![host.joules("GPU-1", "gpu", 1.0)]);
    host.pass(SECOND);
    let known = host.process(&accel::PROCESS_MEMORY_USAGE, "GPU-1", "aaaaaa", 1.0);
    let waits = host.process(&accel::PROCESS_MEMORY_USAGE, "GPU-1", "", 1.0);
    let batches = [Batch::new(
        "nvidia",
        "GPU-1",
        vec![host.joules("GPU-1", "gpu", 101.0), known],
    )];
    let batch = host
        .energy
        .of_run("nvidia", &batches, &[waits], &mut host.attribution, host.now);
    let parts: BTreeMap<String, f64> = batch.unwrap().points.iter().map(shown).collect();
    assert_eq!(
        parts,
        map(&[("aaaaaa gpu nvml even", 50.0), ("- gpu nvml nobody", 50.0)])
    );
}

#[test]
fn more_than_hardware_can_use_is_not_divided() {
    let mut host = Host::new(Idle::Unattributed);
    host.run("nvidia", "GPU-1", vec![host.joules("GPU-1", "gpu", 1_000_000.0)]);
    for joules in [0.0, 1_000_100.0, 1_000_400.0] {
        host.pass(SECOND);
        let parts = host.run("nvidia", "GPU-1", vec![host.joules("GPU-1", "gpu", joules)]);
        let expected = if joules > 1_000_200.0 { 300.0 } else { 0.0 };
        assert_eq!(parts, map(&[("- gpu nvml nobody", expected)]), "{joules}");
    }
}

#[test]
fn who_leaves_the_device_ends_and_comes_back_with_what_it_used() {
    let mut host = Host::new(Idle::Unattributed);
    let of = |host: &Host, container| host.process(&NPU_PROCESS, "GPU-1", container, 1.0);
    let points = [of(&host, "aaaaaa")];
    host.second_of("npu", &points);
    host.pass(SECOND);
    let parts = host.run("nvidia", "GPU-1", vec![host.joules("GPU-1", "npu", 111.0)]);
    assert_eq!(parts, map(&[("- npu nvml nobody", 10.0)]));
    host.pass(SECOND);
    let points = vec![
        host.joules("GPU-1", "npu", 112.0),
        of(&host, "aaaaaa"),
        of(&host, "bbbbbb"),
    ];
    let parts = host.run("nvidia", "GPU-1", points);
    let expected = [
        ("aaaaaa npu nvml exclusive", 100.0),
        ("aaaaaa npu nvml even", 0.5),
        ("bbbbbb npu nvml even", 0.5),
        ("- npu nvml nobody", 10.0),
    ];
    assert_eq!(parts, map(&expected));
    // A device that measures nothing any more has no parts.
    let parts = host.run("nvidia", "GPU-1", vec![of(&host, "aaaaaa")]);
    assert!(parts.is_empty(), "{parts:?}");
}
