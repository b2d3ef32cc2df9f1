//! `agent worker nvidia`: its configuration and its replies.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::nvml::{Code, OpenError};
use super::reader::{Config, Reader, Reading, StartError, Summary};
use accelscope_core::chain;
use accelscope_core::metric::Point;
use accelscope_core::worker::{
    End, LibraryThread, RenewalReason, Replies, Reply, Suspended, WireOutcome, WirePart, WirePoint, WorkerConfig,
    serve_library,
};

/// Time after which a process is replaced if all GPUs are lost to it.
const RENEW: Duration = Duration::from_secs(10);

/// Limit in bytes of the topics' state for the next process.
const MAX_CARRIED: usize = 32 << 10;

/// `agent worker nvidia`.
pub fn serve() -> io::Result<()> {
    serve_library::<Latest>()
}

/// Last readings of all GPUs; those that belong to no GPU have an empty name.
#[derive(Debug, Default)]
struct Latest(HashMap<Arc<str>, OfGpu>);

/// Result of a run.
#[derive(Debug)]
struct RunResult {
    outcome: WireOutcome,
    reason: String,
    /// Why the process must be replaced, if it must.
    renewal: Option<RenewalReason>,
}

#[derive(Debug)]
struct OfGpu {
    pass: u64,
    read: Instant,
    points: Vec<WirePoint<'static>>,
}

impl Replies for Latest {
    type Library = Reader;

    fn new(_config: &WorkerConfig<Config>) -> Self {
        Self::default()
    }

    fn reply(&mut self, thread: &mut LibraryThread<Reader>) -> Reply<'static> {
        let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
        let mut carried = None;
        let end = thread.read(|pass, reading| match reading {
            Reading::Points {
                gpu,
                points,
                skipped: more,
            } => {
                for (reason, count) in more {
                    *skipped.entry(reason).or_default() += count;
                }
                self.keep(pass, gpu, &points);
            }
            Reading::Carried(state) => carried = Some(state),
        });
        if let Some(carried) = carried {
            thread.config.library.carried = bounded(carried);
        }
        if let End::Hung(hang) = &end {
            *skipped.entry(format!("{}.hung", hang.unit.task)).or_default() += 1;
        }
        let RunResult {
            outcome,
            reason,
            renewal,
        } = self.result(end, thread);
        let next = || thread.config.to_json();
        Reply {
            parts: self.parts(shown_for(thread.config.period, thread.config.patience)),
            skipped,
            renewal: renewal.and_then(|_| next()),
            renewal_reason: renewal,
            // The counts until now must not be lost if the library crashes later.
            successor: (renewal.is_none() && !thread.config.library.carried.is_empty())
                .then(next)
                .flatten(),
            ..Reply::empty(0, outcome, reason)
        }
    }
}

impl Latest {
    fn keep(&mut self, pass: u64, gpu: Arc<str>, points: &[Point]) {
        let of_gpu = self.0.entry(gpu).or_insert_with(|| OfGpu {
            pass,
            read: Instant::now(),
            points: Vec::new(),
        });
        if of_gpu.pass != pass {
            of_gpu.pass = pass;
            of_gpu.points.clear();
        }
        of_gpu.read = Instant::now();
        of_gpu.points.extend(points.iter().map(WirePoint::of));
    }

    fn parts(&self, most: Duration) -> Vec<WirePart<'static>> {
        let fresh = self.0.iter().filter(|(_, of_gpu)| of_gpu.read.elapsed() <= most);
        fresh
            .map(|(gpu, of_gpu)| WirePart {
                name: gpu.to_string().into(),
                points: of_gpu.points.clone(),
            })
            .collect()
    }

    fn result(&mut self, end: End<Reader>, thread: &LibraryThread<Reader>) -> RunResult {
        let renewal = end.renewal_reason();
        let reason = match end {
            End::Done(summary) => return self.done(&summary, thread),
            End::Hung(hang) => format!("NVML {hang}; look at `dmesg` for NVRM lines"),
            End::Slow => format!(
                "the NVIDIA driver did not answer for all GPUs within {:.1} s; what was read until then is shown",
                thread.config.patience.as_secs_f64()
            ),
            End::Starting { age, .. } => format!(
                "NVML has been starting for {:.0} s; with nvidia-persistenced running, the driver need not start each \
                 GPU anew",
                age.as_secs_f64()
            ),
            End::Failed { error, .. } => failure(&error),
            End::Gone(reason) => {
                self.0.clear();
                reason
            }
        };
        RunResult {
            outcome: WireOutcome::Retry,
            reason,
            renewal,
        }
    }

    fn done(&mut self, summary: &Summary, thread: &LibraryThread<Reader>) -> RunResult {
        if let Some(error) = summary.fatal.filter(|error| !error.code.ends_process()) {
            // The list of GPUs failed, perhaps for a moment.
            return RunResult {
                outcome: WireOutcome::Retry,
                reason: format!("{error}; look at `dmesg` for NVRM lines"),
                renewal: (thread.age() > RENEW).then_some(RenewalReason::Silent),
            };
        }
        if let Some(error) = summary.fatal {
            self.0.clear();
            return RunResult {
                outcome: WireOutcome::Retry,
                reason: format!("{error}; NVML is started anew"),
                renewal: Some(RenewalReason::DriverReplaced),
            };
        }
        let pass = thread.passes();
        self.0.retain(|_, of_gpu| of_gpu.pass == pass);
        let (gpus, lost, forbidden) = (summary.gpus, summary.lost.len(), summary.forbidden.len());
        // If all GPUs are lost to a process, or the driver was reloaded, its handles are invalid, and it may prevent a
        // reset of the GPUs.
        let is_silent = gpus > summary.suspended + forbidden && summary.answered == 0;
        let renews = is_silent && (lost == 0 || thread.age() > RENEW);
        let (outcome, reason) = if gpus == 0 {
            (WireOutcome::NothingHere, "NVML lists no GPU".to_owned())
        } else if summary.suspended == gpus {
            (WireOutcome::Retry, missing(summary, thread.suspended()))
        } else if is_silent && lost == 0 {
            let reason = "no GPU answers NVML any more, which is started anew; if that lasts, look at `dmesg`";
            (WireOutcome::Retry, reason.to_owned())
        } else {
            (WireOutcome::Sampled, missing(summary, thread.suspended()))
        };
        RunResult {
            outcome,
            reason,
            renewal: renews.then_some(RenewalReason::Silent),
        }
    }
}

/// For how long a GPU's readings are shown after they were read: a call of another GPU may hang for the whole time limit of
/// the next pass.
fn shown_for(period: Duration, patience: Duration) -> Duration {
    let two = period.saturating_mul(2);
    two.saturating_add(period.max(patience))
}

/// What is missing from the readings of a successful run or is wrong with them, with the reasons.
fn missing(summary: &Summary, suspended: &Suspended) -> String {
    let Summary {
        gpus,
        lost,
        forbidden,
        duplicates,
        ..
    } = summary;
    let lost = (!lost.is_empty()).then(|| {
        let (count, names) = (lost.len(), lost.join("; "));
        format!("{count} of {gpus} GPUs are lost ({names}): look at `dmesg` for `NVRM: Xid` lines")
    });
    let forbidden = (!forbidden.is_empty()).then(|| {
        let (count, names) = (forbidden.len(), forbidden.join(", "));
        format!("{count} of {gpus} GPUs are not read, since that is not permitted ({names}): give the agent all GPUs")
    });
    let duplicates = (!duplicates.is_empty()).then(|| {
        let names = duplicates.join(", ");
        format!("GPUs report the same UUID ({names}): each has its address in hw.id in addition")
    });
    let suspended = (!suspended.is_empty())
        .then(|| format!("left alone, since the driver hung or crashed: {suspended}; look at `dmesg` for NVRM lines"));
    let all: Vec<String> = lost
        .into_iter()
        .chain(forbidden)
        .chain(duplicates)
        .chain(suspended)
        .collect();
    all.join("; ")
}

/// The problem, and its remedy.
fn failure(error: &StartError) -> String {
    let remedy = match error {
        StartError::Open(OpenError::Init(error)) => match error.code {
            Code::DriverNotLoaded => "; load it (`modprobe nvidia`), or look at `dmesg` for why it does not load",
            Code::LibRmVersionMismatch => "; reboot, or reload the driver (`rmmod nvidia_uvm nvidia`) after an upgrade",
            Code::NoPermission => {
                "; run the agent as a user who may open /dev/nvidiactl, in a container with the device"
            }
            _ => "; look at `dmesg` for NVRM lines",
        },
        _ => "",
    };
    format!("{}{remedy}", chain(error))
}

fn bounded(carried: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut left = MAX_CARRIED;
    carried
        .into_iter()
        .filter(|(_, value)| {
            let size = value.to_string().len();
            let fits = size <= left;
            left -= if fits { size } else { 0 };
            fits
        })
        .collect()
}
