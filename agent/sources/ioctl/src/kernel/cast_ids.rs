//! Numbers in the kernel's type information for programs that give addresses a type.

use agent_ebpf::cast::{Current, Ids};

use super::btf::{Btf, KIND_FUNC, KIND_STRUCT};

/// Nothing before Linux 6.2.
pub fn find(btf: &Btf) -> Option<Ids> {
    Some(Ids {
        function: btf.id(KIND_FUNC, "bpf_rdonly_cast")?,
        files: btf.id(KIND_STRUCT, "files_struct")?,
        current: current(btf).unwrap_or(Current::UNKNOWN),
    })
}

/// A kernel function that is as old as the replacement of the helper `bpf_get_smp_processor_id` by a load (Linux 6.10,
/// commit 1ae6921009e5), without which nothing is gained.
const LOADS_PROCESSOR: &str = "bpf_wq_init";

/// The variable with the current task and a struct that begins as it does. It was the first member of `pcpu_hot` until Linux
/// 6.15.
const VARIABLES: [(&str, &str, &str); 2] = [
    ("current_task", "swait_queue", "task"),
    ("pcpu_hot", "pcpu_hot", "current_task"),
];

/// On x86-64 only: other architectures have the current task in a register.
fn current(btf: &Btf) -> Option<Current> {
    if !cfg!(target_arch = "x86_64") || btf.id(KIND_FUNC, LOADS_PROCESSOR).is_none() {
        return None;
    }
    let member = |structure: &str, path: &[&str]| btf.offset_in(&[btf.id(KIND_STRUCT, structure)?], path);
    let (variable, holder) = VARIABLES.iter().find_map(|(variable, holder, first)| {
        let holder = (member(holder, &[first]) == Some(0)).then(|| btf.id(KIND_STRUCT, holder))??;
        Some((btf.processors_variable(variable)?, holder))
    })?;
    Some(Current {
        holder,
        task_queue: member("task_struct", &["se", "cfs_rq"])?,
        queue_processors: member("cfs_rq", &["rq"])?,
        distance: variable.wrapping_sub(btf.processors_variable("runqueues")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_running_kernel_tells_where_its_current_task_is() {
        let Ok(btf) = Btf::read(Path::new("/sys/kernel/btf/vmlinux")) else {
            eprintln!("SKIPPED: this kernel has no BTF");
            return;
        };
        if !cfg!(target_arch = "x86_64") || btf.id(KIND_FUNC, LOADS_PROCESSOR).is_none() {
            eprintln!("SKIPPED: this kernel finds it by a helper");
            return;
        }
        let found = find(&btf).unwrap().current;
        assert_ne!(found, Current::UNKNOWN);
        assert!(found.task_queue > 0 && found.distance != 0, "{found:?}");
    }
}
