//! Parser of `npu-smi info -t proc-mem -i N`: all processes of an NPU, where the table has at most eight for each chip.

use super::error::{ParseError, check_length};
use super::table::Process;
use super::value::{integer, memory_size};

const PID: &str = "Process id:";
const NAME: &str = "Process name:";
const MEMORY: &str = "Process memory(MB):";

/// Parses the processes of `npu`. The line that names the chip follows its processes; a 950 has no such line.
pub fn processes(text: &str, npu: u32) -> Result<Vec<Process>, ParseError> {
    check_length(text)?;
    let mut found: Vec<Process> = Vec::new();
    let mut open = 0;
    let mut names_chips = false;
    let mut is_list = false;
    for line in text.lines().map(str::trim) {
        if let Some(process) = process(line, npu) {
            found.push(process);
        } else if let Some(("Chip ID", id)) = line.split_once(':').map(|(key, id)| (key.trim(), id.trim())) {
            if let Ok(Some(chip)) = integer(id) {
                found[open..].iter_mut().for_each(|process| process.chip = chip);
            } else {
                found.truncate(open);
            }
            open = found.len();
            names_chips = true;
        } else if !line.starts_with("No process in device") {
            is_list |= line.starts_with("NPU ID");
            continue;
        }
        is_list = true;
    }
    // The chip of the last processes is unknown: the output was cut short before its name.
    if names_chips {
        found.truncate(open);
    }
    if is_list {
        Ok(found)
    } else {
        Err(ParseError::no_table(text))
    }
}

fn process(line: &str, npu: u32) -> Option<Process> {
    let (pid, rest) = line.strip_prefix(PID)?.split_once(NAME)?;
    // The process chose its name, which can contain anything.
    let (name, memory) = rest.rsplit_once(MEMORY)?;
    let name = name.trim();
    Some(Process {
        npu,
        chip: 0,
        pid: integer(pid.trim()).ok()??,
        pid_in_container: None,
        name: (!name.is_empty()).then(|| name.to_owned()),
        memory: memory_size(memory.trim()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_belongs_to_the_chip_named_after_it() {
        let text = "NPU ID : 2\n\nProcess id:7  Process name:a b   Process memory(MB):3\nProcess id:8 Process name: \
                    Process memory(MB):NA\nChip ID : 0\n\nProcess id:9 Process name:c Process memory(MB):1\nChip ID : 1\n";
        let found = processes(text, 2).unwrap();
        let ids: Vec<_> = found.iter().map(|process| (process.chip, process.pid)).collect();
        assert_eq!(ids, [(0, 7), (0, 8), (1, 9)]);
        assert_eq!(
            (found[0].name.as_deref(), found[0].memory),
            (Some("a b"), Some(3 << 20))
        );
        assert_eq!((found[1].name.as_deref(), found[1].memory), (None, None));
    }

    #[test]
    fn a_process_without_a_named_chip_is_skipped() {
        let text = "Process id:7 Process name:a Process memory(MB):3\nChip ID : 0\n\nGet pid name failed.\nProcess id:9 \
                    Process name: Process memory(MB):1";
        let pids = |text: &str| -> Vec<u32> { processes(text, 2).unwrap().iter().map(|found| found.pid).collect() };
        assert_eq!(pids(text), [7]);
        assert_eq!(pids(&format!("{text}\nChip ID : x\n")), [7]);
        assert_eq!(pids(&format!("{text}\nChip ID : 1\n")), [7, 9]);
    }

    #[test]
    fn an_empty_list_is_no_error() {
        assert_eq!(processes("\tNo process in device.\n", 0).unwrap(), []);
        assert!(processes("Error parameter of -t\n", 0).is_err());
    }
}
