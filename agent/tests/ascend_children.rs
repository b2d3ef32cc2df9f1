//! What the program's children may see, may be, and how long they live: the tool `npu-smi`, and the worker.
#![allow(clippy::unwrap_used, clippy::zombie_processes, reason = "a test program")]

mod program_support;
mod tool_support;

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use program_support::{Running, wait_for};
use skip_test::skip;
use tool_support::{Tool, calling, explained};

const SECRET: &str = "hush-7d1f";

/// A script as the tool that leaves processes behind.
struct Leaving {
    tool: Tool,
    /// An argument of each process that the script leaves behind.
    mark: String,
}

impl Leaving {
    /// In `body` STAY is a process that stays, and MARK its mark.
    fn script(body: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("mark-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // `sh -c` keeps its further arguments, by which the process is known.
        let stay = format!("sh -c 'sleep 10000; true' {mark}");
        let tool = Tool::script(&body.replace("MARK", &mark).replace("STAY", &stay));
        std::fs::write(tool.folder().join("mark"), &mark).unwrap();
        Self { tool, mark }
    }

    /// An agent that runs until it is stopped.
    fn run(&self) -> Running {
        run(&self.tool)
    }

    /// Processes that the tool has left behind.
    fn left(&self) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let marked = processes.filter(|process| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == self.mark.as_bytes())
        });
        marked
            .map(|process| process.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        for pid in self.left() {
            let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }
}

/// An agent with a secret in its environment that calls the tool until it is stopped.
fn run(tool: &Tool) -> Running {
    run_with(tool, &[])
}

/// The same with more arguments.
fn run_with(tool: &Tool, arguments: &[&str]) -> Running {
    let mut command = tool.agent(&["--stdout", "--format", "json", "--set", "ascend.period=1s"]);
    command.args(arguments);
    command
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization={SECRET}"))
        .env("LD_PRELOAD", "")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running::start(command)
}

/// How a process leaves the tool's: in its session, in one of its own, as a daemon.
const WAYS: [&str; 3] = ["STAY &", "setsid STAY &", "(setsid sh -c '(STAY2 &)' &)"];

fn ways() -> impl Iterator<Item = String> {
    // A shell within a shell: the quotes of the inner one are doubled.
    WAYS.iter()
        .map(|way| way.replace("STAY2", "exec sh -c \"sleep 10000; true\" MARK"))
}

fn leaving(way: &str, rest: &str) -> Leaving {
    Leaving::script(&format!("{way}\n{rest}"))
}

#[test]
fn nothing_of_a_sample_outlives_it() {
    for way in ways() {
        // Each call counts what earlier ones have left.
        let count = "grep -lsaf HERE/mark /proc/[0-9]*/cmdline | wc -l >> HERE/log";
        let tool = leaving(
            &format!("{count}\n{way}"),
            "while ! grep -qsaf HERE/mark /proc/[0-9]*/cmdline; do :; done",
        );
        let agent = tool.run();
        wait_for("three calls of the tool", || {
            (tool.tool.text("log").lines().count() >= 3).then_some(())
        });
        drop(agent);
        let counts = tool.tool.text("log");
        assert!(counts.lines().all(|count| count == "0"), "{way}: {counts}");
    }
}

#[test]
fn nothing_of_a_call_outlives_the_agent_however_it_ends() {
    for way in ways().chain(["exec STAY".to_owned()]) {
        for is_killed in [true, false] {
            let tool = leaving(&way, "sleep 10000");
            let mut agent = tool.run();
            wait_for("what the tool leaves behind", || {
                (!tool.left().is_empty()).then_some(())
            });
            if is_killed {
                agent.0.kill().unwrap();
            } else {
                agent.terminate();
            }
            agent.0.wait().unwrap();
            wait_for("all to end", || tool.left().is_empty().then_some(()));
        }
    }
}

/// The agent's child that supervises the tool.
fn supervisor_of(agent: u32) -> Option<i32> {
    let threads = std::fs::read_dir(format!("/proc/{agent}/task")).unwrap();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let children = children.collect::<Vec<_>>().join(" ");
    let mut children = children.split_whitespace();
    let child = children.find(|child| {
        let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"worker")
    });
    child?.parse().ok()
}

/// Stops the supervisor of the present call. `None` if the call has ended.
fn stop_supervisor(agent: u32) -> Option<()> {
    let supervisor = rustix::process::Pid::from_raw(supervisor_of(agent)?)?;
    rustix::process::kill_process(supervisor, rustix::process::Signal::STOP).ok()?;
    let stat = format!("/proc/{}/stat", supervisor.as_raw_pid());
    wait_for("the supervisor to stop", || match std::fs::read_to_string(&stat) {
        Ok(stat) if stat.contains(") T ") => Some(Some(())),
        Ok(stat) if !stat.contains(") Z ") => None,
        _ => Some(None),
    })
}

#[test]
fn nothing_of_a_call_whose_supervisor_is_stopped_outlives_the_agent() {
    for way in ways().chain(["exec STAY".to_owned()]) {
        for signal in [rustix::process::Signal::KILL, rustix::process::Signal::TERM] {
            let tool = leaving(&way, "sleep 10000");
            let mut agent = tool.run();
            wait_for("what the tool leaves behind", || {
                (!tool.left().is_empty()).then_some(())
            });
            stop_supervisor(agent.0.id()).unwrap();
            agent.signal(signal);
            agent.0.wait().unwrap();
            wait_for("all to end", || tool.left().is_empty().then_some(()));
        }
    }
}

#[test]
fn a_call_whose_supervisor_is_stopped_ends_in_time_with_all_that_it_left_behind() {
    for way in ways().chain(["kill -STOP $$".to_owned()]) {
        let tool = leaving(&format!("STAY &\n{way}"), "sleep 10000");
        let mut agent = run_with(&tool.tool, &["--set", "ascend.timeout=2s"]);
        // A call may be over before it is caught.
        let before = wait_for("what the tool leaves behind", || {
            if tool.left().is_empty() {
                return None;
            }
            stop_supervisor(agent.0.id())?;
            Some(tool.left()).filter(|left| !left.is_empty())
        });
        wait_for("the processes of that call to end", || {
            let left = tool.left();
            before.iter().all(|process| !left.contains(process)).then_some(())
        });
        wait_for("the next call", || (!tool.left().is_empty()).then_some(()));
        assert!(agent.0.try_wait().unwrap().is_none(), "the agent goes on");
    }
}

#[test]
fn what_a_killed_supervisor_leaves_behind_ends_with_its_call() {
    for way in ways() {
        let tool = leaving(&way, "sleep 10000");
        let mut agent = tool.run();
        wait_for("what the tool leaves behind", || {
            (!tool.left().is_empty()).then_some(())
        });
        let supervisor = rustix::process::Pid::from_raw(supervisor_of(agent.0.id()).unwrap()).unwrap();
        let before = tool.left();
        rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
        wait_for("the daemons of that call to end", || {
            let left = tool.left();
            before.iter().all(|process| !left.contains(process)).then_some(())
        });
        wait_for("the next call", || (!tool.left().is_empty()).then_some(()));
        assert!(agent.0.try_wait().unwrap().is_none(), "the agent goes on");
    }
}

#[test]
fn the_tool_sees_no_secret_and_no_variable_for_the_loader() {
    let tool = Tool::script(
        "env > HERE/env.new; cat /proc/$PPID/environ > HERE/parent; ls /proc/self/fd > HERE/fds\nmv HERE/env.new HERE/env",
    );
    let agent = run(&tool);
    let seen = wait_for("a call of the tool", || {
        Some(tool.text("env")).filter(|text| !text.is_empty())
    });
    drop(agent);
    let names: Vec<&str> = seen.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let known = [
        "PATH",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    let others: Vec<&&str> = names.iter().filter(|name| !known.contains(name)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(names.contains(&"PATH"), "{seen}");
    for text in [seen, tool.text("parent")] {
        assert!(!text.contains(SECRET) && !text.contains("ACCELSCOPE__"), "{text}");
    }
    // Its own, and the one of the directory that ls reads.
    let fds = tool.text("fds");
    assert_eq!(
        fds.split_whitespace()
            .filter(|fd| fd.parse::<u32>().unwrap() > 3)
            .count(),
        0,
        "{fds}"
    );
}

#[test]
fn a_tool_that_others_can_change_is_not_run() {
    let tool = Tool::script("echo ran > HERE/ran");
    let file = tool.path();
    let folder = tool.folder().to_owned();
    let refusals: Vec<(&Path, u32)> = vec![(&file, 0o777), (&file, 0o757), (&folder, 0o777)];
    for (path, mode) in refusals {
        let before = std::fs::metadata(path).unwrap().permissions();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let text = tool.doctor();
        std::fs::set_permissions(path, before).unwrap();
        assert!(text.contains("can be written by others"), "{text}");
        assert!(text.contains("chmod go-w"), "{text}");
        assert_eq!(tool.text("ran"), "", "it was run");
    }
    tool.doctor();
    assert_eq!(tool.text("ran"), "ran\n", "it is not run when all is well");
}

#[test]
fn a_tool_below_another_users_directory_is_not_run() {
    let tool = Tool::script("echo ran > HERE/ran");
    let outer = tempfile::tempdir().unwrap();
    let theirs = outer.path().join("theirs");
    let inner = theirs.join("bin");
    std::fs::create_dir_all(&inner).unwrap();
    for path in [&theirs, &inner, &outer.path().to_owned()] {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    if std::os::unix::fs::chown(&theirs, Some(65534), None).is_err() {
        skip("root", "needs to give a directory to another user");
        return;
    }
    let path = inner.join("npu-smi");
    std::fs::copy(tool.path(), &path).unwrap();
    let text = explained(calling(&path, &["doctor"]));
    assert!(text.contains("belongs to user 65534"), "{text}");
    assert_eq!(tool.text("ran"), "", "it was run");
}

#[test]
fn a_program_is_not_run_for_a_library_that_others_can_change() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::set_permissions(root, Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(root.join("lib")).unwrap();
    let library = root.join("lib/libneeded.so");
    let source = |name: &str, text: &str| {
        let path = root.join(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        path
    };
    let ran = root.join("ran");
    let needed = source(
        "needed.c",
        &format!(
            "#include <fcntl.h>\n__attribute__((constructor)) static void f(void) {{ open(\"{}\", O_CREAT, 0600); }}\n\
             int needed(void) {{ return 0; }}\n",
            ran.display()
        ),
    );
    let main = source("main.c", "int needed(void);\nint main(void) { return needed(); }\n");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &needed])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        skip("cc", "needs a C compiler");
        return;
    }
    let tool = Tool::script("");
    std::fs::remove_file(tool.path()).unwrap();
    let linked = Command::new("cc")
        .arg("-o")
        .args([&tool.path(), &main, &library])
        .arg(format!("-Wl,-rpath,{}", root.join("lib").display()))
        .status()
        .unwrap();
    assert!(linked.success());
    std::fs::set_permissions(&library, Permissions::from_mode(0o777)).unwrap();
    let text = tool.doctor();
    assert!(
        text.contains("can be written by others") && text.contains("libneeded.so"),
        "{text}"
    );
    assert!(!ran.exists(), "its code was run");
    std::fs::set_permissions(&library, Permissions::from_mode(0o755)).unwrap();
    tool.doctor();
    assert!(ran.exists(), "it is not run when all is well");
}

/// As a package does that is upgraded or removed while the agent runs.
#[test]
fn children_are_of_the_program_that_runs_after_another_took_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for is_replaced in [true, false] {
        let tool = Tool::script("echo called >> HERE/log; readlink /proc/$PPID/exe >> HERE/supervisors");
        let program = folder.path().join("agent");
        // A file that another thread's child still holds open for writing cannot be started.
        let copied = Command::new("cp")
            .args([env!("CARGO_BIN_EXE_agent").as_ref(), program.as_os_str()])
            .status()
            .unwrap();
        assert!(copied.success());
        let template = tool.agent(&["--stdout", "--format", "json"]);
        let mut command = Command::new(&program);
        command.env_clear().args(template.get_args());
        for (name, value) in template.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let agent = Running::start(command);
        wait_for("a call", || (tool.text("log").lines().count() >= 1).then_some(()));
        std::fs::remove_file(&program).unwrap();
        if is_replaced {
            let new = folder.path().join("new");
            std::fs::write(&new, "#!/bin/sh\nexit 3\n").unwrap();
            std::fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(&new, &program).unwrap();
        }
        let before = tool.text("log").lines().count();
        wait_for("calls after that", || {
            (tool.text("log").lines().count() >= before + 3).then_some(())
        });
        let last = tool.text("supervisors").lines().last().unwrap().to_owned();
        assert_eq!(last, format!("{} (deleted)", program.display()));
        drop(agent);
        std::fs::remove_file(&program).ok();
    }
}
