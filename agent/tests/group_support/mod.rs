//! Control groups that tests make, with the names of containers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// An id that no other container of these tests has.
pub(crate) fn new_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:048x}{:08x}{number:08x}", 0xa77_u32, std::process::id())
}

/// Removes them, the last one first.
pub(crate) fn remove(groups: &[PathBuf]) {
    // A group is busy for a moment after its last process was waited for.
    let until = Instant::now() + Duration::from_secs(60);
    for group in groups.iter().rev() {
        while std::fs::remove_dir(group).is_err_and(|error| error.kind() == std::io::ErrorKind::ResourceBusy)
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
