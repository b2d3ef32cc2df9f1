//! The program and processes that the kernel does not let be read: what reads them goes on without them.
#![cfg(all(feature = "hailo", feature = "ioctl"))]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod fuse_support;
mod hailo_host;
mod program_support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use free_port::free_address;
use fuse_support::{End, Fuse, Served};
use hailo_host::{Host, Writer, is_root};
use program_support::{Logged, PATIENCE, Running, get, wait_for};

/// Has a page of the file to write back, and starts another program when it is told to. It has the device open.
const PROGRAM: &str = "
import mmap, os, sys
mapped = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 4096)
mapped[0] = 1
device = os.open('/dev/full', os.O_RDWR)
open('/proc/self/comm', 'w').write(sys.argv[2])
print('mapped', flush=True)
sys.stdin.readline()
os.execv('/bin/sleep', ['sleep', '600'])
";

/// A process that starts a program and waits for the file system of its old memory.
struct Starting {
    /// First: then the kernel lets it go on.
    _end: End,
    process: Running,
}

impl Starting {
    /// `None` where this kernel lets such a process be read, or without what it takes.
    fn new(served: &Fuse, at: &str, name: &str) -> Option<Self> {
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM, at, name]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut starting = Self {
            process: Running::start(command),
            _end: served.end(),
        };
        let child = &mut starting.process.0;
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "mapped\n");
        served.hang();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let pid = child.id();
        wait_for("the process to wait for its file system", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            status.contains("State:\tD").then_some(())
        });
        let (tell, told) = channel();
        let reader = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid()).unwrap();
            fs::read(format!("/proc/{pid}/stat")).is_ok()
        });
        let thread = told.recv().unwrap().as_raw_nonzero();
        let is_readable = wait_for("the process to be read, or not to let itself be read", || {
            let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
            let waits = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('D'));
            (waits || reader.is_finished()).then(|| reader.is_finished())
        });
        if is_readable {
            skip_test::skip("exec-lock", "this kernel lets a process be read that starts a program");
            return None;
        }
        Some(starting)
    }
}

fn mapped() -> Served {
    Served {
        name: "mapped".into(),
        content: vec![0; 4096],
        mode: 0o666,
        owner: 0,
    }
}

/// `nobody` makes such a process without any right, with a FUSE in a user namespace of its own.
#[test]
fn sources_and_names_go_on_beside_a_process_that_cannot_be_read() {
    if !is_root("sources_and_names_go_on_beside_a_process_that_cannot_be_read") {
        return;
    }
    let (host, folder) = (Host::new().with_device(), tempfile::tempdir().unwrap());
    let Some(served) = Fuse::with(folder.path(), 0, mapped()) else {
        return;
    };
    let path = folder.path().join("mapped");
    // The name of a container engine, whose files would be looked for.
    let Some(starting) = Starting::new(&served, path.to_str().unwrap(), "podman") else {
        return;
    };
    let pid = starting.process.0.id();
    // It is said to have written a monitor file, too.
    let file = host.dir().join(format!("{pid}aB3dEf"));
    hailo_host::put(
        &file,
        &prost::Message::encode_to_vec(&hailo_host::message(pid, 12.0)),
        Duration::ZERO,
    );
    let writer = Writer::new(None);
    host.file_of(&writer, Duration::ZERO);

    let address = free_address();
    let mut command = host.command(&[], &[]);
    let listen = format!("http.listen={address}");
    for setting in [
        &listen,
        "otlp.enabled=false",
        "ioctl.enabled=true",
        "ioctl.hooks=scan",
        "ioctl.extra_devices=/dev/full",
    ] {
        command.args(["--set", setting]);
    }
    let agent = Logged::start(command);
    let page = wait_for("both sources", || {
        // A file that is not written again is soon shown no more.
        host.file_of(&writer, Duration::ZERO);
        let page = get(address, "/metrics")?.body;
        let sampled = |source: &str| {
            let runs = format!("agent_sampler_runs_total{{agent_outcome=\"sampled\",agent_sampler=\"{source}\"");
            page.lines().any(|line| line.starts_with(&runs))
        };
        let own = page.contains(&format!("process_pid=\"{}\"", writer.pid()));
        (sampled("hailo") && sampled("ioctl") && own).then_some(page)
    });
    let count = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(count("agent_process_timeouts_total") >= 1.0);
    agent.wait_for("does not let a process be read");
    assert!(agent.log().contains(&format!("pid={pid}")), "{}", agent.log());
    wait_for("readiness", || {
        get(address, "/readyz").filter(|answer| answer.status == 200)
    });

    let doctor = host.command(&[], &["doctor"]);
    let said = output(doctor);
    assert!(said.contains(" attribution: "), "{said}");
    drop(starting);
    drop(agent);
}

/// What it prints, if it ends in time.
fn output(mut command: Command) -> String {
    let out = tempfile::NamedTempFile::new().unwrap();
    command.stdout(File::create(out.path()).unwrap());
    let mut running = Running::start(command);
    wait_for(&format!("the end of the doctor within {PATIENCE:?}"), || {
        running.0.try_wait().unwrap()
    });
    let mut said = String::new();
    File::open(out.path()).unwrap().read_to_string(&mut said).unwrap();
    said
}
