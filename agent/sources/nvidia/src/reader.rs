//! Reads all GPUs, topic by topic, on the thread that calls NVML.

use crate::key;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::Fault;
use super::gpu::Gpu;
use super::gpus::Gpus;
use super::library;
use super::nvml::{Nvml, NvmlError, OpenError};
use super::recorder::Recorder;
use super::topic::Topic;
use super::{status, topics};
use crate::catalogue::{nvidia, nvidia_parts};
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Attributes, Point, Timestamp};
use accelscope_core::trust::{self, Refused};
use accelscope_core::worker::{self, DISCOVERY, Disconnected, Suspension, WorkerConfig};

type Pass<'a> = worker::Pass<'a, Reader>;

/// Reason why NVML cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("no libnvidia-ml.so.1 was found: {}", library::REMEDY)]
    NotFound,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// NVML's part of the worker's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) libraries: Vec<PathBuf>,
    /// State of the preceding process's topics, by name.
    pub(super) carried: BTreeMap<String, Value>,
}

/// Result of a part of a pass.
#[derive(Debug)]
pub(super) enum Reading {
    /// One topic of one GPU; with an empty name, the readings that belong to no GPU.
    Points {
        gpu: Arc<str>,
        points: Vec<Point>,
        skipped: BTreeMap<String, u64>,
    },
    /// State of topics for the next process, sent in case this pass never ends.
    Carried(BTreeMap<String, Value>),
}

/// Summary of a pass.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Number of GPUs.
    pub(super) gpus: usize,
    /// GPUs that do not answer: index, id and reason.
    pub(super) lost: Vec<String>,
    /// GPUs that this process may not use: index and id.
    pub(super) forbidden: Vec<String>,
    /// GPUs that report the UUID of another one: index and id.
    pub(super) duplicates: Vec<String>,
    /// Number of GPUs that have answered at least one call.
    pub(super) answered: usize,
    /// Number of GPUs that are suspended as a whole.
    pub(super) suspended: usize,
    /// Error after which nothing could be read, if any.
    pub(super) fatal: Option<NvmlError>,
}

/// NVML, the GPUs, and their topics.
pub(super) struct Reader {
    gpus: Gpus,
    topics: Vec<Box<dyn Topic>>,
    recorder: Recorder,
}

/// Order of the GPUs in this pass.
#[derive(Debug, Default)]
struct Plan {
    /// GPUs without recent failures.
    first: Vec<u32>,
    /// GPUs with a call that hung or crashed: read after all others.
    late: Vec<u32>,
}

impl worker::Library for Reader {
    const NAME: &'static str = "NVML";
    const RESUMES: bool = true;
    /// Without persistence mode the driver takes seconds to initialise each GPU.
    const START: Option<Duration> = Some(Duration::from_mins(2));
    /// The library's file may have been replaced.
    const RETRY: Duration = Duration::from_secs(10);

    type Config = Config;
    type Reading = Reading;
    type Summary = Summary;
    type Error = StartError;

    fn open(config: WorkerConfig<Config>) -> Result<Self, StartError> {
        let nvml = open(&config.library.libraries)?;
        let roots = HostRoots::new(&config.root);
        let mut topics = topics::all(nvml, &roots);
        let mut carried = config.library.carried;
        for topic in &mut topics {
            if let Some(state) = carried.remove(topic.name()) {
                topic.restore(state);
            }
        }
        let boot = Processes::new(&roots).boot_time().unwrap_or_else(|_| Timestamp::now());
        Ok(Self {
            gpus: Gpus::new(nvml, roots, config.node_name),
            topics,
            recorder: Recorder::new(boot),
        })
    }

    fn read(&mut self, pass: &Pass<'_>) -> Result<Summary, Disconnected> {
        let mut summary = Summary::default();
        self.recorder.now();
        let counted = pass.progress.during("", None, DISCOVERY, || self.gpus.count());
        let planned = counted.and_then(|count| self.plan(count, pass));
        let plan = planned.unwrap_or_else(|error| {
            self.recorder.fail(error);
            Plan::default()
        });
        self.begin(pass)?;
        for index in &plan.first {
            self.gpu(*index, false, pass, &mut summary)?;
        }
        self.late(&plan, pass, &mut summary)?;
        self.gpus.end();
        for topic in &mut self.topics {
            let name = topic.name();
            if pass.suspended.find("", None, name).is_none() {
                pass.progress
                    .during("", None, name, || topic.finish(&mut self.recorder));
            }
        }
        self.send_all(pass)?;
        summary.fatal = self.recorder.take_fatal();
        Ok(summary)
    }
}

impl Reader {
    /// Looks up the GPUs that are read first.
    fn plan(&mut self, count: u32, pass: &Pass<'_>) -> Result<Plan, NvmlError> {
        let mut plan = Plan::default();
        for index in 0..count {
            let uuid = self.uuid(index, pass);
            if pass.suspended.find_device(&uuid, Some(index)).is_some() {
                self.gpus.suspend(index, (!uuid.is_empty()).then_some(&*uuid));
                plan.first.push(index);
            } else if pass.suspended.is_suspect_device(&uuid, Some(index)) {
                plan.late.push(index);
            } else {
                plan.first.push(index);
                self.find(index, &uuid, pass)?;
            }
        }
        if plan.late.is_empty() {
            self.gpus.find_lost(&mut self.recorder);
        }
        self.gpus.distinguish();
        let all = i64::from(count);
        self.recorder.gauge(&nvidia::DEVICES, &Attributes::empty(), [], all);
        Ok(plan)
    }

    /// As far as it is known before the GPU is found.
    fn uuid(&mut self, index: u32, pass: &Pass<'_>) -> Arc<str> {
        let known = self.gpus.gpu(index).map(|gpu| Arc::clone(&gpu.uuid));
        known.unwrap_or_else(|| pass.suspended.device_at(index).unwrap_or_default().into())
    }

    fn find(&mut self, index: u32, uuid: &str, pass: &Pass<'_>) -> Result<(), NvmlError> {
        pass.progress.during(uuid, Some(index), DISCOVERY, || {
            self.gpus.find(index, &mut self.recorder)
        })
    }

    fn begin(&mut self, pass: &Pass<'_>) -> Result<(), Disconnected> {
        for topic in &mut self.topics {
            let name = topic.name();
            if pass.suspended.find("", None, name).is_none() {
                pass.progress
                    .during("", None, name, || topic.begin(&self.gpus, &mut self.recorder));
            }
        }
        self.send_all(pass)
    }

    /// Sends what belongs to no GPU, and the state of the topics.
    fn send_all(&mut self, pass: &Pass<'_>) -> Result<(), Disconnected> {
        send(&Arc::default(), &mut self.recorder, pass)?;
        let topics = self.topics.iter();
        let carried = topics.filter_map(|topic| Some((topic.name().to_owned(), topic.carry()?)));
        pass.send(Reading::Carried(carried.collect()))
    }

    /// Reads the suspect topics after all other readings were sent: a hang or crash now affects none of them.
    fn late(&mut self, plan: &Plan, pass: &Pass<'_>, summary: &mut Summary) -> Result<(), Disconnected> {
        if self.has_suspect_topic(pass) {
            for index in &plan.first {
                self.gpu(*index, true, pass, summary)?;
            }
        }
        for index in &plan.late {
            let uuid = self.uuid(*index, pass);
            if let Err(error) = self.find(*index, &uuid, pass) {
                self.recorder.fail(error);
                return Ok(());
            }
        }
        let mut rest = plan.late.clone();
        if !rest.is_empty() {
            rest.extend(plan.first.iter().filter(|index| self.gpus.gpu(**index).is_none()));
            self.gpus.find_lost(&mut self.recorder);
            self.gpus.distinguish();
        }
        for index in &rest {
            for is_late in [false, true] {
                self.gpu(*index, is_late, pass, summary)?;
            }
        }
        Ok(())
    }

    fn has_suspect_topic(&self, pass: &Pass<'_>) -> bool {
        let mut topics = self.topics.iter();
        topics.any(|topic| pass.suspended.is_suspect_task(topic.name()))
    }

    /// Reads the topics of a GPU; topics that are suspect on every GPU are read separately.
    fn gpu(&mut self, index: u32, is_late: bool, pass: &Pass<'_>, summary: &mut Summary) -> Result<(), Disconnected> {
        let has_more = !is_late && self.has_suspect_topic(pass);
        let Some(gpu) = self.gpus.gpu(index) else {
            return Ok(());
        };
        let uuid = Arc::clone(&gpu.uuid);
        let whole = pass.suspended.find_device(&uuid, Some(index));
        if let Some(suspension) = whole.filter(|_| !is_late) {
            suspended(gpu, "all", suspension, &mut self.recorder);
        }
        for topic in &mut self.topics {
            let name = topic.name();
            if pass.suspended.is_suspect_task(name) != is_late {
                continue;
            }
            if let Some(suspension) = pass.suspended.find(&uuid, Some(index), name)
                && whole.is_none()
            {
                suspended(gpu, name, suspension, &mut self.recorder);
                continue;
            }
            self.recorder.now();
            pass.progress
                .during(&uuid, Some(index), name, || topic.read(gpu, &mut self.recorder));
            send(&uuid, &mut self.recorder, pass)?;
        }
        if !has_more {
            summary.gpus += 1;
            let name = || format!("{index}: {uuid}");
            if gpu.health.is_forbidden() {
                summary.forbidden.push(name());
            } else if gpu.health.lost {
                let reasons = gpu.health.faults.iter().map(|fault| format!(", {}", fault.as_str()));
                summary.lost.push(name() + &reasons.collect::<String>());
            }
            let is_duplicate = gpu.health.faults.contains(&Fault::DuplicateUuid);
            summary.duplicates.extend(is_duplicate.then(name));
            summary.suspended += usize::from(gpu.health.suspended);
            summary.answered += usize::from(gpu.health.answered);
            status::record(gpu, &mut self.recorder);
        }
        send(&uuid, &mut self.recorder, pass)
    }
}

/// The first library that works; the first error if none does.
fn open(libraries: &[PathBuf]) -> Result<Nvml, StartError> {
    // As the agent has set it, for the loader too.
    let (_, directories) = trust::library_path([]);
    let mut first = None;
    for path in libraries {
        let opened = trust::check(path, &directories)
            .map_err(StartError::from)
            .and_then(|()| Ok(Nvml::open(path)?));
        match opened {
            Ok(nvml) => return Ok(nvml),
            Err(error) => first = first.or(Some(error)),
        }
    }
    if let Some(error) = first {
        return Err(error);
    }
    // The loader may find one.
    let path = trust::find_library(library::NAME, &directories).ok_or(StartError::NotFound)?;
    trust::check(&path, &directories)?;
    Nvml::open(&path).map_err(|error| match error {
        OpenError::Load { .. } => StartError::NotFound,
        error => error.into(),
    })
}

/// Publishes that a topic is suspended: its metrics are absent.
fn suspended(gpu: &Gpu, topic: &'static str, suspension: &Suspension, recorder: &mut Recorder) {
    recorder.skip(format!("{topic}.suspended"));
    let more = [
        (key::NVIDIA_TOPIC, topic.into()),
        (key::ERROR_TYPE, suspension.fault.as_str().into()),
    ];
    recorder.gauge(&nvidia_parts::READING_SUSPENDED, &gpu.label, more, 1i64);
}

fn send(gpu: &Arc<str>, recorder: &mut Recorder, pass: &Pass<'_>) -> Result<(), Disconnected> {
    let (points, skipped) = recorder.take();
    if points.is_empty() && skipped.is_empty() {
        return Ok(());
    }
    pass.send(Reading::Points {
        gpu: Arc::clone(gpu),
        points,
        skipped,
    })
}
