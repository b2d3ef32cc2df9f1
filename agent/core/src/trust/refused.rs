//! Why code is not run.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file is not run or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its metadata, or that of a directory on the way to it, cannot be read.
    #[error("{} cannot be looked at", .0.display())]
    Unseen(PathBuf, #[source] io::Error),
    /// It, or a directory or link on the way to it, belongs to another user.
    #[error("{}", foreign(.path, .of, *.owner))]
    Foreign {
        /// What belongs to the other user.
        path: PathBuf,
        /// The file.
        of: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// Others than the owner may write to it, or to a directory on the way to it.
    #[error("{}", writable(.path, .of))]
    Writable {
        /// What can be written.
        path: PathBuf,
        /// The file.
        of: PathBuf,
    },
    /// It is no regular file.
    #[error("{} is no regular file: name another one", .0.display())]
    NotRegular(PathBuf),
    /// Its interpreter, a library that it needs or a directory in which that is looked for is refused.
    #[error("{} may not be run for what it needs", .of.display())]
    Needed {
        /// The file.
        of: PathBuf,
        /// Why not.
        #[source]
        why: Box<Refused>,
    },
    /// It needs more files than any program does.
    #[error("{} needs more than {} files", .0.display(), super::code::MAX_FILES)]
    TooMany(PathBuf),
}

fn foreign(path: &Path, of: &Path, owner: u32) -> String {
    let (path, of, is_file) = (path.display(), of.display(), path == of);
    if is_file {
        format!(
            "{path} belongs to user {owner}, and running it would run that user's code as the agent: `chown root` it, or \
             name another file"
        )
    } else {
        format!(
            "{path} belongs to user {owner}, who can exchange {of} below it and have code run as the agent: `chown root` it, \
             or move the file to where only root can write"
        )
    }
}

fn writable(path: &Path, of: &Path) -> String {
    let (path, of, is_file) = (path.display(), of.display(), path == of);
    if is_file {
        format!("{path} can be written by others than its owner: `chmod go-w` it, or name another file")
    } else {
        format!(
            "{path} can be written by others than its owner, who can exchange {of} below it: `chmod go-w` it, or move the \
             file to where only root can write"
        )
    }
}
