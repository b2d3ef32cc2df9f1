//! Reads one table with the tool.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::child::{Child, ChildError, Finished};
use super::npu_smi::{self, Cause, ParseError, Process, Skipped, Table, ToolError};
use super::tool::Tool;

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Parse(#[from] ParseError),
}

impl From<ToolError> for ReadError {
    fn from(error: ToolError) -> Self {
        Self::Parse(error.into())
    }
}

impl ReadError {
    /// Cause of an error that the tool reported itself.
    pub(super) const fn cause(&self) -> Option<Cause> {
        match self {
            Self::Parse(ParseError::Tool(error)) => Some(error.cause),
            Self::Parse(_) | Self::Child(_) => None,
        }
    }
}

/// Calls the tool, one process at a time.
#[derive(Debug, Default)]
pub(super) struct Reader {
    child: Child,
}

impl Reader {
    /// The table with all processes. If a list of processes cannot be completed, that is counted in `skipped` and the
    /// list is as `npu-smi info` printed it. All calls together take at most `timeout`.
    pub(super) fn read(&mut self, tool: &Tool, timeout: Duration, skipped: &mut Skipped) -> Result<Table, ReadError> {
        let until = Instant::now() + timeout;
        let mut table = self.table(tool, timeout)?;
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
        let finished = self.call(tool, &["info"], timeout)?;
        match npu_smi::parse(&finished.stdout) {
            Ok(mut table) => {
                table.error = table.error.or_else(|| exit_error(&finished));
                Ok(table)
            }
            Err(error @ ParseError::NoTable { .. }) => {
                Err(exit_error(&finished).map_or_else(|| error.into(), ReadError::from))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn processes(&mut self, tool: &Tool, npu: u32, timeout: Duration) -> Result<Vec<Process>, ReadError> {
        let arguments = ["info", "-t", "proc-mem", "-i", &npu.to_string()];
        let finished = self.call(tool, &arguments, timeout)?;
        Ok(npu_smi::processes(&finished.stdout, npu)?)
    }

    fn call(&mut self, tool: &Tool, arguments: &[&str], timeout: Duration) -> Result<Finished, ChildError> {
        let environment = [("LD_LIBRARY_PATH", tool.libraries.as_str())];
        self.child.run(&tool.path, arguments, &environment, timeout)
    }
}

/// The error that an exit status stands for.
fn exit_error(finished: &Finished) -> Option<ToolError> {
    if finished.status.success() {
        return None;
    }
    let code = finished.status.code().and_then(npu_smi::code_of_exit);
    let known = code.map_or_else(String::new, |code| format!(" (return code {code})"));
    Some(ToolError {
        cause: code.map_or(Cause::Other, Cause::of_code),
        code,
        line: format!("{}{known}", finished.status),
    })
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
