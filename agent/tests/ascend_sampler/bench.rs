//! The stand-in for the tool, and a sampler that calls it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use accelscope_ascend::{Sampler, Settings};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Attributes, Batch, Instrument, Point};
use accelscope_core::sampler::{Outcome, Sampler as _};
use accelscope_core::source::attribute_keys;

/// A stand-in for the tool, and the settings of a sampler that calls it.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) settings: Settings,
}

impl Bench {
    pub(crate) fn new(flags: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bench = Self {
            settings: Settings {
                npu_smi: Some(directory.path().join("npu-smi")),
                timeout: Duration::from_secs(120),
                require_admin: false,
                ..Settings::default()
            },
            directory,
        };
        bench.plays(flags);
        bench
    }

    /// Makes the tool behave as `flags` choose.
    pub(crate) fn plays(&self, flags: &str) {
        let own = std::env::current_exe().unwrap();
        let log = self.log();
        self.runs(&format!(
            "exec {} npu-smi --log {} {flags} \"$@\"",
            own.display(),
            log.display()
        ));
    }

    /// Replaces the tool by a script. Atomically, because a script that is being run cannot be written to.
    pub(crate) fn runs(&self, script: &str) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, self.directory.path().join("npu-smi")).unwrap();
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub(crate) fn sampler(&self) -> Sampler {
        let sampler = Sampler::new(self.settings.clone(), HostRoots::new("/"), "node".to_owned());
        sampler.supervised_by(std::env::current_exe().unwrap())
    }
}

pub(crate) fn sample(sampler: &mut Sampler) -> (Outcome, Vec<Batch>) {
    let mut batches = Vec::new();
    let outcome = sampler.sample(&mut batches);
    (outcome, batches)
}

pub(crate) fn points(sampler: &mut Sampler) -> Vec<Point> {
    let (outcome, batches) = sample(sampler);
    assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
    let points: Vec<Point> = batches.into_iter().flat_map(|batch| batch.points).collect();
    for point in &points {
        assert!(point.value.is_valid_for(point.instrument), "{point:?}");
        for (key, _) in &*point.attributes {
            let own = attribute_keys(accelscope::SOURCES, point.instrument).contains(key);
            assert!(own || point.instrument.owned, "{}: {key}", point.instrument.name);
        }
    }
    points
}

pub(crate) fn of<'a>(points: &'a [Point], instrument: &Instrument) -> Vec<&'a Point> {
    points.iter().filter(|point| point.instrument == instrument).collect()
}

pub(crate) fn attribute(attributes: &Attributes, key: &str) -> String {
    attributes.get(key).map_or_else(String::new, ToString::to_string)
}

pub(crate) fn values(points: &[Point], instrument: &Instrument) -> Vec<f64> {
    of(points, instrument)
        .iter()
        .map(|point| point.value.as_f64().unwrap())
        .collect()
}
