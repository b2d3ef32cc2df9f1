//! Processes that hold a device open, as `accel.device.processes` counts them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::lasting::Paced;
use crate::pods::Pod;
use crate::seen::Agent;
use crate::tests::{CALLS, executable, least};

pub(crate) const HOLDERS: &str = "accel.device.processes";

/// Flags of open(2): of the path alone, and for nothing but ioctl(2) (`fs/open.c`: access mode 3).
const PATH: u32 = 0o10_000_000;
const CONTROL: u32 = 3;

fn wait_for(agent: &Agent, holders: f64, of: &[(&str, &str)]) {
    agent.wait(&format!("{holders} holders"), |agent| {
        (agent.sum(HOLDERS, of) == holders).then_some(())
    });
}

pub(crate) fn path_alone() {
    let holding = |flags: u32| {
        let mut holder = Paced::of(&["hold", &flags.to_string()]);
        holder.says("held");
        holder
    };
    // Before the agent, so that its first walk meets all of them.
    let (mut path, _path_too) = (holding(PATH), holding(PATH | 0o2_000_000));
    let mut control = holding(CONTROL);
    let Some(agent) = Agent::start(&[]) else { return };
    let executable = executable();
    let own = [("process.executable.name", executable.as_str())];
    wait_for(&agent, 1.0, &own);
    for _ in 0..3 {
        path.send();
        path.says(&rustix::io::Errno::BADF.raw_os_error().to_string());
    }
    control.call(2);
    let mut caller = Paced::new(Path::new("/dev/full"), "");
    caller.call(1);
    wait_for(&agent, 2.0, &own);
    agent.wait("their calls", |agent| (agent.sum(CALLS, &own) >= 3.0).then_some(()));
    agent.readings(2);
    assert_eq!(agent.sum(HOLDERS, &own), 2.0);
    assert_eq!(
        agent.sum(CALLS, &own),
        3.0,
        "what no driver has seen is no call of a device"
    );
}

pub(crate) fn closed() {
    let Some(agent) = Agent::start(&[]) else { return };
    let mut caller = Paced::of(&["leave", "4", "10"]);
    caller.says("parked");
    let executable = executable();
    let own = [("process.executable.name", executable.as_str())];
    agent.wait("4 calls in flight", |agent| {
        (agent.sum("accel.ioctl.inflight", &own) == 4.0).then_some(())
    });
    wait_for(&agent, 1.0, &own);
    // The descriptors are read again once a second.
    agent.readings(10);
    assert_eq!(agent.sum(HOLDERS, &own), 1.0);
    let ended = agent.ended(HOLDERS, &own);
    assert!(ended.is_empty(), "it was a holder all the time: {ended:?}");
    caller.send();
    caller.says("done");
    wait_for(&agent, 0.0, &own);
    assert_eq!(agent.sum(CALLS, &own), 14.0);
}

pub(crate) fn further_processes() {
    let Some(agent) = Agent::start(&[]) else { return };
    if Pod::any().is_none() {
        return;
    }
    // The fastest of several: the machine may stand still meanwhile.
    let took = least(Duration::from_secs(15), || {
        let pod = Pod::any().unwrap();
        let of_pod = [("k8s.pod.name", pod.name.as_str())];
        let another = || {
            let mut process = Paced::new(Path::new("/dev/full"), pod.group.to_str().unwrap());
            process.call(1);
            process
        };
        let mut first = another();
        wait_for(&agent, 1.0, &of_pod);
        let begun = Instant::now();
        let _second = another();
        first.call(1);
        wait_for(&agent, 2.0, &of_pod);
        let (_third, _fourth) = (another(), another());
        wait_for(&agent, 4.0, &of_pod);
        begun.elapsed()
    });
    assert!(took < Duration::from_secs(15), "sooner than the next walk: {took:?}");
}

/// Names of more than 63 bytes, up to the longest: of ASCII, of characters of several bytes, of a file that is removed while
/// it runs, and of bytes that are no text.
pub(crate) fn long_names() {
    let Some(agent) = Agent::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &[u8]| {
        let program = folder.path().join(OsStr::from_bytes(name));
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let caller = Paced::by(&program, &["paced", "/dev/full", ""]);
        (program, caller)
    };
    let ascii = [b"long-".as_slice(), &[b'a'; 250]].concat();
    let wide = [b"long-".as_slice(), "ä".repeat(125).as_bytes()].concat();
    let bytes = [b"long-".as_slice(), &[b'b'; 50], &[0xff; 20]].concat();
    let removed = [b"long-".as_slice(), &[b'r'; 80]].concat();
    let mut all: Vec<_> = [ascii, wide, bytes, removed].iter().map(|name| start(name)).collect();
    std::fs::remove_file(&all[3].0).unwrap();
    for (_, caller) in &mut all {
        caller.call(2);
    }
    let names = |name: &str| -> Vec<String> {
        let lines = agent.all(name);
        let live = lines.iter().filter(|line| !line["value"].is_null());
        let names = live.filter_map(|line| line["attributes"]["process.executable.name"].as_str());
        let mut names: Vec<String> = names
            .filter(|name| name.starts_with("long-"))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    agent.wait("the four", |_| (names(CALLS).len() == 4).then_some(()));
    agent.wait("the same names", |_| (names(HOLDERS) == names(CALLS)).then_some(()));
}
