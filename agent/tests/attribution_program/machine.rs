//! A host with this machine's devices and control groups, and with processes and files of its own.

use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use skip_test::skip;

use crate::group_support::{self, new_id};
use crate::program_support::wait_for;

/// Ends with all of its processes and groups.
pub(crate) struct Machine {
    directory: tempfile::TempDir,
    /// unshare(1), and its child, which is process 1 of a PID namespace.
    first: Child,
    init: String,
    children: Vec<Child>,
    /// Above all groups of this host, so that others do not remove them.
    top: String,
    groups: Vec<PathBuf>,
}

impl Machine {
    /// `None` where control groups or namespaces cannot be made.
    pub(crate) fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display();
        for name in ["proc", "sys", "dev"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let script = format!(
            "mount -t proc none {root}/proc && mount --rbind /sys {root}/sys && mount --rbind /dev {root}/dev && \
             echo ready && exec sleep 10000"
        );
        let mut first = Command::new("unshare")
            .args(["--pid", "--fork", "--mount", "--kill-child", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if !is_ready(&mut first) || hierarchy().is_err() {
            skip(
                "cgroups",
                "needs root, unshare(1) and a hierarchy of control groups that can be written",
            );
            first.wait().unwrap();
            return None;
        }
        let children = format!("/proc/{0}/task/{0}/children", first.id());
        let init = std::fs::read_to_string(children).unwrap().trim().to_owned();
        Some(Self {
            directory,
            first,
            init,
            children: Vec::new(),
            // Not like an engine's name and id.
            top: format!("accelscope-test-{}.slice", new_id()),
            groups: Vec::new(),
        })
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A shell on this host that runs `script`, with `arguments`.
    fn shell(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init, "--pid", "--mount", "sh", "-c", script, "sh"])
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Starts what is ready as soon as it has said so.
    fn start(&mut self, mut command: Command) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        assert!(is_ready(&mut child));
        self.children.push(child);
    }

    /// The agent on this host. Only who holds `/dev/full` is read.
    pub(crate) fn agent(&self, arguments: &str) -> Command {
        self.agent_after("", arguments)
    }

    /// The same in a mount namespace of its own, after a command, if there is one.
    pub(crate) fn agent_after(&self, before: &str, arguments: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_agent");
        let root = self.directory.path().display();
        let sets = [
            "hailo.enabled=false",
            "ascend.enabled=false",
            "nvidia.enabled=false",
            "kubelet.enabled=false",
            "holders.enabled=false",
            "ioctl.hooks=scan",
            "ioctl.extra_devices=/dev/full=other",
        ];
        let sets = sets.map(|set| format!("--set {set}")).join(" ");
        let agent = format!("exec {program} {arguments} --set host.root={root} {sets}");
        if before.is_empty() {
            return self.shell(&agent, &[]);
        }
        self.shell(&format!("exec unshare --mount sh -ec '{before}; {agent}'"), &[])
    }

    /// A process of that script, which becomes what is called `name`.
    pub(crate) fn runs(&mut self, name: &str, script: &str) {
        let mut command = self.shell(script, &[]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let above = child.id();
        self.children.push(child);
        let is_called = |pid: &String| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let what = format!("the start of {name}");
        wait_for(&what, || descendants(above).iter().any(is_called).then_some(()));
    }

    /// What runs until [`stop`](Self::stop), ready as soon as it has said so.
    pub(crate) fn starts(&mut self, script: &str) -> usize {
        self.start(self.shell(script, &[]));
        self.children.len() - 1
    }

    /// Ends what [`starts`](Self::starts) has started.
    pub(crate) fn stop(&mut self, started: usize) {
        for pid in descendants(self.children[started].id()) {
            let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
        self.children[started].wait().unwrap();
    }

    /// A process that holds `/dev/full` as soon as there is a file: its id on this host, and the file.
    pub(crate) fn later_holder(&mut self) -> (String, PathBuf) {
        let go = self.path("/go");
        let script = format!(
            "echo ready; until [ -e {} ]; do sleep 0.05; done; exec 3</dev/full; exec sleep 10000",
            go.display()
        );
        let started = self.starts(&script);
        let outside = descendants(self.children[started].id()).remove(0);
        let status = std::fs::read_to_string(format!("/proc/{outside}/status")).unwrap();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        (ids.split_whitespace().last().unwrap().to_owned(), go)
    }

    /// What the doctor says of the monitor files of this host.
    #[cfg(feature = "hailo")]
    pub(crate) fn doctor(&self) -> String {
        let program = env!("CARGO_BIN_EXE_agent");
        let root = self.directory.path().display();
        let others = ["ascend", "holders", "nvidia", "kubelet", "ioctl", "otlp", "http"]
            .map(|other| format!("--set {other}.enabled=false"));
        let others = others.join(" ");
        let script = format!("exec {program} doctor --json --set host.root={root} --set status.directory= {others}");
        let output = self.shell(&script, &[]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// A process in the control group `path`, which holds `/dev/full` open; its id on this host.
    pub(crate) fn holder(&mut self, path: &str) -> u32 {
        self.holder_of(path, Path::new("sleep"))
    }

    /// The same, as a copy of `sleep` at `program`.
    pub(crate) fn holder_of(&mut self, path: &str, program: &Path) -> u32 {
        let group = self.group(path);
        let script = format!(
            "echo 0 >{} && exec 3</dev/full && echo ready && exec \"$1\" 10000",
            group.display()
        );
        self.start(self.shell(&script, &[program.to_str().unwrap()]));
        let outside = self.children.last().unwrap().id();
        // It says that it is ready before it becomes that program, whose name the kernel cuts off.
        let name = program.file_name().unwrap().as_bytes();
        let name = &name[..name.len().min(15)];
        let is_called = |pid: &String| {
            std::fs::read(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.strip_suffix(b"\n") == Some(name))
        };
        wait_for("the start of the holder", || {
            descendants(outside).iter().any(is_called).then_some(())
        });
        id_on_this_host(outside).unwrap()
    }

    /// A script of that name that stays.
    pub(crate) fn script(&self, name: &str) -> PathBuf {
        let script = self.path(&format!("bin/{name}"));
        std::fs::create_dir_all(script.parent().unwrap()).unwrap();
        if !script.exists() {
            std::fs::write(&script, "#!/bin/sh\necho ready\nwhile :; do sleep 10000; done\n").unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        script
    }

    /// A process of an engine: a script of that name with these arguments. If `before` is not empty, that runs first, in a
    /// mount namespace of its own.
    pub(crate) fn engine(
        &mut self,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        before: &str,
        path: &str,
    ) {
        let script = self.script(name);
        let group = self.group(path);
        let enter = format!("echo 0 >{}", group.display());
        let script = script.display();
        let start = if before.is_empty() {
            format!("{enter} && exec {script} \"$@\"")
        } else {
            let before = before.replace('\'', "'\\''");
            format!("{enter} && exec unshare --mount sh -c '{before} && exec {script} \"$@\"' sh \"$@\"")
        };
        let mut command = self.shell(&start, arguments);
        command.envs(environment.iter().copied());
        self.start(command);
    }

    /// The control group `path`, which is removed at the end.
    fn group(&mut self, path: &str) -> PathBuf {
        let mut group = hierarchy().unwrap();
        let names = path.split('/').filter(|name| !name.is_empty());
        for name in [&*self.top].into_iter().chain(names) {
            group.push(name);
            if std::fs::create_dir(&group).is_ok() {
                self.groups.push(group.clone());
            }
        }
        group.join("cgroup.procs")
    }

    /// The control group `path`, given to another user. `None` where that is not possible.
    pub(crate) fn given(&mut self, path: &str, user: u32) -> Option<String> {
        let group = self.group(path);
        if std::os::unix::fs::chown(group.parent()?, Some(user), None).is_err() {
            skip("cgroups", "no control group can be given to another user");
            return None;
        }
        Some(path.to_owned())
    }

    /// The control group `path`, in which every user may make groups. `None` where that is not possible.
    pub(crate) fn open_to_all(&mut self, path: &str) -> Option<String> {
        let group = self.group(path);
        if std::fs::set_permissions(group.parent()?, std::fs::Permissions::from_mode(0o777)).is_err() {
            skip("cgroups", "no control group can be opened to other users");
            return None;
        }
        Some(path.to_owned())
    }

    /// The attributes of the holders of `/dev/full`, by the id of their container.
    pub(crate) fn holders(&self, arguments: &str) -> (Vec<Value>, String) {
        let output = self
            .agent(&format!("--stdout --format json --once {arguments}"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let holders = lines.filter(|line| line["name"] == "accel.device.processes");
        (holders.map(|line| line["attributes"].clone()).collect(), errors)
    }
}

/// Id in its innermost PID namespace of what nsenter(1) has started.
fn id_on_this_host(nsenter: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{nsenter}/task/{nsenter}/children")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", children.trim())).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_whitespace().last()?.parse().ok()
}

/// Ids of the children of a process, and of theirs.
fn descendants(pid: u32) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = vec![pid.to_string()];
    while let Some(pid) = open.pop() {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            found.push(child.to_owned());
            open.push(child.to_owned());
        }
    }
    found
}

/// Whether the child says that it is ready, and not that it has ended.
fn is_ready(child: &mut Child) -> bool {
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).is_ok() && line == "ready\n"
}

/// The hierarchy in which groups are made: `pids` where cgroup v1 is mounted, else cgroup v2.
fn hierarchy() -> std::io::Result<PathBuf> {
    let found = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        .into_iter()
        .map(Path::new)
        .find(|mount| mount.join("cgroup.procs").exists())
        .ok_or(std::io::ErrorKind::NotFound)?;
    let probe = found.join(format!("accelscope-test-probe-{}", new_id()));
    std::fs::create_dir(&probe)?;
    std::fs::remove_dir(&probe)?;
    Ok(found.to_owned())
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The kernel kills the others of a PID namespace with its first process, and waits for them.
        if let Some(init) = self.init.parse().ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(init, rustix::process::Signal::KILL).ok();
        }
        self.first.wait().ok();
        for child in &mut self.children {
            child.wait().ok();
        }
        group_support::remove(&self.groups);
    }
}
