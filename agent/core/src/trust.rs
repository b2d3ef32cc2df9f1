//! Whether a vendor's library may be loaded.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its metadata cannot be read.
    #[error("{} cannot be looked at", .0.display())]
    Unseen(PathBuf, #[source] io::Error),
    /// It belongs to another user.
    #[error(
        "{} belongs to user {owner}, and loading it would run that user's code as the agent: `chown root` it, or name \
         another library",
        .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// Others than its owner may write to it.
    #[error("{} can be written by others than its owner: `chmod go-w` it, or name another library", .0.display())]
    Writable(PathBuf),
}

/// Whether nobody but root or this user could have put code there.
pub fn check(file: &Path) -> Result<(), Refused> {
    let about = std::fs::metadata(file).map_err(|error| Refused::Unseen(file.to_owned(), error))?;
    let us = rustix::process::geteuid().as_raw();
    if about.uid() != 0 && about.uid() != us {
        return Err(Refused::Foreign {
            path: file.to_owned(),
            owner: about.uid(),
        });
    }
    if about.mode() & 0o022 != 0 {
        return Err(Refused::Writable(file.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_can_write_is_not_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("library.so");
        std::fs::write(&file, "").unwrap();
        let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o755);
        assert!(check(&file).is_ok());
        mode(0o775);
        assert!(matches!(check(&file), Err(Refused::Writable(_))));
        let gone = directory.path().join("gone.so");
        assert!(matches!(check(&gone), Err(Refused::Unseen(..))));
    }
}
