//! Jobs of batch systems, which give each job a group of its own.

use super::unit::unescape;

/// Longest id of a job or step.
const LONGEST: usize = 128;

/// The batch system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheduler {
    /// Slurm.
    Slurm,
    /// PBS Professional, `OpenPBS`, Torque.
    Pbs,
    /// IBM Spectrum LSF.
    Lsf,
    /// `HTCondor`, which names the group after the slot that the job runs in.
    HtCondor,
}

/// A job of a batch system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Job {
    /// Whose job.
    pub scheduler: Scheduler,
    /// Its id; the slot of `HTCondor`.
    pub id: String,
    /// The step of a Slurm job: a number, `batch`, `extern` or `interactive`.
    pub step: Option<String>,
}

/// The job that the path is of, with the number of names down to its group, or its step's.
pub(super) fn find(segments: &[&str]) -> Option<(Job, usize)> {
    let job = |scheduler, id: &str| {
        let id = unescape(id);
        is_plain(&id).then_some(Job {
            scheduler,
            id,
            step: None,
        })
    };
    let found = |at: usize| {
        let (text, above) = (segments[at], &segments[..at]);
        let under = |is: fn(&str) -> bool| above.iter().any(|segment| is(segment));
        if let Some(id) = text.strip_prefix("job_").filter(|_| under(is_slurm)) {
            let step = segments.get(at + 1).and_then(|next| next.strip_prefix("step_"));
            return Some(Job {
                step: step.filter(|step| is_plain(step)).map(str::to_owned),
                ..job(Scheduler::Slurm, id)?
            });
        }
        let parent = above.last().copied().unwrap_or_default();
        if (parent == "jobid" && under(is_pbs)) || parent == "torque" {
            return job(Scheduler::Pbs, text);
        }
        if let Some(id) = text
            .strip_prefix("pbspro-")
            .and_then(|rest| rest.strip_suffix(".slice"))
        {
            return job(Scheduler::Pbs, id);
        }
        // `job.<id>.<pid>.<time>` below the cluster's name.
        if let Some(rest) = text.strip_prefix("job.").filter(|_| under(|segment| segment == "lsf")) {
            return job(Scheduler::Lsf, rest.split('.').next().unwrap_or_default());
        }
        // `condor_<path of the slot's directory>_slot1_1@<host>`.
        if text.starts_with("condor_") && under(|segment| segment == "htcondor") {
            let slot = text.rfind("_slot").map(|at| &text[at + 1..]);
            return job(Scheduler::HtCondor, slot?);
        }
        None
    };
    (0..segments.len()).find_map(|at| {
        let job = found(at)?;
        let depth = at + 1 + usize::from(job.step.is_some());
        Some((job, depth))
    })
}

/// v1 has `slurm`, or `slurm_<node>` with several daemons on one host; v2 has `slurmstepd.scope`, or
/// `<node>_slurmstepd.scope`.
fn is_slurm(segment: &str) -> bool {
    segment == "slurm" || segment.starts_with("slurm_") || segment.ends_with("slurmstepd.scope")
}

fn is_pbs(segment: &str) -> bool {
    segment.starts_with("pbs")
}

fn is_plain(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+[]@".contains(&byte);
    !id.is_empty() && id.len() <= LONGEST && id.bytes().all(allowed)
}
