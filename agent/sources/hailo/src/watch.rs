//! Changes of monitor directories, by inotify.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use accelscope_core::exhausted;
use accelscope_core::host::poll;

/// Events that are taken from the kernel at a time.
const MAX_EVENTS: usize = 4096;

/// Events of a monitor directory: HailoRT writes a file in place (close after write) or renames it (moved to).
const FILES: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// Events of the parent of a directory that does not exist yet.
const PARENT: WatchMask = WatchMask::CREATE
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR)
    .union(WatchMask::MASK_ADD);

/// A change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Of a file in a watched directory, or of a name in a watched parent.
    Name(WatchDescriptor, OsString),
    /// Removal, rename or unmount of a watched directory.
    Lost(WatchDescriptor),
    /// More events than the kernel queues.
    Overflow,
}

/// The inotify instance and its events.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
    buffer: Box<[u8]>,
    pub(super) events: VecDeque<Event>,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::init()?,
            buffer: vec![0; 8192].into(),
            events: VecDeque::new(),
        })
    }

    /// What adds watches to it.
    pub(super) fn watches(&self) -> Watches {
        self.inotify.watches()
    }

    pub(super) fn remove(&self, watch: WatchDescriptor) {
        if let Err(error) = self.inotify.watches().remove(watch) {
            // The kernel removes a watch with its directory.
            tracing::trace!(%error, "inotify watch was already gone");
        }
    }

    /// Moves the kernel's events to [`events`](Self::events), except names that `wanted` rejects, up to a number: what one
    /// directory has beyond that waits with the kernel, which keeps a number of them too.
    pub(super) fn drain(&mut self, wanted: impl Fn(&WatchDescriptor, &OsStr) -> bool) -> io::Result<()> {
        while self.events.len() < MAX_EVENTS {
            let events = match self.inotify.read_events(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            for event in events {
                let lost = EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT;
                let event = if event.mask.contains(EventMask::Q_OVERFLOW) {
                    Event::Overflow
                } else if event.mask.intersects(lost) {
                    Event::Lost(event.wd)
                } else if let Some(name) = event.name.filter(|name| wanted(&event.wd, name)) {
                    Event::Name(event.wd, name.to_owned())
                } else {
                    continue;
                };
                if self.events.back() != Some(&event) {
                    self.events.push_back(event);
                }
            }
        }
        Ok(())
    }

    /// Blocks until there is an event, at most until `until`.
    pub(super) fn poll(&self, until: Instant) -> io::Result<()> {
        let inotify = PollFd::from_borrowed_fd(self.inotify.as_fd(), PollFlags::IN);
        poll::wait(&mut [inotify], Some(until)).map(drop)
    }
}

/// Watches the files of a directory.
pub(super) fn add(watches: &Watches, directory: impl AsRef<Path>) -> io::Result<WatchDescriptor> {
    watches.clone().add(directory, FILES)
}

/// Watches for names that appear in a directory.
pub(super) fn add_parent(watches: &Watches, parent: impl AsRef<Path>) -> io::Result<WatchDescriptor> {
    watches.clone().add(parent, PARENT)
}

/// Remedy for a watch that could not be added.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    if let Some(remedy) = exhausted::inotify_remedy(error) {
        return remedy;
    }
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC) => "raise the sysctl fs.inotify.max_user_watches",
        _ => "nothing is lost: the directory is looked at every second instead",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn events(watch: &mut Watch) -> Vec<Event> {
        watch.drain(|_, _| true).unwrap();
        watch.events.drain(..).collect()
    }

    #[test]
    fn both_ways_of_writing_give_events_and_reading_gives_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new().unwrap();
        let wd = add(&watch.watches(), dir.path()).unwrap();
        let path = dir.path().join("7abcdef");
        std::fs::write(&path, "a").unwrap();
        assert_eq!(events(&mut watch), [Event::Name(wd.clone(), "7abcdef".into())]);
        std::fs::read(&path).unwrap();
        assert_eq!(events(&mut watch), []);
        std::fs::write(dir.path().join("7abcdef.tmp"), "b").unwrap();
        std::fs::rename(dir.path().join("7abcdef.tmp"), &path).unwrap();
        assert!(events(&mut watch).contains(&Event::Name(wd.clone(), "7abcdef".into())));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(events(&mut watch), [Event::Name(wd.clone(), "7abcdef".into())]);
        std::fs::remove_dir(dir.path()).unwrap();
        assert_eq!(events(&mut watch), [Event::Lost(wd)]);
    }

    #[test]
    fn events_are_taken_up_to_a_number_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new().unwrap();
        add(&watch.watches(), dir.path()).unwrap();
        for n in 0..=MAX_EVENTS {
            std::fs::write(dir.path().join(format!("{n}abcdef")), "").unwrap();
        }
        let first = events(&mut watch);
        // Those of one read(2) more.
        assert!((MAX_EVENTS..MAX_EVENTS + 512).contains(&first.len()), "{}", first.len());
        assert!(first.len() + events(&mut watch).len() > MAX_EVENTS, "none is lost");
    }

    #[test]
    fn a_poll_ends_when_something_happens() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new().unwrap();
        add(&watch.watches(), dir.path()).unwrap();
        let path = dir.path().join("7abcdef");
        let writer = std::thread::spawn(move || std::fs::write(path, "a").unwrap());
        let begun = Instant::now();
        watch.poll(begun + Duration::from_mins(1)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
        writer.join().unwrap();
        assert_eq!(events(&mut watch).len(), 1);
    }
}
