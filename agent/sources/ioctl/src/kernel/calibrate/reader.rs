//! Kernel memory as the eBPF program `peek` copies it for this process alone.

use std::io;
use std::os::fd::OwnedFd;

use agent_ebpf::{PEEK_BYTES, Peek};
use aya::maps::{Array, Map, MapData, MapError};

use super::super::plain::{Shared, zeroed};
use super::super::sys;
use super::super::table::io_error;
use super::cache::Memory;

/// Calls before one counts as unseen: the kernel skips a program on a tracepoint while a bpf(2) operation on a map, which any
/// process makes, is preempted on the same processor (`bpf_prog_active`, `trace_call_bpf`).
const CALLS: u32 = 3;

/// The attached program.
pub(in super::super) struct KernelReader {
    map: Array<MapData, Shared<Peek>>,
    _link: OwnedFd,
    secret: u64,
}

impl KernelReader {
    /// `link` keeps the program attached.
    pub(in super::super) fn new(map: MapData, link: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            map: Map::from_map_data(map).and_then(Array::try_from).map_err(io_error)?,
            _link: link,
            secret: rand::random::<u64>() | 1,
        })
    }

    fn request(&mut self, address: u64, length: u32) -> io::Result<Peek> {
        let request = Peek {
            secret: self.secret,
            address,
            length,
            ..zeroed()
        };
        let exchange = |map: &mut Array<_, _>| -> Result<Shared<Peek>, MapError> {
            map.set(0, Shared(request), 0)?;
            sys::trigger_tracepoint(request.secret);
            map.get(&0, 0)
        };
        for _ in 0..CALLS {
            let Shared(answer) = exchange(&mut self.map).map_err(io_error)?;
            if answer.answered != 0 {
                return Ok(answer);
            }
        }
        Err(io::Error::other("the program did not see the call"))
    }

    /// The calling thread as the kernel identifies it.
    pub(in super::super) fn caller(&mut self) -> io::Result<Peek> {
        self.request(0, 0)
    }
}

impl Memory for KernelReader {
    fn read(&mut self, address: u64, into: &mut [u8]) -> bool {
        match self.request(address, into.len().min(PEEK_BYTES) as u32) {
            Ok(answer) if answer.result == 0 && into.len() <= PEEK_BYTES => {
                into.copy_from_slice(&answer.bytes[..into.len()]);
                true
            }
            _ => false,
        }
    }
}
