//! Calls that began before the agent.

use std::io::{BufRead, Write};

use crate::lasting::Paced;
use crate::pods::Pod;
use crate::seen::Agent;
use crate::tests::{CALLS, busy, executable, park};

pub(crate) const TESTS: [(&str, fn()); 5] = [
    ("calls_that_began_before_the_agent_are_in_flight_until_they_end", ended),
    ("another_agent_goes_on_with_the_calls_in_flight", restarted),
    (
        "the_death_of_its_process_ends_a_call_that_began_before_the_agent",
        killed,
    ),
    (
        "a_process_whose_first_thread_has_ended_holds_the_device_and_has_calls",
        headless,
    ),
    ("a_stopped_process_has_no_calls_that_have_returned", stopped),
];

const IN_FLIGHT: &str = "accel.ioctl.inflight";
const AGE: &str = "accel.ioctl.inflight.age.max";
const HOLDERS: &str = "accel.device.processes";

fn missed(agent: &Agent) -> f64 {
    agent.sum("agent.ioctl.lost", &[("agent.reason", "entry_missed")])
}

fn wait_for(agent: &Agent, in_flight: f64, of: &[(&str, &str)]) {
    agent.wait(&format!("{in_flight} calls in flight"), |agent| {
        (agent.sum(IN_FLIGHT, of) == in_flight).then_some(())
    });
}

fn ended() {
    let Some(pod) = Pod::any() else { return };
    let (mut child, mut said) = park(5, 0);
    std::fs::write(pod.group.join("cgroup.procs"), child.0.id().to_string()).unwrap();
    let Some(agent) = Agent::start(&[]) else { return };
    let of_pod = [("k8s.pod.name", pod.name.as_str())];
    wait_for(&agent, 5.0, &of_pod);
    let begun = agent.sum(AGE, &of_pod);
    agent.wait("a growing age", |agent| {
        (agent.sum(AGE, &of_pod) > begun + 1.0).then_some(())
    });
    // Of the same series: one that begins and ends beside them.
    let mut beside = Paced::new(std::path::Path::new("/dev/full"), pod.group.to_str().unwrap());
    beside.call(1);
    agent.wait("the call beside them", |agent| {
        (agent.sum(CALLS, &of_pod) == 1.0).then_some(())
    });
    assert_eq!(agent.sum(IN_FLIGHT, &of_pod), 5.0);
    assert_eq!(agent.sum(HOLDERS, &of_pod), 2.0);
    assert_eq!(missed(&agent), 0.0);
    child.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "done\n");
    wait_for(&agent, 0.0, &of_pod);
    agent.wait("as many as not counted", |agent| (missed(agent) == 5.0).then_some(()));
    agent.readings(3);
    assert_eq!((missed(&agent), agent.sum(CALLS, &of_pod)), (5.0, 1.0));
    drop((child, beside));
}

fn restarted() {
    let executable = executable();
    let own = [("process.executable.name", executable.as_str())];
    let Some(first) = Agent::start(&[]) else { return };
    let (_child, _said) = park(4, 10);
    wait_for(&first, 4.0, &own);
    assert_eq!(first.ended(IN_FLIGHT, &own), [""; 0]);
    drop(first);
    let Some(second) = Agent::start(&["--set", "attribution.per_process=true"]) else {
        return;
    };
    wait_for(&second, 4.0, &own);
    second.readings(3);
    assert_eq!((second.sum(IN_FLIGHT, &own), missed(&second)), (4.0, 0.0));
}

fn killed() {
    let executable = executable();
    let own = [("process.executable.name", executable.as_str())];
    let (mut child, _said) = park(3, 0);
    let Some(agent) = Agent::start(&[]) else { return };
    wait_for(&agent, 3.0, &own);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    wait_for(&agent, 0.0, &own);
    agent.wait("as many as not counted", |agent| (missed(agent) == 3.0).then_some(()));
    assert_eq!(agent.sum(CALLS, &own), 0.0);
}

fn headless() {
    let executable = executable();
    let own = [("process.executable.name", executable.as_str())];
    let mut caller = Paced::of(&["headless", "3"]);
    caller.says("parked");
    let Some(agent) = Agent::start(&[]) else { return };
    wait_for(&agent, 3.0, &own);
    agent.wait("the holder", |agent| (agent.sum(HOLDERS, &own) == 1.0).then_some(()));
    agent.readings(10);
    assert_eq!((agent.sum(IN_FLIGHT, &own), agent.sum(HOLDERS, &own)), (3.0, 1.0));
    caller.send();
    caller.says("done");
    wait_for(&agent, 0.0, &own);
    agent.wait("as many as not counted", |agent| (missed(agent) == 3.0).then_some(()));
}

/// Its threads still show the system call from which they are on their way back.
fn stopped() {
    let executable = executable();
    let own = [("process.executable.name", executable.as_str())];
    let child = busy(16);
    let pid = rustix::process::Pid::from_child(&child.0);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let Some(agent) = Agent::start(&[]) else { return };
    agent.wait("the holder", |agent| (agent.sum(HOLDERS, &own) == 1.0).then_some(()));
    agent.readings(10);
    assert_eq!(agent.sum(IN_FLIGHT, &own), 0.0);
    drop(child);
    agent.wait("its end", |agent| (agent.sum(HOLDERS, &own) == 0.0).then_some(()));
    assert_eq!(missed(&agent), 0.0);
}
