//! Device nodes, examined without being opened: the first open of some devices wakes them.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, OFlags};

use super::HostRoots;

impl HostRoots {
    /// The device number (`st_rdev`) of the host's character device `absolute`; links are followed within the host's root.
    ///
    /// Anything but a character device is an error of kind [`io::ErrorKind::InvalidInput`].
    pub fn char_device(&self, absolute: impl AsRef<Path>) -> io::Result<u64> {
        // The driver's `open` is not called for such a descriptor (open(2), `O_PATH`).
        let file = self.open(absolute.as_ref(), OFlags::PATH)?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a character device"));
        }
        #[allow(clippy::useless_conversion, reason = "no conversion on 64-bit targets")]
        Ok(u64::from(stat.st_rdev))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_device_is_known_by_its_number_also_through_a_link() {
        let roots = HostRoots::new("/");
        assert_eq!(roots.char_device("/dev/full").unwrap(), rustix::fs::makedev(1, 7));
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("/dev/full", &link).unwrap();
        assert_eq!(roots.char_device(&link).unwrap(), rustix::fs::makedev(1, 7));
        let error = roots.char_device(directory.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = roots.char_device("/dev/none").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
