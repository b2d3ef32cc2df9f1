//! Cached reads of kernel memory.

use std::collections::HashMap;
use std::ops::Range;

/// Bytes that are read at once; never more than a page.
pub(in super::super) const BLOCK: u64 = 1024;
/// Most blocks that one search reads, so that it ends.
const MAX_BLOCKS: usize = 400_000;

/// All 64-bit kernels use the upper end, but not the last 2 MiB: they are a hole on x86-64
/// (Documentation/arch/x86/x86_64/mm.rst) and hold no structure that is searched on arm64, and error numbers are there.
const ADDRESSES: Range<u64> = 0xff00_0000_0000_0000..0xffff_ffff_ffe0_0000;

/// Kernel memory.
pub(in super::super) trait Memory {
    /// Fills the buffer from an address; false where not all of it can be read.
    fn read(&mut self, address: u64, into: &mut [u8]) -> bool;
}

/// Kernel memory, each block of which is read once.
pub(in super::super) struct MemoryCache<'a> {
    memory: &'a mut dyn Memory,
    blocks: HashMap<u64, Option<Box<[u8]>>>,
}

impl<'a> MemoryCache<'a> {
    pub(super) fn new(memory: &'a mut dyn Memory) -> Self {
        Self {
            memory,
            blocks: HashMap::new(),
        }
    }

    fn block(&mut self, start: u64) -> Option<&[u8]> {
        if !self.blocks.contains_key(&start) {
            if self.blocks.len() >= MAX_BLOCKS {
                return None;
            }
            let mut bytes = vec![0; BLOCK as usize];
            let read = self.memory.read(start, &mut bytes);
            self.blocks.insert(start, read.then(|| bytes.into_boxed_slice()));
        }
        self.blocks.get(&start)?.as_deref()
    }

    fn bytes<const N: usize>(&mut self, address: u64) -> Option<[u8; N]> {
        let within = (address % BLOCK) as usize;
        let start = address - within as u64;
        let block = self.block(start)?;
        if let Some(bytes) = block.get(within..).and_then(<[u8]>::first_chunk) {
            return Some(*bytes);
        }
        let mut bytes = [0; N];
        let (first, rest) = bytes.split_at_mut(BLOCK as usize - within);
        first.copy_from_slice(&block[within..]);
        let next = self.block(start.checked_add(BLOCK)?)?;
        rest.copy_from_slice(next.get(..rest.len())?);
        Some(bytes)
    }

    pub(super) fn u64_at(&mut self, address: u64) -> Option<u64> {
        self.bytes(address).map(u64::from_ne_bytes)
    }

    pub(super) fn u32_at(&mut self, address: u64) -> Option<u32> {
        self.bytes(address).map(u32::from_ne_bytes)
    }

    pub(super) fn u16_at(&mut self, address: u64) -> Option<u16> {
        self.bytes(address).map(u16::from_ne_bytes)
    }

    /// A value that may be the address of a kernel structure, which is aligned.
    pub(super) fn pointer(&mut self, address: u64) -> Option<u64> {
        self.unaligned_pointer(address).filter(|value| value % 8 == 0)
    }

    /// A value that may be an address in the kernel, from which any structure is within the address space.
    pub(super) fn unaligned_pointer(&mut self, address: u64) -> Option<u64> {
        self.u64_at(address).filter(|value| ADDRESSES.contains(value))
    }

    /// Whether an address holds this string with its terminating zero.
    pub(super) fn has_string(&mut self, address: u64, text: &[u8]) -> bool {
        let zero = [0];
        text.iter()
            .chain(&zero)
            .enumerate()
            .all(|(index, byte)| self.bytes(address + index as u64) == Some([*byte]))
    }
}
