//! Reads files of unknown size under a limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The whole file, or an error of kind [`io::ErrorKind::FileTooLarge`] if it is longer than `most` bytes.
pub fn read_bounded(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    bounded(File::open(path)?, most)
}

/// The rest of an open file, under the same limit.
pub(super) fn bounded(file: File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {most} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused_and_not_cut() {
        assert_eq!(
            read_bounded(Path::new("/dev/zero"), 10).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn a_file_as_long_as_the_limit_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        assert_eq!(read_bounded(file.path(), 10).unwrap(), b"0123456789");
    }
}
