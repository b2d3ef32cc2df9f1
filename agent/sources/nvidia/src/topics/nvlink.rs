//! NVLink: bytes over all links, errors and state of each.

use crate::key;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::catalogue::nvidia;
use crate::gpu::Gpu;
use crate::nvml::{ALL_LINKS, Field, Number, NvmlError, sys, sys::field_id};
use crate::recorder::Recorder;
use crate::topic::Topic;

const KIB: u64 = 1024;

/// Limit of links of a GPU: 18 until nvml.h 13.0, 36 in 13.5 (`NVML_NVLINK_MAX_LINKS`), which the bindings do not have.
/// Those above 18 are requested separately, since an older driver may refuse a call that contains them.
const LINKS: [(&str, Range<u32>); 2] = [("nvlink", 0..18), ("nvlink_beyond_18", 18..36)];

/// Counters of each link. The first three are before Blackwell (NVLink 1 to 4), the others from it on.
const ERRORS: [(&str, u32); 6] = [
    ("replay", field_id::NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY),
    ("recovery", field_id::NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY),
    ("crc", field_id::NVML_FI_DEV_NVLINK_ERROR_DL_CRC),
    ("receive", field_id::NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS),
    ("effective", field_id::NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS),
    (
        "recovery_failed",
        field_id::NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS,
    ),
];

/// Most passes until the fields of a GPU are tried again.
const LONGEST_WAIT: u32 = 64;

/// Supported fields and links of each GPU.
#[derive(Default)]
pub(super) struct NvLink {
    of_gpus: HashMap<Arc<str>, Links>,
}

/// Supported fields and links of a GPU.
#[derive(Debug, Default)]
struct Links {
    fields: Vec<(u32, Kind, Field)>,
    again: Option<Again>,
}

/// When all fields are tried again, since some failed with an error that may be temporary. Some drivers return such an error
/// for links that do not exist: the wait doubles each time.
#[derive(Debug)]
struct Again {
    /// Passes between the last attempt and the next one.
    wait: u32,
    left: u32,
}

impl Again {
    fn after(before: Option<&Self>) -> Self {
        let wait = before.map_or(1, |before| (before.wait * 2).min(LONGEST_WAIT));
        Self { wait, left: wait }
    }

    /// Counts a pass; whether the next attempt is due.
    const fn is_due(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    State,
    Error(&'static str),
}

impl Topic for NvLink {
    fn name(&self) -> &'static str {
        "nvlink"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        if !gpu.refuses("nvlink") {
            self.links(gpu, recorder);
        }
        let has_links = self
            .of_gpus
            .get(&gpu.uuid)
            .is_some_and(|links| !links.fields.is_empty());
        bytes(gpu, has_links, recorder);
    }
}

impl NvLink {
    fn links(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let is_due = |links: &mut Links| links.again.as_mut().is_some_and(Again::is_due);
        if self.of_gpus.get_mut(&gpu.uuid).is_none_or(is_due) {
            self.probe(gpu, recorder);
            return;
        }
        let Some(Links { fields, .. }) = self.of_gpus.get(&gpu.uuid) else {
            return;
        };
        let wanted: Vec<Field> = fields.iter().map(|(.., field)| *field).collect();
        let values = gpu.ask("nvlink", recorder, |device| device.field_values(&wanted));
        let mut read = Vec::new();
        for ((link, kind, _), value) in fields.iter().zip(values.into_iter().flatten()) {
            match value {
                Ok(value) => read.push((*link, *kind, value)),
                Err(error) => lost(gpu, error, recorder),
            }
        }
        record_links(gpu, &read, recorder);
    }

    /// Tries all fields of all links: most GPUs have none, and each generation counts other errors.
    fn probe(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let mut known = Vec::new();
        let mut is_doubtful = false;
        for (name, links) in LINKS {
            let states = links
                .clone()
                .map(|link| (link, Kind::State, field_id::NVML_FI_DEV_NVLINK_GET_STATE));
            let errors = links.flat_map(|link| ERRORS.map(|(name, id)| (link, Kind::Error(name), id)));
            let all: Vec<_> = states
                .chain(errors)
                .map(|(scope, kind, id)| (scope, kind, Field { id, scope }))
                .collect();
            let wanted: Vec<Field> = all.iter().map(|(.., field)| *field).collect();
            let Some(values) = gpu.ask(name, recorder, |device| device.field_values(&wanted)) else {
                if gpu.refuses(name) {
                    break;
                }
                // Temporary failure: its fields are searched for again.
                return;
            };
            let mut read = Vec::new();
            for ((link, kind, field), value) in all.into_iter().zip(values) {
                match value {
                    Ok(value) => read.push((link, kind, value, field)),
                    // A field of another generation, or a link that does not exist; drivers differ in the code for
                    // either.
                    Err(error) => {
                        gpu.health.note(error.code);
                        is_doubtful |= error.code.may_pass();
                    }
                }
            }
            // Some drivers have counters of links that do not exist.
            let links = existing(read.iter().map(|(link, kind, value, _)| (*link, *kind, *value)));
            for (link, kind, value, field) in read.into_iter().filter(|(link, ..)| links.contains(link)) {
                known.push((link, kind, field));
                record(gpu, link, kind, value, recorder);
            }
        }
        if gpu.health.lost {
            return;
        }
        let mut links = self.of_gpus.remove(&gpu.uuid).unwrap_or_default();
        links.fields.retain(|field| !known.contains(field));
        links.fields.extend(known);
        links.again = is_doubtful.then(|| Again::after(links.again.as_ref()));
        if links.fields.is_empty() && !is_doubtful {
            gpu.refuse("nvlink");
        }
        self.of_gpus.insert(Arc::clone(&gpu.uuid), links);
    }
}

fn lost(gpu: &mut Gpu, error: NvmlError, recorder: &mut Recorder) {
    gpu.health.note(error.code);
    recorder.skip(format!("nvlink.{}", error.code.as_str()));
}

/// A value of one link.
type Read = (u32, Kind, Number);

/// Links whose state the driver reports.
fn existing(read: impl Iterator<Item = Read>) -> HashSet<u32> {
    let states = read.filter(|(_, kind, state)| *kind == Kind::State && state.count().is_some());
    states.map(|(link, ..)| link).collect()
}

fn record_links(gpu: &Gpu, read: &[Read], recorder: &mut Recorder) {
    let links = existing(read.iter().copied());
    for (link, kind, value) in read.iter().filter(|(link, ..)| links.contains(link)) {
        record(gpu, *link, *kind, *value, recorder);
    }
}

fn record(gpu: &Gpu, link: u32, kind: Kind, value: Number, recorder: &mut Recorder) {
    let Some(value) = value.count() else { return };
    let of_link = (key::NVIDIA_NVLINK, link.into());
    match kind {
        Kind::State => {
            // A link in its power-saving state wakes up by itself.
            let up = [sys::NVML_NVLINK_STATE_ACTIVE, sys::NVML_NVLINK_STATE_SLEEP];
            let is_up = up.iter().any(|state| value == u64::from(*state));
            recorder.gauge(&nvidia::NVLINK_UP, &gpu.label, [of_link], i64::from(is_up));
        }
        Kind::Error(kind) => {
            let more = [of_link, (key::ERROR_TYPE, kind.into())];
            recorder.count(&nvidia::NVLINK_ERRORS, &gpu.label, more, value);
        }
    }
}

/// Totals of all links together, in KiB. A GPU without links may have totals of 0.
fn bytes(gpu: &mut Gpu, has_links: bool, recorder: &mut Recorder) {
    let field = |id| Field { id, scope: ALL_LINKS };
    let [transmitted, received] = gpu.ask_fields(
        [
            ("nvlink_tx", field(field_id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX)),
            ("nvlink_rx", field(field_id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX)),
        ],
        recorder,
    );
    for (direction, value) in [("transmit", transmitted), ("receive", received)] {
        let kibibytes = value.and_then(Number::count).filter(|count| has_links || *count > 0);
        if let Some(kibibytes) = kibibytes {
            let direction = (key::NETWORK_IO_DIRECTION, direction.into());
            recorder.count(
                &nvidia::NVLINK_IO,
                &gpu.label,
                [direction],
                kibibytes.saturating_mul(KIB),
            );
        }
    }
}
