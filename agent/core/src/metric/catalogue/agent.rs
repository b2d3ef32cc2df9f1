//! `agent.*`: the agent's own metrics.

use super::{WORK_SECONDS, instrument, instruments};
use crate::metric::Kind::{Counter, Gauge, Histogram, UpDownCounter};
use crate::metric::key::{
    AGENT_INSTRUMENT, AGENT_IOCTL_DRIVER, AGENT_IOCTL_HOOK, AGENT_MEMORY_PURPOSE, AGENT_OUTCOME, AGENT_REASON,
    AGENT_RUSTC, AGENT_SAMPLER, DESTINATION, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, SERVICE_VERSION, VCS_REVISION,
};

instruments! {
    BUILD_INFO = instrument(
        "agent.build.info", "", Gauge, &[SERVICE_VERSION, VCS_REVISION, AGENT_RUSTC],
        "Always 1; its attributes describe the agent's build.",
    );
    MEMORY_USAGE = instrument("agent.memory.usage", "By", UpDownCounter, &[], "Resident memory of the agent process.");
    MEMORY_LIMIT = instrument(
        "agent.memory.limit", "By", UpDownCounter, &[],
        "Memory that the agent process may take by `limits.memory`.",
    );
    MEMORY_HELD = instrument(
        "agent.memory.held", "By", UpDownCounter, &[AGENT_MEMORY_PURPOSE],
        "Memory that what grows with the input holds, by an estimate; the program itself is not in it.",
    );
    MEMORY_FORGOTTEN = instrument(
        "agent.memory.forgotten", "{entry}", Counter, &[AGENT_REASON],
        "What was given up early for want of memory (`limits.memory`), by what it was: counter (the last reading of one process), \
         total (of a container whose processes have ended; it would begin anew), process, container, owner (names, which are \
         read again when they are needed).",
    );
    CPU_TIME = instrument("agent.cpu.time", "s", Counter, &[], "CPU time of the agent process, user and system.");
    SAMPLER_DURATION = instrument(
        "agent.sampler.duration", "s", Histogram(WORK_SECONDS), &[AGENT_SAMPLER],
        "Time that one run of the sampler took.",
    );
    SAMPLER_RUNS = instrument(
        "agent.sampler.runs", "{run}", Counter, &[AGENT_SAMPLER, AGENT_OUTCOME],
        "Runs of the sampler by outcome: sampled, nothing_here, retry, gone, deadline.",
    );
    SAMPLER_STUCK = instrument(
        "agent.sampler.stuck", "s", Gauge, &[AGENT_SAMPLER],
        "How long the sampler's current run has been over its deadline; 0 while it is not.",
    );
    PIPELINE_STUCK = instrument(
        "agent.pipeline.stuck", "s", Gauge, &[],
        "How long the processing of readings has been at one run, where it does not go on; 0 while it does.",
    );
    PROCESS_TIMEOUTS = instrument(
        "agent.process.timeouts", "{process}", Counter, &[],
        "Processes whose files in `/proc` did not let themselves be read in time: what they use has no owner until they go on.",
    );
    SAMPLER_SKIPPED = instrument(
        "agent.sampler.skipped", "{reading}", Counter, &[AGENT_SAMPLER, AGENT_REASON],
        "Readings that gave no point, by reason.",
    );
    WORKER_AGE = instrument("agent.worker.age", "s", Gauge, &[AGENT_SAMPLER], "Age of the worker process in use.");
    WORKER_RESTARTS = instrument(
        "agent.worker.restarts", "{restart}", Counter, &[AGENT_SAMPLER, AGENT_REASON],
        "Worker processes that were replaced, by reason: hung, start_hung, start_failed, driver_replaced, silent (no device \
         answers) and panicked at their own request, deadline, exited, protocol, pipe and spawn by the agent's.",
    );
    WORKER_STUCK = instrument(
        "agent.worker.stuck", "s", Gauge, &[AGENT_SAMPLER],
        "Age of the oldest worker that was killed and is still there; 0 without one.",
    );
    WORKER_REJECTED = instrument(
        "agent.worker.rejected", "{reading}", Counter, &[AGENT_SAMPLER, AGENT_REASON],
        "Readings of a worker that were refused, by reason.",
    );
    SERIES_LIVE = instrument("agent.series.live", "{series}", UpDownCounter, &[], "Series that are live.");
    SERIES_OVERFLOW = instrument(
        "agent.series.overflow", "{point}", Counter, &[AGENT_INSTRUMENT],
        "Points that went into an overflow series because a cardinality limit was reached.",
    );
    SERIES_FORGOTTEN = instrument(
        "agent.series.forgotten", "{series}", Counter, &[],
        "Series that ended and whose end, or last value, was not pushed because too many ended within one export interval.",
    );
    ATTRIBUTION_AMBIGUOUS = instrument(
        "agent.attribution.ambiguous", "{reading}", Counter, &[AGENT_SAMPLER],
        "Readings shown without a process because several processes could have made them.",
    );
    ATTRIBUTION_UNNAMED = instrument(
        "agent.attribution.unnamed", "{container}", Counter, &[],
        "Containers whose name could not be learned from the node.",
    );
    ATTRIBUTION_UNKNOWN = instrument(
        "agent.attribution.unknown", "{owner}", Counter, &[],
        "Owners of readings whose control group was gone before its path could be learned.",
    );
    IOCTL_LOST = instrument(
        "agent.ioctl.lost", "{occurrence}", Counter, &[AGENT_REASON],
        "What the programs in the kernel did not record of calls and events, by reason. Calls that are missing from \
         accel.ioctl.calls: skipped (the kernel did not run a program that may have counted it), entry_missed (it began \
         before the agent), key_full, and with an unknown end slot_full, return_missed, thread_gone and unhooked.",
    );
    IOCTL_DEVICES = instrument(
        "agent.ioctl.devices", "{device}", UpDownCounter, &[AGENT_IOCTL_DRIVER, AGENT_IOCTL_HOOK],
        "Device nodes that are watched, by driver and the kind of hook that sees their calls.",
    );
    IOCTL_MEMORY = instrument(
        "agent.ioctl.memory.usage", "By", UpDownCounter, &[],
        "Kernel memory of the maps that the programs in the kernel fill.",
    );
    IOCTL_RECORDS = instrument(
        "agent.ioctl.records", "{record}", UpDownCounter, &[],
        "Combinations of control group, executable, device and command that the programs in the kernel tell apart now.",
    );
    EXPORT_POINTS = instrument(
        "agent.export.points", "{point}", Counter, &[DESTINATION, AGENT_OUTCOME],
        "Points by what became of them: queued, sent, dropped.",
    );
    EXPORT_DROPPED = instrument(
        "agent.export.dropped", "{point}", Counter, &[DESTINATION, AGENT_REASON],
        "Points that were lost on their way to the destination, by reason.",
    );
    EXPORT_BYTES = instrument(
        "agent.export.bytes", "By", Counter, &[DESTINATION],
        "Bytes of acknowledged requests before compression.",
    );
    EXPORT_REQUESTS = instrument(
        "agent.export.requests", "{request}", Counter, &[DESTINATION, AGENT_OUTCOME],
        "Requests to the destination by outcome.",
    );
    EXPORT_DURATION = instrument(
        "agent.export.duration", "s", Histogram(WORK_SECONDS), &[DESTINATION],
        "Time from a request's start to its answer.",
    );
    EXPORT_QUEUE_BYTES = instrument(
        "agent.export.queue.usage", "By", UpDownCounter, &[DESTINATION],
        "Bytes that wait for the destination.",
    );
    EXPORT_QUEUE_POINTS = instrument(
        "agent.export.queue.points", "{point}", UpDownCounter, &[DESTINATION],
        "Points that wait for the destination, those in flight included.",
    );
    EXPORT_QUEUE_LIMIT = instrument(
        "agent.export.queue.limit", "By", UpDownCounter, &[DESTINATION],
        "Bytes that may wait for the destination.",
    );
    EXPORT_BLOCKED = instrument(
        "agent.export.blocked", "", Gauge, &[DESTINATION, AGENT_REASON],
        "1 while the destination refuses everything for this reason and the queue is held, else 0.",
    );
    LOG_SUPPRESSED = instrument(
        "agent.log.suppressed", "{line}", Counter, &[],
        "Log lines that were not written because there had been ten of their kind within a minute, or because standard error was not read.",
    );
    ANNOTATION_WRITES = instrument(
        "agent.annotation.writes", "{write}", Counter, &[AGENT_OUTCOME],
        "Writes of the node annotation k8s-monitor.io/npu-metrics by outcome: written, removed, refused, failed, deadline.",
    );
    HTTP_REQUESTS = instrument(
        "agent.http.requests", "{request}", Counter, &[HTTP_ROUTE, HTTP_RESPONSE_STATUS_CODE],
        "Requests to the agent's own listeners.",
    );
    HTTP_RENDERED = instrument(
        "agent.http.rendered", "{answer}", Counter, &[],
        "Answers that were rendered; scrapes of the same moment in the same format share one.",
    );
    HTTP_CUT = instrument(
        "agent.http.cut", "{answer}", Counter, &[AGENT_REASON],
        "Clients that did not get the whole of an answer, by reason: stalled (took nothing for 10 s), slow (was not done within \
         35 s), crowded (others needed its connection), superseded (its answer was given up for a newer one).",
    );
}
