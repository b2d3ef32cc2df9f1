//! Changes of monitor directories, by inotify.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use accelscope_core::host::poll;

/// Most events that are queued before all directories are scanned instead.
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
    .union(WatchMask::ONLYDIR)
    .union(WatchMask::MASK_ADD);

/// A change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Of a file in a watched directory, or of a name in a watched parent.
    Name(WatchDescriptor, OsString),
    /// Removal, rename or unmount of a watched directory.
    Lost(WatchDescriptor),
    /// More events than the kernel or the agent queues.
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

    /// Watches the files of a directory.
    pub(super) fn add(&self, directory: impl AsRef<Path>) -> io::Result<WatchDescriptor> {
        self.inotify.watches().add(directory, FILES)
    }

    /// Watches for names that appear in a directory.
    pub(super) fn add_parent(&self, parent: impl AsRef<Path>) -> io::Result<WatchDescriptor> {
        self.inotify.watches().add(parent, PARENT)
    }

    pub(super) fn remove(&self, watch: WatchDescriptor) {
        if let Err(error) = self.inotify.watches().remove(watch) {
            // The kernel removes a watch with its directory.
            tracing::trace!(%error, "inotify watch was already gone");
        }
    }

    /// Moves the kernel's events to [`events`](Self::events), except names that `wanted` rejects.
    pub(super) fn drain(&mut self, wanted: impl Fn(&WatchDescriptor, &OsStr) -> bool) -> io::Result<()> {
        loop {
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
                if self.events.len() >= MAX_EVENTS {
                    self.events.clear();
                    self.events.push_back(Event::Overflow);
                }
                if self.events.back() != Some(&event) {
                    self.events.push_back(event);
                }
            }
        }
    }

    /// Blocks until there is an event, at most until `until`.
    pub(super) fn poll(&self, until: Instant) -> io::Result<()> {
        let inotify = PollFd::from_borrowed_fd(self.inotify.as_fd(), PollFlags::IN);
        poll::wait(&mut [inotify], Some(until)).map(drop)
    }
}

/// Remedy for a watch that could not be added.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => "raise the sysctl fs.inotify.max_user_instances",
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
        let wd = watch.add(dir.path()).unwrap();
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
    fn too_many_events_become_an_overflow() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new().unwrap();
        watch.add(dir.path()).unwrap();
        for n in 0..=MAX_EVENTS {
            std::fs::write(dir.path().join(format!("{n}abcdef")), "").unwrap();
        }
        let events = events(&mut watch);
        assert_eq!(events[0], Event::Overflow);
        assert!(events.len() <= MAX_EVENTS);
    }

    #[test]
    fn a_poll_ends_when_something_happens() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new().unwrap();
        watch.add(dir.path()).unwrap();
        let path = dir.path().join("7abcdef");
        let writer = std::thread::spawn(move || std::fs::write(path, "a").unwrap());
        let begun = Instant::now();
        watch.poll(begun + Duration::from_mins(1)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
        writer.join().unwrap();
        assert_eq!(events(&mut watch).len(), 1);
    }
}
