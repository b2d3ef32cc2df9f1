//! Errors of a process or a machine that may open no more files. They may come of any call anywhere, and what helps is the same.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// What helps where the process has as many files open as it may (`EMFILE`).
pub const FILES_OF_PROCESS: &str = "raise the number of files that the agent may open, to 1024 as is usual: LimitNOFILE= of its \
                                    unit, `ulimit -n`, --ulimit nofile= of its container";
/// What helps where the machine has (`ENFILE`).
pub const FILES_OF_MACHINE: &str = "raise the sysctl fs.file-max of the machine, or end what holds so many files \
                                    (/proc/sys/fs/file-nr counts them)";
/// What helps where the user has as many instances of inotify as it may (`EMFILE` too).
const INOTIFY_INSTANCES: &str = "raise the sysctl fs.inotify.max_user_instances";

/// The number of such an error that stands anywhere in a text, as the standard library writes it.
pub fn number(text: &str) -> Option<i32> {
    let numbers = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    numbers
        .into_iter()
        .find(|number| text.contains(&format!("(os error {number})")))
}

/// What helps against such an error in a text.
pub fn remedy(text: &str) -> Option<&'static str> {
    let is_of_machine = number(text)? == Errno::NFILE.raw_os_error();
    Some(if is_of_machine {
        FILES_OF_MACHINE
    } else {
        FILES_OF_PROCESS
    })
}

/// The text, with what helps behind it unless that stands there already.
pub fn with_remedy<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    match remedy(&text) {
        Some(remedy) if !text.contains(remedy) && !text.contains(INOTIFY_INSTANCES) => {
            Cow::Owned(format!("{}; {remedy}", text.trim_end()))
        }
        _ => text,
    }
}

/// Fails where this process cannot open so many files more, for callers of what would panic then.
pub fn room_for(files: usize) -> io::Result<()> {
    let another = |_| rustix::io::fcntl_dupfd_cloexec(io::stderr(), 0);
    let opened: rustix::io::Result<Vec<OwnedFd>> = (0..files).map(another).collect();
    Ok(opened.map(drop)?)
}

/// What helps where there is no instance of inotify: `EMFILE` has two causes (inotify_init(2)). Nothing for another error.
pub fn inotify_remedy(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some(if room_for(1).is_ok() {
            INOTIFY_INSTANCES
        } else {
            FILES_OF_PROCESS
        }),
        Errno::NFILE => Some(FILES_OF_MACHINE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_in_any_text_and_what_helps_stands_there_once() {
        let error = io::Error::from(Errno::MFILE);
        for text in [error.to_string(), format!("reading a: {} (b)", Errno::MFILE)] {
            let once = with_remedy(text);
            assert!(once.ends_with(FILES_OF_PROCESS), "{once}");
            assert_eq!(with_remedy(once.clone()), once);
        }
        assert_eq!(
            remedy(&io::Error::from(Errno::NFILE).to_string()),
            Some(FILES_OF_MACHINE)
        );
        assert_eq!(with_remedy("reading a (os error 2)"), "reading a (os error 2)");
    }
}
