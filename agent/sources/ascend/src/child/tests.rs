use std::path::Path;

use super::*;

const SHELL: &str = "/bin/sh";

fn run(child: &mut Child, script: &str, timeout: Duration) -> Result<Finished, ChildError> {
    child.run(&tool(SHELL, script), timeout)
}

fn tool(program: &str, script: &str) -> Supervised {
    Supervised {
        program: program.into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: vec![("EXTRA".to_owned(), "e".into())],
    }
}

const LONG: Duration = Duration::from_secs(120);

/// What comes of a run that ends at its deadline, which is longer where the machine is too slow for the script.
fn until_it_came_so_far<T>(run: impl Fn(Duration) -> Option<T>) -> T {
    let found = [3, 10, LONG.as_secs()]
        .into_iter()
        .find_map(|seconds| run(Duration::from_secs(seconds)));
    found.expect("the script comes so far")
}

fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.map_or(true, |stat| stat.contains(") Z"))
}

#[test]
fn output_status_and_environment_arrive() {
    let script = "echo \"$LC_ALL $EXTRA\"; echo complaint >&2; exit 187";
    let finished = run(&mut Child::default(), script, LONG).unwrap();
    assert_eq!(finished.stdout, "C e\n");
    assert_eq!(finished.stderr, "complaint\n");
    assert_eq!(finished.status.code(), Some(187));
}

#[test]
fn what_was_written_just_before_the_end_is_not_lost() {
    for _ in 0..20 {
        let finished = run(&mut Child::default(), "head -c 300000 /dev/zero | tr '\\0' x", LONG).unwrap();
        assert_eq!(finished.stdout.len(), 300_000);
    }
}

#[test]
fn at_the_deadline_the_whole_group_is_killed_and_no_zombie_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    let script = format!("sleep 1000 & echo $! $$ > {}; wait", file.display());
    let started = Instant::now();
    let pids = until_it_came_so_far(|timeout| {
        let error = run(&mut Child::default(), &script, timeout).unwrap_err();
        assert!(matches!(error, ChildError::Deadline { .. }), "{error}");
        std::fs::read_to_string(&file).ok().filter(|pids| pids.ends_with('\n'))
    });
    assert!(started.elapsed() < Duration::from_secs(500), "{:?}", started.elapsed());
    let [background, shell] = pids.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{pids}")
    };
    let until = Instant::now() + LONG;
    while !is_gone(background) {
        assert!(Instant::now() < until, "the descendant {background} lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!Path::new("/proc").join(shell).exists(), "the tool was not waited for");
}

#[test]
fn a_descendant_that_keeps_the_pipe_open_does_not_delay_the_result() {
    let started = Instant::now();
    let finished = run(&mut Child::default(), "sleep 1000 & echo table", LONG).unwrap();
    assert_eq!(finished.stdout, "table\n");
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
}

#[test]
fn endless_output_is_cut_off() {
    let error = run(&mut Child::default(), "cat /dev/zero", LONG).unwrap_err();
    assert!(matches!(error, ChildError::TooLong), "{error}");
}

#[test]
fn endless_errors_do_not_block_the_tool() {
    let script = "head -c 1000000 /dev/zero >&2; echo last >&2; echo table";
    let finished = run(&mut Child::default(), script, LONG).unwrap();
    assert_eq!(finished.stdout, "table\n");
    assert!(finished.stderr.len() <= MAX_ERRORS && finished.stderr.ends_with("last\n"));
}

#[test]
fn endless_errors_end_at_the_deadline_and_what_a_killed_one_printed_is_quoted() {
    let error = run(&mut Child::default(), "cat /dev/zero >&2", Duration::from_secs(2)).unwrap_err();
    assert!(matches!(error, ChildError::Deadline { .. }), "{error}");
    let script = "echo waiting for chip 3 >&2; sleep 1000";
    until_it_came_so_far(|timeout| {
        let error = run(&mut Child::default(), script, timeout).unwrap_err().to_string();
        error.contains("printed: waiting for chip 3)").then_some(())
    });
}

#[test]
fn no_second_one_is_started_beside_one_that_cannot_be_killed() {
    // A process that was not killed takes the place of one that cannot be.
    let stuck = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let mut child = Child {
        supervisor: None,
        left_behind: Some((stuck, Instant::now())),
    };
    let error = run(&mut child, "echo table", LONG).unwrap_err();
    assert!(matches!(error, ChildError::StillThere(_)), "{error}");
    let (stuck, _) = child.left_behind.as_mut().unwrap();
    stuck.kill().unwrap();
    stuck.wait().unwrap();
    assert_eq!(run(&mut child, "echo table", LONG).unwrap().stdout, "table\n");
}

#[test]
fn a_tool_that_is_not_there_is_named() {
    let error = Child::default()
        .run(&tool("/nonexistent/npu-smi", ""), LONG)
        .unwrap_err();
    assert!(error.to_string().contains("/nonexistent/npu-smi"), "{error}");
}

/// What is wrong with the agent's own program is nothing that the tool's setting cures.
#[test]
fn a_supervisor_that_is_not_there_or_fails_is_no_fault_of_the_tool() {
    let run = |supervisor: &str| {
        let mut child = Child::supervised_by(supervisor.into());
        run(&mut child, "echo table", LONG).unwrap_err()
    };
    let absent = run("/nonexistent/agent");
    assert!(matches!(absent, ChildError::Supervisor(_)), "{absent}");
    let failed = run("/bin/false");
    assert!(
        matches!(&failed, ChildError::SupervisorEnded { status, .. } if status.code() == Some(1)),
        "{failed}"
    );
    for error in [absent, failed] {
        let error = error.to_string();
        assert!(error.contains("the agent's own pro"), "{error}");
        assert!(!error.contains("ascend.npu_smi") && !error.contains(SHELL), "{error}");
    }
}
