//! Reads one table with the tool.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Signal;

use super::child::{Child, ChildError, Finished};
use super::ids::{IsTransient, KnownIds};
use super::npu_smi::{self, Cause, ParseError, Process, Skipped, Table, ToolError, quoted};
use super::tool::Tool;
use accelscope_core::host::HostRoots;
use accelscope_core::trust::{self, Refused};
use accelscope_core::worker::Supervised;
use accelscope_core::worker::process::last_line;

/// Statuses of a shell for a command that it cannot execute or find (POSIX, XCU 2.8.2).
const CANNOT_EXECUTE: i32 = 126;
const NOT_FOUND: i32 = 127;
/// Number of the signal by which the kernel ends a process when memory runs out.
const KILL: i32 = Signal::KILL.as_raw();

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Others can change the tool.
    #[error("npu-smi is not run as the agent: name another with ascend.npu_smi, or mend that")]
    Refused(#[from] Refused),
}

impl From<ToolError> for ReadError {
    fn from(error: ToolError) -> Self {
        Self::Parse(error.into())
    }
}

impl ReadError {
    /// The error that the tool, or what starts it, reported itself.
    pub(super) const fn tool(&self) -> Option<&ToolError> {
        match self {
            Self::Parse(ParseError::Tool(error)) => Some(error),
            Self::Parse(_) | Self::Child(_) | Self::Refused(_) => None,
        }
    }
}

impl IsTransient for ReadError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Child(_) | Self::Refused(_) => true,
            // Whatever else it reports may be over soon: a device that starts, is reset or is used, or a lack of memory.
            Self::Parse(ParseError::Tool(error)) => !matches!(error.cause, Cause::NotSupported | Cause::BadArgument),
            Self::Parse(_) => false,
        }
    }
}

/// Calls the tool, one process at a time.
#[derive(Debug, Default)]
pub(super) struct Reader {
    child: Child,
    ids: KnownIds,
    /// The line of the last error.
    failed: String,
}

impl Reader {
    /// With the agent's own program as the supervisor of the tool.
    pub(super) fn supervised_by(program: PathBuf) -> Self {
        Self {
            child: Child::supervised_by(program),
            ..Self::default()
        }
    }

    /// The table with all processes. If a list of processes cannot be completed, that is counted in `skipped` and the
    /// list is as `npu-smi info` printed it. All calls together take at most `timeout`.
    pub(super) fn read(
        &mut self,
        tool: &Tool,
        roots: &HostRoots,
        timeout: Duration,
        skipped: &mut Skipped,
    ) -> Result<Table, ReadError> {
        let until = Instant::now() + timeout;
        let mut table = self.table(tool, timeout)?;
        let child = &mut self.child;
        self.ids.add(&mut table, roots, || {
            let left = until.saturating_duration_since(Instant::now());
            let finished = call(child, tool, &["info", "-m"], left)?;
            npu_smi::mapping(&finished.stdout).map_err(|error| explained(error, &finished))
        });
        for npu in truncated_npus(&table) {
            let left = until.saturating_duration_since(Instant::now());
            match self.processes(tool, npu, left) {
                // Fewer than in the table: the output was cut short, or some have ended in the meantime.
                Ok(all) if all.len() >= table.processes.iter().filter(|process| process.npu == npu).count() => {
                    table.processes.retain(|process| process.npu != npu);
                    table.processes.extend(all);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(npu, %error, "only the first eight processes of each chip are known");
                    *skipped.entry("process_list").or_default() += 1;
                }
            }
        }
        Ok(table)
    }

    /// The table of `npu-smi info`. An error message of the tool takes precedence over its exit status.
    pub(super) fn table(&mut self, tool: &Tool, timeout: Duration) -> Result<Table, ReadError> {
        let mut read = self.ask(tool, timeout);
        match &mut read {
            Ok(Table { error: Some(error), .. }) | Err(ReadError::Parse(ParseError::Tool(error))) => {
                // The log repeats an error that is another one: a process id or a time in it does not make it that.
                if is_alike(&error.line, &self.failed) {
                    error.line.clone_from(&self.failed);
                } else {
                    self.failed.clone_from(&error.line);
                }
            }
            _ => self.failed.clear(),
        }
        read
    }

    fn ask(&mut self, tool: &Tool, timeout: Duration) -> Result<Table, ReadError> {
        let finished = call(&mut self.child, tool, &["info"], timeout)?;
        match npu_smi::parse(&finished.stdout) {
            Ok(mut table) => {
                table.error = table
                    .error
                    .or_else(|| exit_error(&finished, last_line(&finished.stderr)));
                Ok(table)
            }
            Err(error) => Err(explained(error, &finished)),
        }
    }

    fn processes(&mut self, tool: &Tool, npu: u32, timeout: Duration) -> Result<Vec<Process>, ReadError> {
        let arguments = ["info", "-t", "proc-mem", "-i", &npu.to_string()];
        let finished = call(&mut self.child, tool, &arguments, timeout)?;
        Ok(npu_smi::processes(&finished.stdout, npu)?)
    }
}

fn call(child: &mut Child, tool: &Tool, arguments: &[&str], timeout: Duration) -> Result<Finished, ReadError> {
    // A tool that is not there is reported by its start.
    if tool.path.symlink_metadata().is_ok() {
        trust::check(&tool.path, &tool.libraries.directories)?;
    }
    let libraries = PathBuf::from(&tool.libraries.value);
    let run = Supervised {
        program: tool.path.clone(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        environment: vec![("LD_LIBRARY_PATH".to_owned(), libraries)],
    };
    let finished = child.run(&run, timeout);
    finished.map_err(|error| start_error(tool, &error).map_or_else(|| error.into(), ReadError::from))
}

/// Why the output has no table, by all that was printed and by the exit status.
fn explained(error: ParseError, finished: &Finished) -> ReadError {
    match error {
        ParseError::NoTable { line } => {
            let printed = last_line(&finished.stderr).or_else(|| last_line(&finished.stdout));
            let failed = printed_error(finished).or_else(|| exit_error(finished, printed));
            let line = line.or_else(|| printed.map(quoted));
            failed.map_or_else(|| ParseError::NoTable { line }.into(), ReadError::from)
        }
        // Without a return code it may be the message of what starts the tool.
        ParseError::Tool(error) if error.code.is_none() => printed_error(finished).unwrap_or(error).into(),
        error => error.into(),
    }
}

/// Whether two lines differ in numbers alone.
fn is_alike(line: &str, other: &str) -> bool {
    let words = |line: &'_ str| line.replace(|c: char| c.is_ascii_digit(), "");
    words(line) == words(other)
}

/// The error of the system for a program that is there and cannot be started.
fn start_error(tool: &Tool, error: &ChildError) -> Option<ToolError> {
    let ChildError::Spawn { source, .. } = error else {
        return None;
    };
    let cause = match source.raw_os_error().map(Errno::from_raw_os_error)? {
        // Its file is there: what is missing is the loader or the interpreter that it names.
        Errno::NOENT if tool.path.is_file() => Cause::NoLoader,
        Errno::NOENT | Errno::NOTDIR => Cause::NotThere,
        Errno::ACCESS | Errno::PERM => Cause::NotExecutable,
        Errno::NOEXEC => Cause::OtherArchitecture,
        Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE => Cause::NoResources,
        _ => return None,
    };
    let line = quoted(&format!("{}: {source}", tool.path.display()));
    Some(ToolError {
        cause,
        code: None,
        line,
    })
}

/// The error that was printed instead of a table, with the exit status.
fn printed_error(finished: &Finished) -> Option<ToolError> {
    let mut error = ToolError::at_start([finished.stderr.as_str(), finished.stdout.as_str()])?;
    if error.cause == Cause::NotExecutable && finished.status.code() != Some(CANNOT_EXECUTE) {
        error.cause = Cause::NotPermitted;
    }
    if !finished.status.success() {
        error.line = format!("{}; {}", error.line, finished.status);
    }
    Some(error)
}

/// The error that an exit status stands for, with a line that was printed.
fn exit_error(finished: &Finished, printed: Option<&str>) -> Option<ToolError> {
    if finished.status.success() {
        return None;
    }
    let code = finished.status.code().and_then(npu_smi::code_of_exit);
    let cause = match (code, finished.status.code(), finished.status.signal()) {
        (Some(code), ..) => Cause::of_code(code),
        // What was printed is another reason, which is not known: a shell prints that it cannot find the tool.
        (None, Some(CANNOT_EXECUTE | NOT_FOUND), _) if printed.is_some() => Cause::Other,
        (None, Some(CANNOT_EXECUTE), _) => Cause::NotExecutable,
        (None, Some(NOT_FOUND), _) => Cause::NotThere,
        (None, None, Some(KILL)) => Cause::NoResources,
        (None, None, Some(_)) => Cause::Crashed,
        _ => Cause::Other,
    };
    let known = code.map_or_else(String::new, |code| format!(" (return code {code})"));
    let printed = printed.map_or_else(String::new, |line| format!("{}; ", quoted(line)));
    let line = format!("{printed}{}{known}", finished.status);
    Some(ToolError { cause, code, line })
}

/// Ids of the NPUs of which a chip has as many processes as the tool prints at most: there may be more.
fn truncated_npus(table: &Table) -> Vec<u32> {
    let mut counts = BTreeMap::<(u32, u32), usize>::new();
    for process in &table.processes {
        *counts.entry((process.npu, process.chip)).or_default() += 1;
    }
    let full = counts.into_iter().filter(|(_, count)| *count >= Table::MAX_PROCESSES);
    let mut npus: Vec<u32> = full.map(|((npu, _), _)| npu).collect();
    npus.dedup();
    npus
}
