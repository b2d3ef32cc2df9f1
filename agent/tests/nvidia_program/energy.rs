//! Energy of a GPU by who uses it, as NVML reports both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use skip_test::skip;

use super::group_support;
use super::nvml_support::{Fake, GIB, h100, mig};
use super::program_support::Running;
use super::{Agent, samples};

const NAME: &str = "accel_energy_attributed_joules_total";
/// Millijoules before.
const BEFORE: u64 = 1_000_000;

/// A process in the control group of a service.
struct Service {
    unit: String,
    groups: Vec<PathBuf>,
    process: Running,
}

impl Service {
    /// `None` where no group can be made.
    fn start(name: &str) -> Option<Self> {
        let unit = format!("{name}-{}.service", group_support::new_id());
        let mounts = ["unified", ""].map(|mount| Path::new("/sys/fs/cgroup").join(mount));
        let mount = mounts.iter().find(|mount| mount.join("cgroup.controllers").exists());
        let group = mount.map(|mount| mount.join(&unit));
        let Some(group) = group.filter(|group| fs::create_dir(group).is_ok()) else {
            skip("cgroups", "no group of cgroup v2 can be made");
            return None;
        };
        let mut command = Command::new("sh");
        let script = format!("echo $$ > {}/cgroup.procs && exec sleep 600", group.display());
        command.args(["-c", &script]);
        let process = Running::start(command);
        let list = group.join("cgroup.procs");
        super::wait_for("the process in its group", || {
            fs::read_to_string(&list).unwrap().lines().next().map(drop)
        });
        Some(Self {
            unit,
            groups: vec![group],
            process,
        })
    }

    fn uses(&self) -> Value {
        json!({"pid": self.process.0.id(), "memory": GIB})
    }

    /// Waits until it has used so many joules, by that method.
    fn has_used(&self, agent: &Agent, method: &str, joules: f64) -> String {
        let of = [
            ("systemd_unit", self.unit.as_str()),
            ("hw_type", "gpu"),
            ("accel_energy_source", "nvml"),
            ("accel_energy_method", method),
        ];
        agent.until_value(NAME, &of, joules)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.0.kill().ok();
        self.process.0.wait().ok();
        group_support::remove(&self.groups);
    }
}

fn nobodys(text: &str) -> Vec<f64> {
    samples(text, NAME, &[("accel_energy_unattributed", "true"), ("hw_type", "gpu")])
}

#[test]
fn a_gpus_energy_is_its_only_holders_and_of_several_the_same_for_each() {
    let Some(service) = Service::start("infer") else { return };
    let mut gpu = h100(0);
    gpu["values"]["nvmlDeviceGetTotalEnergyConsumption"] = json!(BEFORE);
    gpu["compute"] = json!([service.uses()]);
    gpu.as_object_mut().unwrap().remove("utilization");
    let mut fake = Fake::new(vec![gpu]);
    let agent = Agent::start(&fake);
    let text = service.has_used(&agent, "exclusive", 0.0);
    assert_eq!(
        nobodys(&text),
        [0.0],
        "what was counted before the agent looked is nobody's, and not in the sum"
    );

    fake.change(|state| {
        state["devices"][0]["values"]["nvmlDeviceGetTotalEnergyConsumption"] = json!(BEFORE + 5000);
    });
    let text = service.has_used(&agent, "exclusive", 5.0);
    assert_eq!(nobodys(&text), [0.0]);

    // A second holder. The energy counts on only once both are known.
    let Some(other) = Service::start("train") else { return };
    fake.change(|state| state["devices"][0]["compute"] = json!([service.uses(), other.uses()]));
    other.has_used(&agent, "even", 0.0);
    fake.change(|state| {
        state["devices"][0]["values"]["nvmlDeviceGetTotalEnergyConsumption"] = json!(BEFORE + 15_000);
    });
    other.has_used(&agent, "even", 5.0);
    let text = service.has_used(&agent, "even", 5.0);
    assert_eq!(
        samples(&text, NAME, &[]).iter().sum::<f64>(),
        15.0,
        "parts are what was measured"
    );
}

#[test]
fn the_energy_of_a_partitioned_gpu_is_by_size_and_utilization_of_its_instances() {
    let (Some(large), Some(small)) = (Service::start("large"), Service::start("small")) else {
        return;
    };
    let mut gpu = h100(0);
    gpu["values"]["nvmlDeviceGetTotalEnergyConsumption"] = json!(BEFORE);
    gpu["values"]["nvmlDeviceGetMemoryInfo"] = json!([80 * GIB, 60 * GIB, 20 * GIB, 0]);
    gpu["mig"] = json!({"mode": 1, "slots": [
        mig(0, 1, 0, "4g.40gb", [4, 4], 40),
        mig(0, 9, 0, "1g.10gb", [1, 1], 10),
    ]});
    // Percent of the instance's own time.
    gpu["gpm"]["instances"] = json!({"1": {"1": 50.0}, "9": {"1": 100.0}});
    let of = |service: &Service, instance: u64| {
        let mut process = service.uses();
        (process["gi"], process["ci"]) = (json!(instance), json!(0));
        process
    };
    gpu["compute"] = json!([of(&large, 1), of(&small, 9)]);
    let mut fake = Fake::new(vec![gpu]);
    let agent = Agent::start(&fake);
    // GPM compares two samples: the first reading has none.
    agent.until("how busy the instances are", |text| {
        samples(text, "nvidia_gpm_utilization_ratio", &[]).len() == 2
    });
    fake.change(|state| {
        state["devices"][0]["values"]["nvmlDeviceGetTotalEnergyConsumption"] = json!(BEFORE + 80_000);
    });
    // Half of 40 of 80 GiB; all of 10 of 80 GiB.
    large.has_used(&agent, "utilization", 20.0);
    let text = small.has_used(&agent, "utilization", 10.0);
    assert_eq!(nobodys(&text), [50.0]);
}
