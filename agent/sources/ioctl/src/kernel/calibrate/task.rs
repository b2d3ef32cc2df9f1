//! Fields of the `task_struct` itself.

use agent_ebpf::Offsets;

use super::cache::MemoryCache;
use super::reference::Reference;
use super::search::TASK;

pub(super) fn find(cache: &mut MemoryCache<'_>, reference: &Reference, offsets: &mut Offsets) {
    let task = reference.task;
    let (pid, tgid) = (reference.pid_tgid as u32, (reference.pid_tgid >> 32) as u32);
    // `pid_t pid; pid_t tgid;` are adjacent in all kernels.
    let identity: Vec<u64> = (0..TASK)
        .step_by(4)
        .filter(|at| cache.u32_at(task + at) == Some(pid) && cache.u32_at(task + at + 4) == Some(tgid))
        .collect();
    let comms: Vec<u64> = (0..TASK)
        .filter(|at| cache.has_string(task + at, &reference.comm))
        .collect();

    // The group's leader is a task with its own reference values, and its own leader.
    let mut leaders = Vec::new();
    for at in (0..TASK).step_by(8) {
        let Some(leader) = cache.pointer(task + at).filter(|leader| *leader != task) else {
            continue;
        };
        if cache.u64_at(leader + at) != Some(leader) {
            continue;
        }
        for identity in &identity {
            let is = cache.u32_at(leader + identity) == Some(tgid) && cache.u32_at(leader + identity + 4) == Some(tgid);
            for comm in comms.iter().filter(|_| is) {
                if cache.has_string(leader + comm, &reference.leader_comm) {
                    leaders.push((at, leader, *identity, *comm));
                }
            }
        }
    }
    // Other tasks may follow, with the same names at the same distance: the nearest fields are the task's own.
    let Some((at, leader, identity, comm)) = leaders.into_iter().min() else {
        return;
    };
    offsets.task_leader = at as u32;
    offsets.task_pid = identity as u32;
    offsets.task_tgid = identity as u32 + 4;
    offsets.task_comm = comm as u32;

    let [own, leaders] = reference.started;
    let ticks = |ns: Option<u64>| ns.map(|ns| ns / reference.tick);
    // At the right offset, the values of both tasks match.
    let started: Vec<u64> = (0..TASK)
        .step_by(8)
        .filter(|at| ticks(cache.u64_at(task + at)) == Some(own) && ticks(cache.u64_at(leader + at)) == Some(leaders))
        .collect();
    // The time since boot follows the time since boot without suspension; both are equal on a machine that was never
    // suspended.
    let pairs: Vec<u64> = started
        .iter()
        .map(|at| at + 8)
        .filter(|at| started.contains(at))
        .collect();
    offsets.task_started = match (&pairs[..], &started[..]) {
        ([at], _) | ([], [at]) => *at as u32,
        _ => u32::MAX,
    };
}
