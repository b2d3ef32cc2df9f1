//! Kernel memory through the program `peek`, which answers this process alone.

use std::io;
use std::os::fd::OwnedFd;

use agent_ebpf::{PEEK_BYTES, Peek};

use super::view::Memory;
use crate::kernel::sys::{self, Map};

/// The program, attached.
#[derive(Debug)]
pub(in super::super) struct Peeker {
    map: Map,
    _link: OwnedFd,
    secret: u64,
}

const HEAD: usize = size_of::<Peek>() - PEEK_BYTES;

const _: () = assert!(
    std::mem::offset_of!(Peek, bytes) == HEAD
        && std::mem::offset_of!(Peek, length) == 16
        && std::mem::offset_of!(Peek, answered) == 20
        && std::mem::offset_of!(Peek, result) == 24
        && std::mem::offset_of!(Peek, task) == 32
);

/// What the program said of the calling thread.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Caller {
    pub(in super::super) task: u64,
    pub(in super::super) pid_tgid: u64,
    pub(in super::super) cgroup: u64,
}

impl Peeker {
    /// `link` keeps the program attached.
    pub(in super::super) fn new(map: Map, link: OwnedFd) -> Self {
        let secret = rand::random::<u64>() | 1;
        Self {
            map,
            _link: link,
            secret,
        }
    }

    fn ask(&self, address: u64, length: u32) -> io::Result<Vec<u8>> {
        let mut question = vec![0; size_of::<Peek>()];
        question[..8].copy_from_slice(&self.secret.to_ne_bytes());
        question[8..16].copy_from_slice(&address.to_ne_bytes());
        question[16..20].copy_from_slice(&length.to_ne_bytes());
        let place = 0_u32.to_ne_bytes();
        self.map.update(&place, &question)?;
        sys::knock(self.secret);
        let answer = self.map.lookup(&place)?;
        if answer[20..24] == [0; 4] {
            return Err(io::Error::other("the program did not see the call"));
        }
        Ok(answer)
    }

    /// Who calls, to the kernel.
    pub(in super::super) fn caller(&self) -> io::Result<Caller> {
        let answer = self.ask(0, 0)?;
        let word = |at| crate::kernel::bytes::word(&answer, at);
        Ok(Caller {
            task: word(32),
            pid_tgid: word(40),
            cgroup: word(48),
        })
    }
}

impl Memory for Peeker {
    fn read(&mut self, address: u64, into: &mut [u8]) -> bool {
        let Ok(answer) = self.ask(address, into.len().min(PEEK_BYTES) as u32) else {
            return false;
        };
        let failed = answer[24..32] != [0; 8];
        match answer.get(HEAD..HEAD + into.len()) {
            Some(bytes) if !failed => {
                into.copy_from_slice(bytes);
                true
            }
            _ => false,
        }
    }
}
