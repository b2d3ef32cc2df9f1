//! What stands in the task itself.

use agent_ebpf::Offsets;

use super::{Known, TASK, View, nearest};

pub(super) fn find(view: &mut View<'_>, known: &Known, offsets: &mut Offsets) {
    let task = known.task;
    let (pid, tgid) = (known.pid_tgid as u32, (known.pid_tgid >> 32) as u32);
    // `pid_t pid; pid_t tgid;` stand side by side in all kernels.
    let identity: Vec<u64> = (0..TASK)
        .step_by(4)
        .filter(|at| view.half(task + at) == Some(pid) && view.half(task + at + 4) == Some(tgid))
        .collect();
    let comms: Vec<u64> = (0..TASK).filter(|at| view.says(task + at, &known.comm)).collect();

    // The group's leader is a task, of which all that is known as well, and its own leader.
    let mut leaders = Vec::new();
    for at in (0..TASK).step_by(8) {
        let Some(leader) = view.pointer(task + at).filter(|leader| *leader != task) else {
            continue;
        };
        if view.word(leader + at) != Some(leader) {
            continue;
        }
        for identity in &identity {
            let is = view.half(leader + identity) == Some(tgid) && view.half(leader + identity + 4) == Some(tgid);
            for comm in comms.iter().filter(|_| is) {
                if view.says(leader + comm, &known.leader_comm) {
                    leaders.push((at, leader, *identity, *comm));
                }
            }
        }
    }
    let Some((at, leader, identity, comm)) = nearest(leaders, |(at, ..)| *at) else {
        return;
    };
    offsets.task_leader = at as u32;
    offsets.task_pid = identity as u32;
    offsets.task_tgid = identity as u32 + 4;
    offsets.task_comm = comm as u32;

    let [own, leaders] = known.started;
    let ticks = |ns: Option<u64>| ns.map(|ns| ns / known.tick);
    // The leader's neighbours are unlike this task's.
    let started: Vec<u64> = (0..TASK)
        .step_by(8)
        .filter(|at| ticks(view.word(task + at)) == Some(own) && ticks(view.word(leader + at)) == Some(leaders))
        .collect();
    // Since boot with sleep after since boot without: the same on a machine that never slept.
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
