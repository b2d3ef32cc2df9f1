//! Lists of unknown length: processes, and the driver's utilization samples of them.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use super::sys::{self, nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t};
use super::{Code, Device, NvmlError, OrOlder, call, missing, zeroed};

/// Capacity of the first attempt.
const USUAL: usize = 64;
/// Limit of entries of one list; RM itself lists at most 950 processes (`NV2080_CTRL_GPU_GET_PIDS_MAX_COUNT`).
const MOST: usize = 16 * 1024;
/// Number of attempts, each with more capacity: the list may grow between them.
const ATTEMPTS: usize = 8;

/// Kind of list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessList {
    /// Processes with a CUDA context.
    Compute,
    /// Processes with a graphics context.
    Graphics,
    /// Clients of a CUDA Multi-Process Service.
    Mps,
}

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListedProcess {
    pub(crate) pid: u32,
    /// In bytes; `None` if the driver does not report it.
    pub(crate) memory: Option<u64>,
    pub(crate) gpu_instance: Option<u32>,
    pub(crate) compute_instance: Option<u32>,
}

/// The driver's utilization sample of one process, in per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessSample {
    pub(crate) pid: u32,
    /// Microseconds since the Unix epoch.
    pub(crate) time: u64,
    /// Multiprocessors, memory, encoder, decoder.
    pub(crate) percent: [u32; 4],
}

/// `0xFFFFFFFF` means no instance (nvml.h, `nvmlProcessInfo_t`).
fn instance(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// All entries of a growing list. A call with too little capacity must fail with `INSUFFICIENT_SIZE`; the length that
/// it returns is only a hint, since some libraries return none or too little.
fn grown<T: Copy>(
    empty: T,
    mut fill: impl FnMut(&mut u32, *mut T) -> Result<(), NvmlError>,
) -> Result<Vec<T>, NvmlError> {
    let mut room = USUAL;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let mut buffer = vec![empty; room];
        let mut count = room as u32;
        match fill(&mut count, buffer.as_mut_ptr()) {
            Ok(()) => {
                buffer.truncate(count as usize);
                return Ok(buffer);
            }
            Err(error) if error.code == Code::InsufficientSize && room < MOST => {
                // Half as much again for those that start in between.
                let hint = count as usize + count as usize / 2;
                room = hint.max(room * 2).min(MOST);
                last = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(NvmlError {
        call: "list",
        code: Code::InsufficientSize,
    }))
}

/// The list, by its functions from newest to oldest. The third and second version have the same layout, except in a few
/// drivers, with which the third is not used; the first has no instances.
macro_rules! versions {
    ($device:expr, $v3:ident, $v2:ident, $v1:ident) => {{
        let device = $device;
        let empty = nvmlProcessInfo_v2_t {
            pid: 0,
            usedGpuMemory: u64::MAX,
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        };
        grown(empty, |count, to| {
            // SAFETY: the buffer has room for `count` structures of the size that both functions write (nvml.h 13.5); the
            // third where it does.
            unsafe {
                if device.nvml().has_wide_process_lists() {
                    Err(missing(stringify!($v3)))
                } else {
                    call!(device.nvml(), $v3(device.handle(), &raw mut *count, to.cast()))
                }
                .or_older(|| call!(device.nvml(), $v2(device.handle(), &raw mut *count, to.cast())))
            }
        })
        .map(|list| list.iter().map(listed).collect())
        .or_older(|| {
            let empty = nvmlProcessInfo_v1_t {
                pid: 0,
                usedGpuMemory: u64::MAX,
            };
            let list = grown(empty, |count, to| {
                // SAFETY: as above, with the structure of the function without a version.
                unsafe { call!(device.nvml(), $v1(device.handle(), &raw mut *count, to.cast())) }
            })?;
            let listed = |old: &nvmlProcessInfo_v1_t| ListedProcess {
                pid: old.pid,
                memory: memory(old.usedGpuMemory),
                gpu_instance: None,
                compute_instance: None,
            };
            Ok(list.iter().map(listed).collect())
        })
    }};
}

impl Device {
    /// The processes in one list of a GPU or MIG device.
    pub(crate) fn processes(self, list: ProcessList) -> Result<Vec<ListedProcess>, NvmlError> {
        match list {
            ProcessList::Compute => versions!(
                self,
                nvmlDeviceGetComputeRunningProcesses_v3,
                nvmlDeviceGetComputeRunningProcesses_v2,
                nvmlDeviceGetComputeRunningProcesses
            ),
            ProcessList::Graphics => versions!(
                self,
                nvmlDeviceGetGraphicsRunningProcesses_v3,
                nvmlDeviceGetGraphicsRunningProcesses_v2,
                nvmlDeviceGetGraphicsRunningProcesses
            ),
            ProcessList::Mps => versions!(
                self,
                nvmlDeviceGetMPSComputeRunningProcesses_v3,
                nvmlDeviceGetMPSComputeRunningProcesses_v2,
                nvmlDeviceGetMPSComputeRunningProcesses
            ),
        }
    }

    /// Utilization samples of processes after `since` (microseconds since the Unix epoch). None where all were idle.
    pub(crate) fn process_samples(self, since: u64) -> Result<Vec<ProcessSample>, NvmlError> {
        let list = grown(zeroed(), |count, to| {
            // SAFETY: the buffer has room for `count` such structures.
            unsafe {
                call!(
                    self.nvml(),
                    nvmlDeviceGetProcessUtilization(self.handle(), to, &raw mut *count, since)
                )
            }
        });
        let list = match list {
            // "If no valid sample entries are found since the lastSeenTimeStamp" (nvml.h).
            Err(error) if error.code == Code::NotFound => Vec::new(),
            other => other?,
        };
        let sampled = |sample: &sys::nvmlProcessUtilizationSample_t| ProcessSample {
            pid: sample.pid,
            time: sample.timeStamp,
            percent: [sample.smUtil, sample.memUtil, sample.encUtil, sample.decUtil],
        };
        Ok(list.iter().map(sampled).collect())
    }
}

fn listed(entry: &nvmlProcessInfo_v2_t) -> ListedProcess {
    ListedProcess {
        pid: entry.pid,
        memory: memory(entry.usedGpuMemory),
        gpu_instance: instance(entry.gpuInstanceId),
        compute_instance: instance(entry.computeInstanceId),
    }
}

/// `NVML_VALUE_NOT_AVAILABLE` is all ones; more than any GPU has (and any `i64` holds) is no size either.
fn memory(bytes: u64) -> Option<u64> {
    i64::try_from(bytes).is_ok().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOO_SMALL: NvmlError = NvmlError {
        call: "list",
        code: Code::InsufficientSize,
    };

    /// A library with a list that grows at each call, and that returns `hint` as its length.
    fn answer(mut length: usize, growth: usize, hint: u32) -> Result<Vec<u32>, NvmlError> {
        grown(0, |count, to: *mut u32| {
            let room = *count as usize;
            let now = length;
            length += growth;
            if now > room {
                *count = hint;
                return Err(TOO_SMALL);
            }
            for index in 0..now {
                // SAFETY: there is room for that many.
                unsafe { to.add(index).write(index as u32) };
            }
            *count = now as u32;
            Ok(())
        })
    }

    #[test]
    fn a_list_is_read_whole_however_it_grows_and_whatever_is_said_of_it() {
        for (length, growth, hint) in [(0, 0, 0), (64, 0, 0), (65, 0, 0), (1000, 300, 1000), (5000, 50, 3)] {
            let list = answer(length, growth, hint).unwrap();
            assert!(list.len() >= length && list.iter().enumerate().all(|(at, value)| at == *value as usize));
        }
    }

    #[test]
    fn a_list_without_an_end_is_given_up() {
        assert_eq!(answer(usize::MAX / 2, 0, u32::MAX), Err(TOO_SMALL));
    }

    #[test]
    fn sentinels_are_nothing() {
        assert_eq!((memory(u64::MAX), memory(5)), (None, Some(5)));
        assert_eq!((instance(u32::MAX), instance(0)), (None, Some(0)));
    }
}
