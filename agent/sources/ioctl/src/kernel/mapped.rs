//! Arrays of the eBPF programs that are mapped into the agent's memory.
//!
//! The kernel makes every page of a mapping resident at once (`array_map_mmap`), so only the elements in question are
//! mapped, as long as they are read or written.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;
use rustix::mm::{MapFlags, ProtFlags};

use super::plain::{Plain, zeroed};
use super::table::io_error;

/// An array of `T` that was created with `BPF_F_MMAPABLE`. Its values may each hold several `T`.
#[derive(Debug)]
pub(super) struct Mappable<T> {
    map: Arc<MapData>,
    length: u32,
    of: PhantomData<T>,
}

/// Elements of such an array, which programs change at the same time. They are read and written by words of 8 bytes, each
/// of them atomically; a value of several words may be half old, half new, and callers state why that is harmless.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    /// Open, so that the map is listed as the agent's.
    _map: Arc<MapData>,
    pages: NonNull<AtomicU64>,
    bytes: usize,
    /// Bytes of the array before the first page.
    skipped: usize,
    range: Range<u32>,
    of: PhantomData<T>,
}

// SAFETY: a mapping belongs to the process, not to a thread; all access is atomic.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Plain> Mappable<T> {
    /// # Errors
    /// If the size of `T` is no multiple of 8 bytes or no part of the map's values, or the map cannot be mapped.
    pub(super) fn new(map: MapData) -> io::Result<Self> {
        let info = map.info().map_err(io_error)?;
        let value = info.value_size() as usize;
        if size_of::<T>() == 0 || !size_of::<T>().is_multiple_of(8) || !value.is_multiple_of(size_of::<T>()) {
            return Err(io::Error::other("its values are of another size than the agent's"));
        }
        let new = Self {
            map: Arc::new(map),
            length: (value * info.max_entries() as usize / size_of::<T>()) as u32,
            of: PhantomData,
        };
        new.mapped(0..1)?;
        Ok(new)
    }

    pub(super) fn len(&self) -> u32 {
        self.length
    }

    /// Maps all elements.
    pub(super) fn all(&self) -> io::Result<Mapped<T>> {
        self.mapped(0..self.length)
    }

    /// Maps the pages with these elements.
    pub(super) fn mapped(&self, range: Range<u32>) -> io::Result<Mapped<T>> {
        let start = range.start as usize * size_of::<T>();
        let skipped = start - start % rustix::param::page_size();
        let bytes = range.end as usize * size_of::<T>() - skipped;
        // SAFETY: a new mapping at an address of the kernel's choice, so no existing memory is affected. The kernel refuses
        // one that is empty or beyond the array.
        let pages = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                self.map.fd().as_fd(),
                skipped as u64,
            )
        }?;
        Ok(Mapped {
            _map: Arc::clone(&self.map),
            pages: NonNull::new(pages.cast()).ok_or_else(|| io::Error::other("it was mapped at address 0"))?,
            bytes,
            skipped,
            range,
            of: PhantomData,
        })
    }
}

impl<T: Plain> Mapped<T> {
    const WORDS: usize = size_of::<T>() / 8;

    fn word(&self, index: u32, word: usize) -> Option<&AtomicU64> {
        if !self.range.contains(&index) || word >= Self::WORDS {
            return None;
        }
        let word = index as usize * Self::WORDS + word - self.skipped / 8;
        // SAFETY: within the mapping, by the check above; aligned, as the mapping begins at a page and values have whole
        // words; it lives as long as `self`.
        Some(unsafe { self.pages.add(word).as_ref() })
    }

    /// The value at an index; nothing if it is not mapped.
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

    /// Writes zeros, the first word last.
    pub(super) fn clear(&self, index: u32) {
        self.set(index, &zeroed());
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `mapped` made, of the same length; no reference into it outlives `self`. An error would
        // mean that it is not mapped, which leaves nothing to do.
        let _ended = unsafe { rustix::mm::munmap(self.pages.as_ptr().cast(), self.bytes) };
    }
}
