//! Why a monitor file that is there is not shown, in words.

use std::time::Duration;

use super::decode::NotYet;
use super::directory::{ReadError, Stamp};
use accelscope_core::host::authority::Authority;

const NO_MONITOR_FILE: &str = "if it stays so, remove the file: HailoRT did not write it, or was interrupted (is its file \
    system full? `df`)";
const OTHER_TMP: &str = "give the application a /tmp of the node's own file systems";
const REMOVE: &str = "remove it: an application that writes a monitor file makes a new one";

/// What to do where a writer is in a PID namespace that the agent does not see.
pub(super) const UNSEEN: &str = "give the agent the host's PID namespace (hostPID: true), or it was written by a process that has \
    just ended";

/// Why a file has no values, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) remedy: &'static str,
}

impl Trouble {
    /// Of an entry that is no file.
    pub(super) fn other_kind(kind: &'static str) -> Self {
        Self::from(&ReadError::NotAFile(kind))
    }

    /// Of a file without a process id.
    pub(super) fn without_id() -> Self {
        Self {
            what: "has no process id, neither in it nor in its name".to_owned(),
            remedy: NO_MONITOR_FILE,
        }
    }

    /// Of a file beyond the bounds.
    pub(super) fn beyond_bounds() -> Self {
        Self {
            what: "is beyond the number of files, networks and streams that are kept, of which other users have their share"
                .to_owned(),
            remedy: "remove what killed applications left behind, and find the user with the most files: `ls -ln`",
        }
    }

    /// Of a file that claims the writer of another.
    pub(super) fn claims(pid: u32) -> Self {
        Self {
            what: format!(
                "claims process {pid}, of which another file is likelier: by the id in its name, or because it was there before"
            ),
            remedy: REMOVE,
        }
    }

    /// Of a file that is not of the process that it claims.
    pub(super) fn foreign(pid: u32, stamp: Stamp, authority: Authority) -> Self {
        let (why, remedy) = if let Authority::User(user) = authority {
            (
                format!("its directory is a FUSE file system of user {user}, which that process does not run as"),
                OTHER_TMP,
            )
        } else if authority == Authority::Unknown {
            (
                "its directory is a FUSE file system of a user, in which files have any owner".to_owned(),
                OTHER_TMP,
            )
        } else if stamp.is_open {
            (
                "other users may write to it".to_owned(),
                "give the application a /tmp of its own, or a umask that keeps others from writing",
            )
        } else {
            (
                format!("user {} owns it, which that process does not run as", stamp.user),
                "find who wrote it (`ls -ln`); on a network file system that changes owners (root_squash), give the \
                 application a /tmp of its own",
            )
        };
        Self {
            what: format!("names process {pid} as its writer, but {why}"),
            remedy,
        }
    }

    /// Of a file whose process is not shown to use HailoRT.
    pub(super) fn unproven(pid: u32) -> Self {
        Self {
            what: format!(
                "names process {pid} as its writer, but that was started without HAILO_MONITOR=1 and has no Hailo device open: \
                 a container that shares the directory may have written it"
            ),
            remedy: "where that process does write it, set HAILO_MONITOR=1 in its environment before its start; else give each \
                     container a /tmp of its own: do not share /tmp/hmon_files between them",
        }
    }

    /// Of a file that was written by a process that is not there.
    ///
    /// Only where that may be in another PID namespace the agent is to see more of them.
    pub(super) fn unseen(age: Duration, may_be_elsewhere: bool) -> Self {
        let age = age.as_secs_f64();
        if may_be_elsewhere {
            return Self {
                what: format!("was written {age:.1} s ago by a process that has ended or cannot be seen"),
                remedy: UNSEEN,
            };
        }
        Self {
            what: format!("was written {age:.1} s ago, and no process with its id can have written it"),
            remedy: "if it stays so, find who writes it (`ls -ln`), and remove it: a process that ends at once leaves such a file \
                     behind, and a program that is not HailoRT can write any id",
        }
    }

    /// Of a living process that has not written for that long.
    pub(super) fn overdue(age: Duration, interval: Option<Duration>) -> Self {
        let interval = interval.map_or_else(String::new, |interval| {
            format!(", though it is due every {:.1} s", interval.as_secs_f64())
        });
        Self {
            what: format!("was last written {:.1} s ago{interval}", age.as_secs_f64()),
            remedy: "nothing, if it has closed its virtual device: HailoRT writes no more from then on; else it hangs or is \
                     stopped, or cannot replace the file (another user's, a mount, a full file system)",
        }
    }
}

impl From<&ReadError> for Trouble {
    fn from(error: &ReadError) -> Self {
        let remedy = match error {
            ReadError::Denied(..) => {
                "run the agent as root (with CAP_DAC_READ_SEARCH), or as the user that owns the file; HailoRT makes it \
                 readable by all unless the application's umask forbids that"
            }
            ReadError::NotAFile(_) | ReadError::TooLarge(_) => REMOVE,
            ReadError::Mounted => "unmount it (`umount`, or `fusermount3 -u` as the user who mounted it)",
            ReadError::Gone | ReadError::Changing | ReadError::Io(_) => "look at the state of its file system: `dmesg`",
        };
        Self {
            what: error.to_string(),
            remedy,
        }
    }
}

impl From<&NotYet> for Trouble {
    fn from(error: &NotYet) -> Self {
        let remedy = match error {
            NotYet::Empty => {
                "nothing, if it is written within seconds; else end what locks it (`hailortcli monitor` beside HailoRT up to \
                 4.21), or make room on its file system (`df`)"
            }
            NotYet::NoPid | NotYet::CutOff | NotYet::Malformed(_) | NotYet::TooMany(_) => NO_MONITOR_FILE,
        };
        Self {
            what: format!("is {error}"),
            remedy,
        }
    }
}
