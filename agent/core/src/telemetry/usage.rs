//! What the agent itself costs, and which build it is.

use std::sync::Arc;
use std::time::Duration;

use crate::metric::{Attributes, Instrument, Point, Timestamp, Value, catalogue::agent, key};

/// What the running program was built from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Build {
    /// Source revision.
    pub revision: &'static str,
    /// Version of the compiler.
    pub rustc: &'static str,
}

/// Reader of this process's own usage. A value that cannot be read is left out.
#[derive(Debug)]
pub(super) struct Usage {
    started: Timestamp,
    none: Arc<Attributes>,
    build: Arc<Attributes>,
}

impl Usage {
    pub(super) fn new(build: Build) -> Self {
        let build = Attributes::new([
            (key::SERVICE_VERSION, env!("CARGO_PKG_VERSION").into()),
            (key::VCS_REVISION, build.revision.into()),
            (key::AGENT_RUSTC, build.rustc.into()),
        ]);
        Self {
            started: Timestamp::now(),
            none: Arc::new(Attributes::empty()),
            build: Arc::new(build),
        }
    }

    pub(super) fn push(&self, points: &mut Vec<Point>) {
        let time = Timestamp::now();
        let mut add = |instrument: &'static Instrument, attributes: &Arc<Attributes>, value: Value, start| {
            points.push(Point {
                instrument,
                attributes: attributes.clone(),
                owner: None,
                value,
                time,
                start,
            });
        };
        add(&agent::BUILD_INFO, &self.build, Value::Int(1), None);
        if let Some(bytes) = resident_bytes() {
            add(&agent::MEMORY_USAGE, &self.none, Value::Int(bytes), None);
        }
        if let Ok(used) = cpu_time() {
            add(
                &agent::CPU_TIME,
                &self.none,
                Value::Double(used.as_secs_f64()),
                Some(self.started),
            );
        }
    }
}

fn resident_bytes() -> Option<i64> {
    let pages = procfs::process::Process::myself().ok()?.statm().ok()?.resident;
    i64::try_from(pages * rustix::param::page_size() as u64).ok()
}

fn cpu_time() -> rustix::io::Result<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).map_err(|_| rustix::io::Errno::RANGE)
}
