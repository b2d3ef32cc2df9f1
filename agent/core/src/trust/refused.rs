//! Why code is not run.

use std::io;
use std::path::{Path, PathBuf};

use super::writers::Writers;

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
    #[error("{}", writable(.path, .of, .writers))]
    Writable {
        /// What can be written.
        path: PathBuf,
        /// The file.
        of: PathBuf,
        /// Who may.
        writers: Writers,
    },
    /// It, or a directory on the way to it, is in a file system that a program of another user serves (FUSE).
    #[error("{}", served(.path, .of, *.user))]
    Served {
        /// What is in it.
        path: PathBuf,
        /// The file.
        of: PathBuf,
        /// The user, if known.
        user: Option<u32>,
    },
    /// It is no regular file.
    #[error("{} is no regular file: name another one", .0.display())]
    NotRegular(PathBuf),
    /// What would be opened for it cannot be told from it.
    #[error("{} is not run or loaded: {}", .path.display(), .why)]
    Unclear {
        /// The file.
        path: PathBuf,
        /// Why, and what helps.
        why: String,
    },
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

impl Refused {
    /// What is at fault.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Unseen(path, _)
            | Self::NotRegular(path)
            | Self::TooMany(path)
            | Self::Foreign { path, .. }
            | Self::Writable { path, .. }
            | Self::Served { path, .. }
            | Self::Unclear { path, .. } => path,
            Self::Needed { why, .. } => why.path(),
        }
    }
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

fn writable(path: &Path, of: &Path, writers: &Writers) -> String {
    let (path, of, is_file) = (path.display(), of.display(), path == of);
    let remedy = writers.remedy();
    if is_file {
        format!("{path} ({writers}) can be written by others than its owner: `{remedy} {path}`, or name another file")
    } else {
        format!(
            "{path} ({writers}) can be written by others than its owner, who can exchange {of} below it: `{remedy} {path}`, or \
             move the file to where only root can write"
        )
    }
}

fn served(path: &Path, of: &Path, user: Option<u32>) -> String {
    let (path, of) = (path.display(), of.display());
    let whose = user.map_or_else(|| "somebody".to_owned(), |user| format!("user {user}"));
    format!(
        "{path} is in a FUSE file system of {whose}, whose program gives out what it likes as {of}: move the file to one of the \
         machine, or have root mount it"
    )
}
