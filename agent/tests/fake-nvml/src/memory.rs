//! Structures that the caller provides.

/// Start of these structures.
#[derive(Clone, Copy)]
pub(crate) struct At(*mut u8);

impl At {
    pub(crate) fn of<T>(to: *mut T) -> Self {
        Self(to.cast())
    }

    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn after(self, bytes: usize) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    pub(crate) fn bytes(self, offset: usize, bytes: &[u8]) {
        // Not aligned by itself: C would write the same bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.add(offset), bytes.len()) }
    }

    pub(crate) fn four(self, offset: usize, number: u64) {
        self.bytes(offset, &(number as u32).to_ne_bytes());
    }

    pub(crate) fn eight(self, offset: usize, number: u64) {
        self.bytes(offset, &number.to_ne_bytes());
    }

    pub(crate) fn double(self, offset: usize, number: f64) {
        self.bytes(offset, &number.to_ne_bytes());
    }

    pub(crate) fn get_four(self, offset: usize) -> u32 {
        unsafe { self.0.add(offset).cast::<u32>().read_unaligned() }
    }

    pub(crate) fn get_eight(self, offset: usize) -> u64 {
        unsafe { self.0.add(offset).cast::<u64>().read_unaligned() }
    }

    /// Writes text with its final zero; false if it does not fit into `length`.
    pub(crate) fn text(self, text: &str, length: u32) -> bool {
        let fits = text.len() < length as usize;
        if fits {
            self.bytes(0, text.as_bytes());
            self.bytes(text.len(), &[0]);
        }
        fits
    }
}
