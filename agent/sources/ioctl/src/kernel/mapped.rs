//! Arrays of the eBPF programs that are mapped into the agent's memory.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;
use rustix::mm::{MapFlags, ProtFlags};

use super::plain::Plain;
use super::table::io_error;

/// An array of `T` that programs change at the same time. It is read and written by words of 8 bytes, each of them
/// atomically; a value of several words may be half old, half new, and callers state why that is harmless. The size of `T`
/// is a multiple of 8 bytes.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    /// Open, so that the map is listed as the agent's.
    _map: MapData,
    words: NonNull<AtomicU64>,
    bytes: usize,
    length: u32,
    of: PhantomData<T>,
}

// SAFETY: a mapping belongs to the process, not to a thread; all access is atomic.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Plain> Mapped<T> {
    const WORDS: usize = size_of::<T>() / 8;

    /// Maps a whole array that was created with `BPF_F_MMAPABLE`. Its values may each hold several `T`.
    pub(super) fn new(map: MapData) -> io::Result<Self> {
        let info = map.info().map_err(io_error)?;
        let value = info.value_size() as usize;
        let bytes = value * info.max_entries() as usize;
        if Self::WORDS == 0 || !size_of::<T>().is_multiple_of(8) || !value.is_multiple_of(size_of::<T>()) {
            return Err(io::Error::other("its values are of another size than the agent's"));
        }
        // SAFETY: a new mapping at an address of the kernel's choice, so no existing memory is affected. The kernel refuses
        // a length beyond the array.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map.fd().as_fd(),
                0,
            )
        }?;
        let words = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("it was mapped at address 0"))?;
        Ok(Self {
            _map: map,
            words,
            bytes,
            length: (bytes / size_of::<T>()) as u32,
            of: PhantomData,
        })
    }

    pub(super) fn len(&self) -> u32 {
        self.length
    }

    fn word(&self, index: u32, word: usize) -> Option<&AtomicU64> {
        if index >= self.length || word >= Self::WORDS {
            return None;
        }
        // SAFETY: within the mapping, by the check above; aligned, as the mapping begins at a page and values have whole
        // words; it lives as long as `self`.
        Some(unsafe { self.words.add(index as usize * Self::WORDS + word).as_ref() })
    }

    /// The value at an index; nothing beyond the end.
    pub(super) fn get(&self, index: u32) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        for word in 0..Self::WORDS {
            let read = self.word(index, word)?.load(Ordering::Relaxed);
            // SAFETY: within the value of `WORDS` words; unaligned, as the value may be aligned to less than 8.
            unsafe { value.as_mut_ptr().cast::<u64>().add(word).write_unaligned(read) };
        }
        // SAFETY: all its bytes were written, and any are a value of a `Plain` type.
        Some(unsafe { value.assume_init() })
    }

    /// One word of a value.
    pub(super) fn get_word(&self, index: u32, word: usize) -> Option<u64> {
        Some(self.word(index, word)?.load(Ordering::Acquire))
    }

    /// Writes a value, its first word last, so that a reader that acts on the first sees the others.
    pub(super) fn set(&self, index: u32, value: &T) {
        for word in (0..Self::WORDS).rev() {
            // SAFETY: within the value of `WORDS` words, all of them initialised.
            let new = unsafe { std::ptr::from_ref(value).cast::<u64>().add(word).read_unaligned() };
            if let Some(word) = self.word(index, word) {
                word.store(new, Ordering::Release);
            }
        }
    }

    /// Writes one word of a value.
    pub(super) fn set_word(&self, index: u32, word: usize, value: u64) {
        if let Some(word) = self.word(index, word) {
            word.store(value, Ordering::Release);
        }
    }

    /// Decrements a number that programs increment.
    pub(super) fn decrement(&self, index: u32) {
        if let Some(word) = self.word(index, 0) {
            word.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Writes zeros.
    pub(super) fn clear(&self, index: u32) {
        for word in 0..Self::WORDS {
            if let Some(word) = self.word(index, word) {
                word.store(0, Ordering::Release);
            }
        }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, of the same length; no reference into it outlives `self`. An error would
        // mean that it is not mapped, which leaves nothing to do.
        let _ended = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), self.bytes) };
    }
}
