//! A host's root, filled by the test, and the points of readings.

use std::path::Path;

use crate::readings::{Readings, Reason, Skipped};
use accelscope_core::faults::Faults;
use accelscope_core::holders::Holders;
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::metric::{Point, Timestamp};
use accelscope_core::source::Context;

/// A host without any file.
pub(crate) struct Host(tempfile::TempDir);

impl Host {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let host = Self::new();
        for (path, text) in files {
            host.write(path, text);
        }
        host
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.0.path().join(path)).expect("a file");
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn roots(&self) -> HostRoots {
        HostRoots::new(self.root())
    }

    pub(crate) fn context(&self) -> Context {
        context(self.root())
    }
}

pub(crate) fn context(root: &Path) -> Context {
    let roots = HostRoots::new(root);
    Context {
        cgroups: Cgroups::new(&roots),
        roots,
        node_name: "node-7".to_owned(),
        once: false,
        per_process: false,
        sources: &[],
        faults: Faults::default(),
        holders: Holders::default(),
    }
}

/// What a reading gave: points and reasons for missing ones.
pub(crate) fn read(read: impl FnOnce(&mut Readings<'_>)) -> (Vec<Point>, Vec<Reason>) {
    let skipped = Skipped::new();
    let mut readings = Readings::new(0, &skipped);
    readings.boot = Some(Timestamp::from_unix_nanos(1_000_000_000));
    read(&mut readings);
    let reasons = std::mem::take(&mut readings.reasons);
    (readings.into_points(), reasons)
}

/// The points as text: name, values of the attributes, value.
pub(crate) fn shown(points: &[Point]) -> Vec<String> {
    let line = |point: &Point| {
        let attributes = point.attributes.iter().map(|(_, value)| value.to_string());
        let attributes: Vec<_> = attributes.collect();
        let value = point.value.as_f64().expect("a number");
        format!("{} {} {value}", point.instrument.name, attributes.join(","))
    };
    points.iter().map(line).collect()
}

/// The value of the only point with that name and those values of attributes, as in [`shown`].
pub(crate) fn value(points: &[Point], name: &str, attributes: &str) -> Option<f64> {
    let start = format!("{name} {attributes} ");
    let lines = shown(points);
    let mut found = lines.iter().filter_map(|line| line.strip_prefix(&start)?.parse().ok());
    let value = found.next();
    assert!(found.next().is_none(), "{start}: several points");
    value
}
